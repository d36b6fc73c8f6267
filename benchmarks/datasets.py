"""Taking a large CSV in: time and peak memory, beside Arrow alone.

`data add` finds types over all rows, stores Parquet, counts, looks for repeated rows and checks.
The peer only converts: pyarrow's streaming CSV reader into one Parquet file, with types as it
guesses them from the first block. Each runs in a process of its own; memory is the
peak resident set.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import report

COLUMNS = 12
BLOCK_ROWS = 20_000
OURS = """
import sys
from datetime import UTC, datetime
from lamplighter_server.data.intake import Flags, add_source
from lamplighter_server.data.places import find_places
flags = Flags({"id": "identifier"})
add_source(find_places(), sys.argv[1], "big", flags, datetime.now(UTC), lambda *_: None)
"""
ARROW = """
import sys
import pyarrow.csv as pv, pyarrow.parquet as pq
with pv.open_csv(sys.argv[1]) as reader, pq.ParquetWriter(sys.argv[2], reader.schema) as out:
    for batch in reader:
        out.write_batch(batch)
"""
MEASURE = """
import resource, time
started = time.monotonic()
{code}
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(round(time.monotonic() - started, 1), peak_mb)
"""


def write_csv(path: Path, size_bytes: int) -> int:
    """Rows of numbers, a category and a label, until the file is large enough."""
    random, rows = np.random.default_rng(7), 0
    with path.open("w") as file:
        file.write(",".join(["id", *(f"f{i}" for i in range(COLUMNS)), "site", "label"]) + "\n")
        values = random.normal(size=(BLOCK_ROWS, COLUMNS))
        ends = [
            ",".join(f"{value:.6f}" for value in row)
            + f",{'abc'[index % 3]},{'worn' if row[0] + row[1] > 0 else 'fine'}\n"
            for index, row in enumerate(values)
        ]
        while file.tell() < size_bytes:
            file.write("".join(f"{rows + index},{end}" for index, end in enumerate(ends)))
            rows += BLOCK_ROWS
    return rows


def measure(code: str, *arguments: str) -> tuple[float, int]:
    """Seconds and peak memory in MB of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(code=code), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    seconds, peak_mb = done.stdout.split()
    return float(seconds), int(peak_mb)


def main() -> None:
    """Write a file, take it in, and convert it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=2000)
    size_mb = parser.parse_args().size_mb
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAMPLIGHTER_DATA_DIR"] = str(Path(folder) / "lamplighter")
        source = Path(folder) / "big.csv"
        report.progress(f"writing {size_mb} MB")
        rows = write_csv(source, size_mb * 1_000_000)
        report.progress("taking it in")
        seconds, peak_mb = measure(OURS, str(source))
        report.progress("Arrow alone")
        arrow_s, arrow_mb = measure(ARROW, str(source), str(Path(folder) / "big.parquet"))
    report.publish(
        "datasets",
        figures={
            "size_mb": size_mb,
            "rows": rows,
            "seconds": seconds,
            "peak_rss_mb": peak_mb,
            "ratio_to_arrow": round(seconds / arrow_s, 2),
        },
        peers={"pyarrow": {"seconds": arrow_s, "peak_rss_mb": arrow_mb}},
        packages=("pyarrow", "numpy"),
    )


if __name__ == "__main__":
    main()
