import numpy as np
import pytest

from lamplighter_protocol.bundle import Column, ImageInput
from lamplighter_protocol.summaries import column_values, summarize

CHECKERS = (np.indices((6, 6)).sum(axis=0) % 2).astype(np.float32)
FLAT = np.full((6, 6), 0.5, dtype=np.float32)


def test_brightness_and_contrast() -> None:
    images = np.stack([CHECKERS, FLAT])
    assert summarize(images, "brightness") == pytest.approx([0.5, 0.5])
    assert summarize(images, "contrast") == pytest.approx([0.5, 0.0])


def test_sharpness_is_the_mean_square_of_the_laplacian() -> None:
    # Each inner pixel of a checkerboard differs from its four neighbours by 1: 4 squared.
    images = np.stack([CHECKERS, FLAT])
    assert summarize(images, "sharpness") == pytest.approx([16.0, 0.0])


def test_columns_read_features_or_images() -> None:
    image = ImageInput(tensor="image", height=6, width=6, white=2.0)
    feature = Column(name="f", kind="numeric", tensor="image", index=3, edges=(0.0, 1.0))
    whole = Column(name="b", kind="numeric", tensor="image", summary="brightness", edges=(0.0, 1.0))
    tensor = (CHECKERS * 2).reshape(1, 36)
    assert column_values(feature, tensor, None) == pytest.approx([tensor[0, 3]])
    assert column_values(whole, tensor, image) == pytest.approx([0.5])
