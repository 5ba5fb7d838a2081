"""Preparation on one machine: the stages, in bounded memory.

Counting parses the raw text once, counts the levels of the training split and leaves the rows in a spool of distinct
texts and codes; encoding turns those into ids and scatters them over buckets; shuffling permutes each bucket into a
record file.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.extension import Base
from data_pipelines.fields.numeric import NumericSample
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.json_files import as_type
from data_pipelines.prepare.engines.memory import MemoryPlan
from data_pipelines.prepare.engines.read_ahead import read_ahead
from data_pipelines.prepare.engines.shuffle import Buckets, DiskShuffle
from data_pipelines.prepare.engines.spool import Rows, Spool
from data_pipelines.prepare.source import Counted, Source, set_cuts
from data_pipelines.prepare.splitting import DROPPED, Times
from data_pipelines.prepare.staging import Staging
from data_pipelines.progress import Progress
from data_pipelines.read.preparation import Shard
from data_pipelines.read.records import encoded_rows, schema_dtype

_SPOOL, _COUNTS, _BUCKETS = "spool", "counts", "buckets"


@dataclasses.dataclass(frozen=True)
class _Encoded:
    bucket_rows: list[int]


class LocalEngine:
    """Counts and writes on this machine.

    Args:
        memory_gb: the most memory that preparation may take, in GiB.
        show: called with each progress line.
    """

    def __init__(self, memory_gb: float, show: Callable[[str], None]):
        self._plan, self._show = MemoryPlan.within(memory_gb), show

    def count(self, source: Source, staging: Staging, base: Base | None = None) -> tuple[Vocabularies, Counted]:
        """The first stage. Raises UserError where input is bad or the vocabularies do not fit the memory."""
        options = source.options
        directory = staging.path / _COUNTS
        directory.mkdir()
        counter = LevelCounter(options.inputs, directory, self._plan.count_bytes)
        sample, spool = NumericSample(options.inputs, options.seed), Spool(staging.path / _SPOOL, _columns(source))
        reader, splitter = source.reader(self._plan.chunk_bytes), source.splitter
        counted, times = Counted(), Times()

        def count(rows: Rows) -> None:
            split = splitter.splits(rows.keys, rows.label, rows.row_numbers, counted.cuts)
            counted.add(split, rows.label, rows.weight)
            counter.add(rows.columns, split == 0)
            sample.add(rows.columns, rows.row_numbers, split == 0)

        title = "reading times" if splitter.by_time else "counting"
        with Progress(title, reader.total_bytes, self._show) as progress:
            for chunk in read_ahead(reader):
                rows = Rows.of(chunk, splitter.keys(chunk))
                times.add(rows.keys) if splitter.by_time else count(rows)
                spool.write(rows)
                progress.update(reader.rows, chunk.bytes_read)
        counted.bad_rows = reader.bad_rows
        if splitter.by_time:
            set_cuts(counted, times, source)
            total = reader.rows - reader.bad_rows
            with Progress("counting", total, self._show) as progress:
                for rows in read_ahead(spool):
                    count(rows)
                    progress.update(counted.total, counted.total + counted.dropped)
        counted.check(options.split_rule)
        vocabularies = Vocabularies.from_counts(
            options.format,
            options.inputs,
            counter,
            options.min_count,
            sample.parameters(),
            self._plan.check_levels,
            options.seed,
            base=base,
        )
        directory.rmdir()
        return vocabularies, counted

    def write(
        self, source: Source, staging: Staging, vocabularies: Vocabularies, counted: Counted
    ) -> Iterator[tuple[str, Shard]]:
        """The other stages: yields (split, record file). Raises UserError where the disk is too small."""
        options, dtype = source.options, schema_dtype(vocabularies.schema)
        buckets = Buckets(counted.rows, dtype.itemsize, options.block_rows, options.seed)
        directory = staging.path / _BUCKETS
        shuffle = DiskShuffle(directory, buckets, dtype)
        if staging.stage != "encoding":
            _check_space(staging, counted.total * dtype.itemsize)
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            self._encode(source, staging, vocabularies, shuffle, dtype, counted)
            staging.finish("encoding", staging.found | {"bucket_rows": shuffle.rows})
        shutil.rmtree(staging.path / _SPOOL, ignore_errors=True)
        bucket_rows = as_type(staging.found, _Encoded, str(staging.stage_file), closed=False).bucket_rows
        written = 0
        shards = shuffle.write_shards(staging.path, options.format.name, bucket_rows, options.block_rows, options.seed)
        with Progress("shuffling", counted.total, self._show) as progress:
            for split, shard in shards:
                written += shard.rows
                progress.update(written, written)
                yield split, shard
        # The spool is already gone if an earlier run was killed right after this line.
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()

    def _encode(
        self,
        source: Source,
        staging: Staging,
        vocabularies: Vocabularies,
        shuffle: DiskShuffle,
        dtype: np.dtype,
        counted: Counted,
    ) -> None:
        written = 0
        with Progress("encoding", counted.total, self._show) as progress:
            for rows in read_ahead(Spool(staging.path / _SPOOL, _columns(source))):
                split = source.splitter.splits(rows.keys, rows.label, rows.row_numbers, counted.cuts)
                encoded = encoded_rows(vocabularies, rows.columns, rows.label, dtype, rows.weight)
                shuffle.add(encoded, split, rows.row_numbers)
                written += int((split != DROPPED).sum())
                progress.update(written, written)
        if written != counted.total:
            raise UserError(f"{staging.path}: {written} rows in the spool instead of {counted.total}; delete it")


def _columns(source: Source) -> list[str]:
    """The raw columns that fields read, each once."""
    return list(dict.fromkeys(one.column for one in source.options.inputs if not one.crossed))


def _check_space(staging: Staging, row_bytes: int) -> None:
    # Each bucket file is deleted once its record file is written, so the peak is all rows plus about one bucket.
    free = shutil.disk_usage(staging.path.parent).free
    if free < row_bytes:
        raise UserError(
            f"{staging.final}: not enough space: about {row_bytes:,} bytes needed, {free:,} free; "
            "free some space or choose another --data_dir"
        )
