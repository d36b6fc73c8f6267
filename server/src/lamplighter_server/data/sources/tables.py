"""CSV and Parquet files, read in batches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq

from lamplighter_protocol.errors import LamplighterError

#: A row of a CSV must fit; memory grows with a few of these.
BLOCK_BYTES: Final = 4 * 1024 * 1024
BATCH_ROWS: Final = 8192


class CsvSource:
    """A CSV file with a header, compressed or not; every cell as it is spelled."""

    spelled = True

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path = path
        self._options = {
            "read_options": pv.ReadOptions(block_size=BLOCK_BYTES, use_threads=True),
            "parse_options": pv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        }
        self._position = 0
        with self._open(()) as reader:
            names = reader.schema.names
        self.raw = pa.schema([pa.field(name, pa.string()) for name in names])

    @property
    def done_share(self) -> float | None:
        """Of the file's bytes."""
        return min(1.0, self._position / max(1, self._path.stat().st_size))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One pass.

        Raises:
            LamplighterError: DATA_INVALID.
        """
        self._position = 0
        with self._open(self.raw.names) as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except pa.ArrowInvalid as error:
                    raise _invalid(self._path, error) from error
                self._position += batch.nbytes
                yield batch

    def _open(self, names: list[str] | tuple[()]) -> pv.CSVStreamingReader:
        convert = pv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        try:
            return pv.open_csv(self._path, convert_options=convert, **self._options)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise _invalid(self._path, error) from error
        except OSError as error:
            raise LamplighterError("SOURCE_UNREADABLE", f"{self._path}: {error}.") from error


class ParquetSource:
    """A Parquet file with its own types."""

    spelled = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = 0
        with self._open() as file:
            self.raw = file.schema_arrow
            self._total: int = file.metadata.num_rows

    @property
    def done_share(self) -> float | None:
        """Of the file's rows."""
        return self._rows / max(1, self._total)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One pass.

        Raises:
            LamplighterError: DATA_INVALID.
        """
        self._rows = 0
        with self._open() as file:
            try:
                for batch in file.iter_batches(BATCH_ROWS):
                    self._rows += batch.num_rows
                    yield batch
            except (pa.ArrowException, OSError) as error:
                raise _invalid(self._path, error) from error

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._path)
        except (pa.ArrowException, OSError) as error:
            raise _invalid(self._path, error) from error


def _invalid(path: Path, error: Exception) -> LamplighterError:
    text = " ".join(str(error).split())
    return LamplighterError("DATA_INVALID", f"{path.name} cannot be read: {text[:300]}.")
