"""One pass over a stored version: its statistics, and a sample of its rows."""

from contextlib import ExitStack
from typing import Final

import pyarrow as pa

from lamplighter_server.data.buckets import Buckets
from lamplighter_server.data.fingerprints import hash_rows
from lamplighter_server.data.manifest import DatasetManifest
from lamplighter_server.data.profile import ColumnCounter, Profiled, RowSample, build_profile
from lamplighter_server.data.schema import Schema
from lamplighter_server.data.store import DatasetStore

#: Statistical checks look at no more rows than this, so their cost has a bound.
SAMPLE_ROWS: Final = 20_000
SAMPLE_BYTES: Final = 64 * 1024 * 1024


def profile_rows(store: DatasetStore, manifest: DatasetManifest) -> Profiled:
    """Read a version once; memory holds a part and the sample.

    Raises:
        LamplighterError: DATASET_DAMAGED.
    """
    schema = manifest.columns
    identifiers = [column.name for column in schema.with_role("identifier")]
    others = [column.name for column in schema.stored if column.name not in identifiers]
    counters = [ColumnCounter(column) for column in schema.stored]
    sample = RowSample(schema, _sample_rows(schema))
    with ExitStack() as stack:
        seen_rows = stack.enter_context(Buckets(width=1))
        seen_ids = stack.enter_context(Buckets(width=1))
        for part in manifest.parts:
            rows = store.rows_of(part)
            for counter in counters:
                counter.add(rows[counter.column.name].combine_chunks())
            seen_rows.add(hash_rows(rows, others))
            if identifiers:
                seen_ids.add(hash_rows(rows, identifiers))
            sample.add(rows)
        return Profiled(
            build_profile(
                counters,
                sample.rows,
                rows=manifest.rows,
                duplicate_rows=seen_rows.count_repeated(),
                duplicate_identifiers=seen_ids.count_repeated(),
            ),
            sample.rows,
            sample.positions,
        )


def _sample_rows(schema: Schema) -> int:
    width_bytes = sum(
        field.type.list_size * 8 if pa.types.is_fixed_size_list(field.type) else 32
        for field in schema.arrow
    )
    return max(100, min(SAMPLE_ROWS, SAMPLE_BYTES // max(1, width_bytes)))
