"""Parquet parts: the same rows in the same order give the same bytes."""

import io
from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

#: A part ends at whichever comes first. Both are counted in rows of fixed slices, so that where it
#: ends does not depend on how the source was batched.
PART_ROWS: Final = 65_536
PART_BYTES: Final = 32 * 1024 * 1024
_SLICE_ROWS: Final = 256


def split_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows as tables of the size of a part, in their order; at least one, perhaps empty."""
    waiting: list[pa.RecordBatch] = []
    rows = size_bytes = parts = 0
    for piece in _slices(batches, schema):
        waiting.append(piece)
        rows += piece.num_rows
        size_bytes += piece.nbytes
        if rows >= PART_ROWS or size_bytes >= PART_BYTES:
            yield pa.Table.from_batches(waiting, schema).combine_chunks()
            parts += 1
            waiting, rows, size_bytes = [], 0, 0
    if waiting or not parts:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


def _slices(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rest = pa.Table.from_batches([], schema)
    for batch in batches:
        table = pa.concat_tables([rest, pa.Table.from_batches([batch], schema)])
        whole = table.num_rows - table.num_rows % _SLICE_ROWS
        joined = table.slice(0, whole).combine_chunks()
        for start in range(0, whole, _SLICE_ROWS):
            yield from joined.slice(start, _SLICE_ROWS).to_batches()
        rest = table.slice(whole)
    if rest.num_rows:
        yield from rest.combine_chunks().to_batches()


def encode_part(rows: pa.Table) -> bytes:
    """A part as Parquet, with every setting of the writer fixed."""
    out = io.BytesIO()
    pq.write_table(
        rows,
        out,
        version="2.6",
        data_page_version="1.0",
        row_group_size=PART_ROWS,
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=False,  # they would keep single values in plain sight
        store_schema=True,
    )
    return out.getvalue()


def decode_part(raw: bytes) -> pa.Table:
    """The rows of a part.

    Raises:
        pyarrow.ArrowException: If they are no Parquet.
    """
    return pq.read_table(pa.BufferReader(raw), use_threads=True)
