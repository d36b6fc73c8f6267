"""Where data comes from. A source names its columns and gives its rows, as often as asked."""

from collections.abc import Iterator
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


def open_source(path: Path, declared: Declaration) -> Source:
    """The source behind a path: a CSV, Parquet or NumPy file, or a folder of images.

    Raises:
        LamplighterError: SOURCE_UNREADABLE, or DATA_INVALID.
    """
    from lamplighter_server.data.sources.arrays import ArraySource
    from lamplighter_server.data.sources.images import ImageSource
    from lamplighter_server.data.sources.tables import CsvSource, ParquetSource

    if path.is_dir():
        return ImageSource(path, declared.labels)
    if not path.is_file():
        raise LamplighterError("SOURCE_UNREADABLE", f"There is no file {path}.")
    name = path.name.lower()
    if name.endswith((".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")):
        return CsvSource(path, declared.delimiter or ("\t" if ".tsv" in name else ","))
    if name.endswith((".parquet", ".pq")):
        return ParquetSource(path)
    if name.endswith((".npy", ".npz")):
        return ArraySource(path)
    raise LamplighterError(
        "SOURCE_UNREADABLE",
        f"{path.name} is none of .csv, .tsv, .csv.gz, .parquet, .npy, .npz or a folder of images.",
    )
