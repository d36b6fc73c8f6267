"""Where data comes from. A source names its columns and gives its rows, as often as asked."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.declaration import Declaration


class Source(Protocol):
    """Rows in their order, in batches of bounded size."""

    @property
    def raw(self) -> pa.Schema:
        """Its own columns."""

    @property
    def spelled(self) -> bool:
        """Whether cells are texts whose kinds are yet to be found, as in a CSV."""

    @property
    def done_share(self) -> float | None:
        """How much of the running pass is done, 0 to 1; None if it is not known."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One pass over all rows.

        Raises:
            LamplighterError: DATA_INVALID where a row cannot be read.
        """


@contextmanager
def open_source(path: Path, declared: Declaration) -> Iterator[Source]:
    """The source behind a path: a CSV, Parquet or NumPy file, or a folder of images.

    Raises:
        LamplighterError: SOURCE_UNREADABLE, or DATA_INVALID.
    """
    from lamplighter_server.data.sources.arrays import ArraySource
    from lamplighter_server.data.sources.images import ImageSource
    from lamplighter_server.data.sources.tables import CsvSource, ParquetSource

    name = path.name.lower()
    if path.is_dir():
        yield ImageSource(path, declared.labels)
    elif not path.is_file():
        raise LamplighterError("SOURCE_UNREADABLE", f"There is no file {path}.")
    elif name.endswith((".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")):
        yield CsvSource(path, declared.delimiter or ("\t" if ".tsv" in name else ","))
    elif name.endswith((".parquet", ".pq")):
        yield ParquetSource(path)
    elif name.endswith((".npy", ".npz")):
        with tempfile.TemporaryDirectory(prefix="lamplighter-npz-") as folder:
            yield ArraySource(path, Path(folder))
    else:
        raise LamplighterError(
            "SOURCE_UNREADABLE",
            f"{path.name} is no .csv, .tsv, .csv.gz, .parquet, .npy, .npz or folder of images.",
        )
