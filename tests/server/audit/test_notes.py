from hypothesis import given
from hypothesis import strategies as st

from lamplighter_server.audit.notes import BURST, SUPPRESSED, Notes


@given(st.lists(st.integers(0, 3 * BURST), max_size=20))
def test_a_flood_is_cut_and_counted(ticks: list[int]) -> None:
    notes, written, suppressed = Notes(), 0, 0
    for number in [*ticks, *[0] * BURST]:
        for _ in range(number):
            notes.add("user:?", "refused", "POST /", {})
        taken = notes.take()
        told = [
            entry.after["notes"] for entry in taken if entry.after and entry.action == SUPPRESSED
        ]
        written += len(taken) - len(told)
        suppressed += sum(told)
    assert written + suppressed == sum(ticks), "every refusal is written or counted"
    assert written <= BURST + len(ticks), "a burst, then one a tick"


def test_what_somebody_else_wrote_is_cleaned_and_cut() -> None:
    notes = Notes()
    notes.add("user:\x00", "refused", "GET /\n\ud800", {"name": "x" * 10_000, "tries": 3})
    (entry,) = notes.take()
    assert entry.actor == "user:\N{REPLACEMENT CHARACTER}"
    assert (
        entry.subject.encode() == "GET /\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}".encode()
    )
    assert entry.after is not None
    assert (len(entry.after["name"]), entry.after["tries"]) == (500, 3)
