"""A source's rows as they are stored: typed, personal cells hashed, erased people left out."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.declaration import Declaration
from lamplighter_server.data.keyed import SubjectKey
from lamplighter_server.data.schema import Column, Schema
from lamplighter_server.data.sources import Source
from lamplighter_server.data.spelling import clean, read_cells
from lamplighter_server.data.store import DatasetStore

Progress = Callable[[str, float | None], None]
"""Told what is being done, and which share of it is done, 0 to 1, if that is known."""


class Rows:
    """One source's rows.

    Attributes:
        left_out: Rows of erased people so far, which are not stored.
    """

    def __init__(
        self,
        store: DatasetStore,
        source: Source,
        declared: Declaration,
        schema: Schema,
        key: SubjectKey | None,
        erased: frozenset[str],
    ) -> None:
        self._store, self._source, self._schema = store, source, schema
        self._nulls, self._key = declared.nulls, key
        self._erased = pa.array(sorted(erased), pa.string())
        self.left_out = 0

    def stored(self, on_progress: Progress) -> Iterator[pa.RecordBatch]:
        """One pass.

        Raises:
            LamplighterError: DATA_INVALID.
        """
        rows_before = 0
        for batch in self._source.batches():
            cells = [
                self._convert(batch[column.name], column, rows_before)
                for column in self._schema.stored
            ]
            rows_before += batch.num_rows
            converted = pa.RecordBatch.from_arrays(cells, schema=self._schema.arrow)
            yield self._without_erased(converted)
            on_progress("storing", self._source.done_share)

    def _convert(self, cells: pa.Array, column: Column, rows_before: int) -> pa.Array:
        if column.kind == "image":
            return pa.array([self._store.put(raw) for raw in cells.to_pylist()], pa.string())
        if self._source.spelled:
            cells = clean(cells, self._nulls)
        if column.hashed:
            assert self._key is not None  # noqa: S101 - there is one wherever a column is hashed
            return self._key.hash_cells(cells)
        try:
            if self._source.spelled:
                return read_cells(cells, column.kind)
            return _cast(cells, column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            where = f"rows {rows_before + 1} to {rows_before + len(cells)}"
            text = " ".join(str(error).split())[:200]
            raise LamplighterError(
                "DATA_INVALID", f"Column {column.name!r}, {where}: {text}."
            ) from error

    def _without_erased(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        gone = None
        for column in self._schema.with_role("personal"):
            hit = pc.is_in(batch[column.name], value_set=self._erased)
            gone = hit if gone is None else pc.or_(gone, hit)
        if gone is None or not len(self._erased):
            return batch
        self.left_out += pc.sum(gone).as_py() or 0
        return batch.filter(pc.invert(gone))


def _cast(cells: pa.Array, column: Column) -> pa.Array:
    wanted = column.arrow.type
    if column.kind == "time" and pa.types.is_timestamp(cells.type) and cells.type.tz is None:
        cells = cells.cast(pa.timestamp("us"), safe=False)
    if column.kind == "time":
        return cells.cast(wanted, safe=False)
    return cells.cast(wanted)
