"""What Spark's workers run: Arrow batches in and out, the reading and encoding of `local.LocalEngine`."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.numeric import NumericSample
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.output import complete_file
from data_pipelines.prepare.engines.parts import NumberedPart, count_rows
from data_pipelines.prepare.engines.shuffle import Buckets, permuted
from data_pipelines.prepare.source import Counted, Source
from data_pipelines.prepare.splitting import Cuts, Times
from data_pipelines.raw import RawChunk
from data_pipelines.raw.lines import CHUNK_BYTES
from data_pipelines.read.preparation import Options
from data_pipelines.read.records import encoded_rows, schema_dtype, shard_name, write_blocks

PART_SCHEMA = "part int, lines long, rows long"
TIME_SCHEMA = "time long, rows long"
COUNT_SCHEMA = "field int, level string, count long, note binary"
"""A level's count in one part; or, where field is -1, a note with everything else about the part."""
ROWS_SCHEMA = "bucket int, first_row long, rows binary"
"""The encoded rows of one chunk that belong to one bucket, and the number of the chunk's first row."""
SHARD_SCHEMA = "bucket int, rows long"
_COUNT_BYTES = 256 << 20
_LEVELS_A_BATCH = 1 << 18

Task = Callable[[int, NumberedPart], Iterator[pa.RecordBatch]]


def run(task: Task, parts: Sequence[NumberedPart], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Runs a task on the parts whose numbers are in `batches`."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield from task(number, parts[number])


def count_rows_of_parts(raw_format: RawFormat, number: int, part: NumberedPart) -> Iterator[pa.RecordBatch]:
    """Lines and rows of a part, as `PART_SCHEMA`."""
    lines, rows = count_rows(part.part, raw_format)
    yield pa.record_batch({"part": pa.array([number], pa.int32()), "lines": [lines], "rows": [rows]})


def count_times(source: Source, number: int, part: NumberedPart) -> Iterator[pa.RecordBatch]:
    """Rows of a part by the time that decides their split, as `TIME_SCHEMA`."""
    times, reader = Times(), source.reader(CHUNK_BYTES, [part.part], part.first_row)
    for chunk in reader:
        times.add(source.splitter.keys(chunk))
    found, rows = times.counts()
    yield pa.record_batch({"time": found, "rows": rows})


def count_parts(source: Source, cuts: Cuts | None, number: int, part: NumberedPart) -> Iterator[pa.RecordBatch]:
    """Counts of a part's levels over the training split, as `COUNT_SCHEMA`."""
    options, counted = source.options, Counted()
    sample = NumericSample(options.inputs, options.seed)
    with tempfile.TemporaryDirectory() as directory:
        counter = LevelCounter(options.inputs, Path(directory), _COUNT_BYTES)
        reader = source.reader(CHUNK_BYTES, [part.part], part.first_row)
        for chunk in reader:
            split = _splits(source, chunk, cuts)
            assert chunk.label is not None
            counted.add(split, chunk.label, chunk.weight)
            counter.add(chunk.columns, split == 0)
            sample.add(chunk.columns, chunk.row_numbers, split == 0)
        counted.bad_rows = reader.bad_rows
        for field, one in enumerate(options.inputs):
            found = counter.frequent_levels(one.name, 1)
            for levels in found.iter_slices(_LEVELS_A_BATCH):
                yield _counts([field] * levels.height, levels["level"].to_arrow(), levels["count"].to_arrow())
        longest = {one.name: counter.longest(one.name) for one in options.inputs}
    yield _counts([-1], [None], [0], [_note(counted, sample, longest)])


def read_note(note: bytes) -> tuple[Counted, np.ndarray, np.ndarray, dict[str, int]]:
    """The content of a part's note: rows, the sample's hashes and numbers, the longest lists by field."""
    arrays = np.load(io.BytesIO(note))
    rest = json.loads(arrays["rest"].tobytes())
    return Counted.from_json(rest["counted"], "a task's counts"), arrays["hashes"], arrays["values"], rest["longest"]


def encode_parts(
    source: Source, data_dir: Path, buckets: Buckets, cuts: Cuts | None, number: int, part: NumberedPart
) -> Iterator[pa.RecordBatch]:
    """A part's encoded rows by bucket, as `ROWS_SCHEMA`."""
    vocabularies = _vocabularies(data_dir)
    dtype = schema_dtype(vocabularies.schema)
    for chunk in source.reader(CHUNK_BYTES, [part.part], part.first_row):
        if not len(chunk.row_numbers):
            continue
        split = _splits(source, chunk, cuts)
        assert chunk.label is not None
        rows = encoded_rows(vocabularies, chunk.columns, chunk.label, dtype, chunk.weight)
        found = list(buckets.scatter(rows, split, chunk.row_numbers))
        yield pa.record_batch(
            {
                "bucket": pa.array([bucket for bucket, _ in found], pa.int32()),
                "first_row": pa.array([int(chunk.row_numbers[0])] * len(found), pa.int64()),
                "rows": pa.array([chosen.tobytes() for _, chosen in found], pa.binary()),
            }
        )


def write_bucket(options: Options, data_dir: Path, buckets: Buckets, dtype: np.dtype, table: pa.Table) -> pa.Table:
    """Writes the record file of one bucket from all its rows, in the order of the raw log; yields `SHARD_SCHEMA`."""
    table = table.sort_by("first_row")
    rows = np.frombuffer(b"".join(table["rows"].to_pylist()), dtype)
    bucket = table["bucket"][0].as_py()
    split, number = buckets.names[bucket]
    final = data_dir / shard_name(options.format.name, split, number, buckets.counts[split])
    # Spark may run a task twice, even at the same time; both write the same file.
    with complete_file(final, "wb") as file:
        write_blocks(file, permuted(rows, split, number, options.seed), options.block_rows)
    return pa.table({"bucket": pa.array([bucket], pa.int32()), "rows": pa.array([len(rows)], pa.int64())})


def _splits(source: Source, chunk: RawChunk, cuts: Cuts | None) -> np.ndarray:
    assert chunk.label is not None
    return source.splitter.splits(source.splitter.keys(chunk), chunk.label, chunk.row_numbers, cuts)


@lru_cache(maxsize=1)
def _vocabularies(data_dir: Path) -> Vocabularies:
    # One worker process runs many tasks.
    return Vocabularies.load(data_dir, Schema.load(data_dir / "schema.json"))


def _note(counted: Counted, sample: NumericSample, longest: dict[str, int]) -> bytes:
    hashes, values = sample.sample()
    rest = json.dumps({"counted": counted.to_json(), "longest": longest}).encode()
    file = io.BytesIO()
    np.savez(file, hashes=hashes, values=values, rest=np.frombuffer(rest, np.uint8))
    return file.getvalue()


def _counts(
    field: list[int], level: pa.Array | list[None], count: pa.Array | list[int], note: list[bytes] | None = None
) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "field": pa.array(field, pa.int32()),
            "level": pa.array(level, pa.string()) if isinstance(level, list) else level.cast(pa.string()),
            "count": pa.array(count, pa.int64()) if isinstance(count, list) else count,
            "note": pa.nulls(len(field), pa.binary()) if note is None else pa.array(note, pa.binary()),
        }
    )
