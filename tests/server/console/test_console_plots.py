from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.bundle import Column
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_server.console import plots

COUNTS = st.integers(0, 10**9)


def numeric(bins: int) -> Column:
    return Column(
        name="level",
        kind="numeric",
        tensor="row",
        index=0,
        edges=tuple(map(float, range(bins + 1))),
    )


class Signed:
    """The parts of a manifest that a plot reads."""

    def __init__(self, column: Column, reference: Counts) -> None:
        self.columns = (column,)
        self.reference = reference
        self.answer = type("Answer", (), {"labels": ("fine", "worn")})


def counts_of(column: list[int], predicted: tuple[int, int] = (1, 1)) -> Counts:
    return Counts(
        rows=sum(column),
        columns={"level": column},
        predictions=[[predicted[0]], [predicted[1]]],
        latency=[0] * LATENCY_SLOTS,
        errors={},
    )


@given(data=st.data(), bins=st.integers(1, 80))
def test_every_bar_and_line_stays_in_the_picture(data: st.DataObject, bins: int) -> None:
    slots = bins + 3
    seen, base = (data.draw(st.lists(COUNTS, min_size=slots, max_size=slots)) for _ in range(2))
    manifest: Any = Signed(numeric(bins), counts_of(base))
    plot = plots.column(manifest, counts_of(seen), "level")
    assert plot is not None
    assert len(plot.bars) <= 19
    for bar in plot.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= plots.WIDTH
        assert -0.01 <= bar.y <= plots.HEIGHT
        assert abs(bar.y + bar.height - plots.HEIGHT) < 0.02
        assert -0.01 <= bar.reference_y <= plots.HEIGHT


def test_bars_are_to_scale_and_say_so_in_words() -> None:
    manifest: Any = Signed(numeric(8), counts_of([0] * 11, (50, 50)))
    plot = plots.predictions(manifest, counts_of([0] * 11, (75, 25)))
    fine, worn = plot.bars
    assert fine.height == plots.HEIGHT
    assert round(worn.height / fine.height, 2) == 0.33
    assert fine.title == "fine: 75.0%, reference 50.0%"
    assert plot.words == "predictions: 100 rows, 0.25 from the reference (line)"


def test_few_rows_are_called_few() -> None:
    manifest: Any = Signed(numeric(8), counts_of([0] * 11, (50, 50)))
    assert plots.predictions(manifest, counts_of([0] * 11, (1, 1))).words.endswith("few rows")


def test_categories_keep_their_names_and_an_unknown_column_has_no_plot() -> None:
    column = Column(
        name="level", kind="category", tensor="row", index=0, categories=("low", "high")
    )
    manifest: Any = Signed(column, counts_of([1, 1, 0, 0]))
    plot = plots.column(manifest, counts_of([1, 1, 0, 0]), "level")
    assert plot is not None
    assert [bar.label for bar in plot.bars] == ["low", "high", "other", "null"]
    assert plots.column(manifest, counts_of([1, 1, 0, 0]), "gone") is None
