"""Power cuts that lose writes, at random moments of an update of the real agent on a real ext4.

The disk below forgets at the cut what was not flushed, except for a random half of the sectors. A
cut has failed unless the identity is there, the committed release is whole on the disk before any
help from the network, nothing that had been made durable is damaged, and the next start ends the
update with a verified release serving. As a control the same cuts are made with one fsync left out,
that of the journal. There is no peer that publishes such a figure.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

import report

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.faults.storage.power import PowerBench, unavailable
from tests.faults.storage.shim import build_shim
from tests.faults.storage.world import World, ram_disk

LANES: Final = 3
CONTROLS: Final = 12


def cut_all(folder: Path, seeds: Iterator[int], lie: Mapping[str, str]) -> list[str | None]:
    """Cut once for each seed; what was wrong after each."""
    lock = Lock()
    found: list[str | None] = []

    def lane(number: int) -> None:
        place = folder / str(number)
        place.mkdir(parents=True)
        environment = dict(lie)
        if lie:
            environment["STORAGE_LIE"] = str(place / "disk/data/journal.json.new")
        with World(place, report.program("mosquitto")) as world:
            bench = PowerBench(world, place, environment)
            bench.prepare()
            while True:
                with lock:
                    seed = next(seeds, None)
                if seed is None:
                    return
                problem = bench.cut(seed)
                with lock:
                    found.append(problem)
                    if (problem and not lie) or len(found) % 25 == 0:
                        report.progress(f"seed {seed}, {len(found)} cuts: {problem or 'well'}")

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(lane, range(LANES)))
    return found


def main() -> None:
    """Cut, cut the control, and publish the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=300, help="how many (default: %(default)s)")
    cuts = parser.parse_args().cuts
    if lacking := unavailable():
        sys.exit(f"power cuts cannot be made here: {lacking}")
    with tempfile.TemporaryDirectory(dir=ram_disk()) as name:
        folder = Path(name)
        lie = {"LD_PRELOAD": str(build_shim(folder, "cc"))}
        honest = cut_all(folder / "honest", iter(range(cuts)), {})
        control = cut_all(folder / "control", iter(range(CONTROLS)), lie)
    report.publish(
        "power-cuts",
        figures={
            "cuts": len(honest),
            "failed": sum(map(bool, honest)),
            "caught_without_fsync": sum(map(bool, control)),
            "cuts_without_fsync": len(control),
        },
        peers={},
        packages=("lamplighter-agent",),
    )


if __name__ == "__main__":
    main()
