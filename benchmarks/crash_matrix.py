"""An update of the real agent, cut and disturbed at each call that changes its storage.

The agent, its workers, its store, journal and trust are the real ones; a real broker holds all that
they need. A preloaded library numbers every call that changes the data folder, in all processes of
the agent. Each call is then struck once by each fault:

- `cut`: the whole agent is killed before the call; `torn write`: after half of a write;
- `ENOSPC`, `EIO`: the call ends with this error, once; `EROFS`: it and all later ones do;
- `worker`: all workers are killed, in every state that the journal can hold.

A cut device is started again, as is one that became read-only after it was seen to serve on. A
point has failed unless a release answers as its signed files do, the journal says the same, the
update has ended, and the supervisor lived through what killed nobody. Nothing is sampled. The bad
release is disturbed from the call on from which its update differs from a good one. There is no
peer that publishes such a table.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Barrier, Lock
from typing import Final, get_args

import report

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.faults.storage.shim import FAULTS, Call, build_shim
from tests.faults.storage.trial import ENDINGS, Bench, Outcome
from tests.faults.storage.world import Kind, World, ram_disk

PAGE: Final = Path(__file__).parent.parent / "docs/reference/crash-matrix.md"
#: Runs differ by a few calls, as reports gather what happens at once: go on until all is over.
BEYOND: Final = 15
LANES: Final = 3
START_TIMEOUT_S: Final = 120
HEAD: Final = """<!-- Made by benchmarks/crash_matrix.py: `make bench NAME=crash-matrix`. -->
# Crash matrix

What became of a device after each fault at each call that changes its storage, of one good and one
bad release; [how an update survives](../explanation/survival.md) says why. Finished: the new
release serves. Rolled back: the one before serves, and the update has ended. Failed: anything else.
"""


def points(kind: Kind, calls: Sequence[Call]) -> Iterator[tuple[str, int]]:
    """Every fault and the number of the call that it strikes."""
    first = 1 if kind == "good" else _first_of_its_own(calls)
    numbers = range(first, len(calls) + BEYOND + 1)
    for fault in FAULTS:
        if fault == "torn write":
            yield from ((fault, at) for at in numbers if _is_write(calls, at))
        elif fault == "worker":
            yield from ((fault, at) for at in numbers if _has_journalled(calls, at))
        else:
            yield from ((fault, at) for at in numbers)


def _first_of_its_own(calls: Sequence[Call]) -> int:
    """The number of the call with which the candidate's worker is about to be started."""
    return 1 + next(at for at, call in enumerate(calls) if call.place.startswith("run/digits-2-"))


def _is_write(calls: Sequence[Call], at: int) -> bool:
    return at > len(calls) or "write" in calls[at - 1].name


def _has_journalled(calls: Sequence[Call], at: int) -> bool:
    return 1 < at <= len(calls) and calls[at - 2] == Call("rename", "journal.json")


def strike_all(kind: Kind, folder: Path, only: str | None) -> tuple[int, list[Outcome]]:
    """Strike every point of one release; the calls of its update, and what became of each point."""
    library, lock = build_shim(folder, "cc"), Lock()
    todo: Iterator[tuple[str, int]] = iter(())
    outcomes: list[Outcome] = []
    beyond = 0

    def lane(number: int) -> int:
        nonlocal todo, beyond
        place = folder / f"{kind}-{number}"
        place.mkdir()
        with World(place, report.program("mosquitto")) as world:
            bench = Bench(world, place, library)
            bench.prepare(kind)
            calls = bench.count()
            with lock:
                if number == 0:
                    todo = (one for one in points(kind, calls) if only in (None, one[0]))
            ready.wait(START_TIMEOUT_S)
            while True:
                with lock:
                    fault, at = next(todo, (None, 0))
                if fault is None:
                    return len(calls)
                outcome = bench.strike(fault, at)
                with lock:
                    if outcome is None:
                        beyond += 1
                    else:
                        outcomes.append(outcome)
                        tell(kind, at, outcome, len(outcomes))

    ready = Barrier(LANES)
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(lane, number) for number in range(LANES)]
        for ended in as_completed(lanes):
            if error := ended.exception():
                report.progress(f"a lane ended: {error!r}")
        counted = [lane.result() for lane in lanes]
    assert beyond, "the last calls were never reached"
    return counted[0], outcomes


def tell(kind: Kind, at: int, outcome: Outcome, done: int) -> None:
    """Show each failure when it comes, and from time to time that it goes on."""
    if outcome.ending == "failed":
        report.progress(f"{kind} {outcome.fault} at {at}: {outcome}")
    elif done % 100 == 0:
        report.progress(f"{kind}: {done} points")


def table(title: str, rows: Iterable[tuple[str, Outcome]]) -> str:
    """Endings by row, one line per row in order of its name."""
    counted = Counter((row, outcome.ending) for row, outcome in rows)
    lines = [
        f"| {row} | " + " | ".join(str(counted[row, ending]) for ending in ENDINGS) + " |"
        for row in sorted({row for row, _ in counted})
    ]
    head = f"| {title} | " + " | ".join(ENDINGS) + " |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(lines) + "\n"


def page(outcomes: Sequence[Outcome]) -> str:
    """The page in the reference."""
    return (
        HEAD
        + "\n## By fault\n\n"
        + table("Fault", ((one.fault, one) for one in outcomes))
        + "\n## By system call\n\n"
        + table("Call", ((one.call.kind, one) for one in outcomes))
        + "\n## By state of the update\n\n"
        + table("State in the journal", ((one.state, one) for one in outcomes))
        + "\n## By what lies there\n\n"
        + table("Place", ((one.call.part, one) for one in outcomes))
    )


def main() -> None:
    """Strike every point, write the page and publish the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=FAULTS, help="one fault; the page stays as it is")
    only = parser.parse_args().only
    outcomes: list[Outcome] = []
    calls = {}
    with tempfile.TemporaryDirectory(dir=ram_disk()) as folder:
        for kind in get_args(Kind):
            calls[kind], found = strike_all(kind, Path(folder), only)
            outcomes += found
    if only is None:
        PAGE.write_text(page(outcomes))
    endings = Counter(one.ending for one in outcomes)
    report.publish(
        "crash-matrix",
        figures={
            "calls_of_a_good_update": calls["good"],
            "calls_of_a_bad_update": calls["bad"],
            "cut_points": len(outcomes),
            **{ending.replace(" ", "_"): endings[ending] for ending in ENDINGS},
        },
        peers={},
        packages=("lamplighter-agent", "onnxruntime"),
    )


if __name__ == "__main__":
    main()
