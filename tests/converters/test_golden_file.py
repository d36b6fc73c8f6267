import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_converters.golden import choose_rows, write_npz


def test_the_bytes_depend_on_the_arrays_only_and_numpy_reads_them() -> None:
    arrays = {"image": np.arange(6, dtype=np.float32).reshape(2, 3), "v/label": np.array([1, 2])}
    raw = write_npz(arrays)
    assert raw == write_npz(dict(reversed(arrays.items())))
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        assert sorted(archive.files) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive[name], array)


@given(seed=st.integers(0, 1000), rows=st.integers(1, 60), classes=st.integers(2, 5))
def test_chosen_rows_cover_every_class_and_its_least_sure_row(
    seed: int, rows: int, classes: int
) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), rows)
    labels = probabilities.argmax(axis=1)
    chosen = choose_rows(labels, probabilities)
    assert list(chosen) == sorted(set(chosen))
    assert set(labels[chosen]) == set(labels)
    for label in set(labels):
        of_class = np.flatnonzero(labels == label)
        assert of_class[probabilities.max(axis=1)[of_class].argmin()] in chosen
