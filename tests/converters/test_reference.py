import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_converters.reference import count_reference, image_columns
from lamplighter_protocol.bundle import ClassOutput, ImageInput

IMAGE = ImageInput(tensor="image", height=4, width=4, white=16.0)
ANSWER = ClassOutput(
    label_tensor="label",
    probability_tensor="probabilities",
    labels=("a", "b", "c"),
    confidence_edges=tuple(np.linspace(0, 1, 21).tolist()),
)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 300))
def test_the_reference_fills_its_own_bins_and_counts_every_row(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, 16, (rows, 16)).astype(np.float32)
    probabilities = random.dirichlet(np.ones(3), rows).astype(np.float32)
    columns = image_columns(IMAGE, pixels)
    assert [column.name for column in columns] == ["brightness", "contrast", "sharpness"]
    assert all(len(column.edges) <= 65 for column in columns)
    counts = count_reference(
        columns, ANSWER, IMAGE, inputs={"image": pixels}, probabilities=probabilities
    )
    assert counts.rows == rows
    for slots in counts.columns.values():
        below, *_, above, null = slots
        assert (sum(slots), below, above, null) == (rows, 0, 0, 0)
    assert counts.predicted == np.bincount(probabilities.argmax(1), minlength=3).tolist()


def test_images_that_are_all_alike_have_one_bin_that_holds_them() -> None:
    columns = image_columns(IMAGE, np.full((5, 16), 8, np.float32))
    assert {len(column.edges) for column in columns} == {2}
