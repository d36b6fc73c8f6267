import numpy as np
import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.summaries import summarize
from lamplighter_server.training.dataset import Dataset, defocus, load


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def test_the_digits_are_the_real_scans(digits: Dataset) -> None:
    assert digits.images.shape == (1797, 64)
    assert (digits.images.min(), digits.images.max()) == (0, 16)
    assert digits.classes == tuple("0123456789")


def test_one_changed_value_changes_the_digest(digits: Dataset) -> None:
    assert load("digits").sha256 == digits.sha256
    changed = digits.images.copy()
    changed[5, 7] += 1
    other = Dataset(digits.name, changed, digits.labels, digits.classes, digits.image)
    assert other.sha256 != digits.sha256


def test_the_split_is_complete_disjoint_and_stratified(digits: Dataset) -> None:
    train, held_out = digits.split(seed=3)
    rows = np.concatenate([train.images, held_out.images])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, digits.images))
    shares = [np.bincount(part.labels) / len(part.labels) for part in (train, held_out)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.005)


def test_inverting_twice_gives_the_images_back(digits: Dataset) -> None:
    assert digits.inverted().sha256 != digits.sha256
    assert digits.inverted().inverted().sha256 == digits.sha256


def test_a_lens_out_of_focus_costs_sharpness_and_keeps_the_light(digits: Dataset) -> None:
    blurred = defocus(digits.images, digits.image, 1.0)
    sharp, soft = (
        summarize(images.reshape(-1, 8, 8) / 16, "sharpness") for images in (digits.images, blurred)
    )
    assert (soft < sharp / 3).all()
    assert blurred.mean() == pytest.approx(digits.images.mean(), rel=0.05)


def test_an_unknown_dataset_is_refused() -> None:
    with pytest.raises(LamplighterError, match="NOT_FOUND"):
        load("cats")
