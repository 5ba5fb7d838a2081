"""Preparation on Spark, for logs that outgrow one machine: the same vocabularies and record files as `local` makes.

The driver cuts the raw files into parts; tasks parse parts and count levels, which Spark adds up; the driver keeps the
vocabularies of frequent levels; tasks encode parts and send each row to its bucket; one task per bucket permutes
it and writes the record file. Raw files and --data_dir must be on a file system that driver and workers share. Each
worker needs this package for the same Python; PYSPARK_PYTHON names that Python if its path differs from the driver's.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.errors import UserError, extra_missing
from data_pipelines.fields.extension import Base
from data_pipelines.fields.numeric import NumericSample
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.prepare.engines import spark_tasks
from data_pipelines.prepare.engines.parts import NumberedPart, cut, numbered
from data_pipelines.prepare.engines.shuffle import Buckets, permuted
from data_pipelines.prepare.source import Counted, Source, set_cuts
from data_pipelines.prepare.splitting import Times
from data_pipelines.prepare.staging import Staging
from data_pipelines.read.preparation import Options, Shard
from data_pipelines.read.records import schema_dtype, shard_name, write_shard

JAVA_VERSION = 17


class SparkEngine:
    """Counts and writes on a Spark cluster.

    Args:
        master: the cluster's URL, such as spark://host:7077; None uses all cores of this machine.
        show: called with each progress line.

    Raises:
        UserError: PySpark or Java is missing, or the master cannot be reached.
    """

    def __init__(self, master: str | None, show: Callable[[str], None]):
        self._show = show
        self._parts: list[NumberedPart] | None = None
        self._session = _session(master or "local[*]")
        context = self._session.sparkContext
        show(f"Spark {self._session.version} at {context.master}")

    def count(self, source: Source, staging: Staging, base: Base | None = None) -> tuple[Vocabularies, Counted]:
        """See `build.Engine`. Raises UserError where input is bad."""
        from pyspark import StorageLevel
        from pyspark.sql import functions

        options, parts = source.options, self._numbered(source)
        counted = Counted()
        if source.splitter.by_time:
            self._show(f"reading times: {len(parts)} parts")
            set_cuts(counted, self._times(source, parts), source)
        self._show(f"counting: {len(parts)} parts")
        found = self._each(parts, partial(spark_tasks.count_parts, source, counted.cuts), spark_tasks.COUNT_SCHEMA)
        found = found.persist(StorageLevel.DISK_ONLY)
        with _clear_errors():
            notes = found.filter("field < 0").select("note").toArrow()["note"].to_pylist()
            least = functions.array(*(functions.lit(one.min_count or options.min_count) for one in options.inputs))
            levels = found.filter("field >= 0").groupBy("field", "level").agg(functions.sum("count").alias("count"))
            wanted = functions.col("count") >= functions.get(least, functions.col("field"))
            if base is not None:
                known = self._session.createDataFrame(_known_levels(options, base))
                levels = levels.join(known, ["field", "level"], "left")
                wanted |= functions.col("known")
            levels = levels.filter(wanted).select("field", "level", "count")
            frequent = pl.DataFrame(pl.from_arrow(levels.toArrow()))
        found.unpersist()
        sample = NumericSample(options.inputs, options.seed)
        longest: dict[str, int] = {}
        for note in notes:
            part_counted, hashes, values, part_longest = spark_tasks.read_note(note)
            counted.merge(part_counted)
            sample.merge(hashes, values)
            longest = {name: max(length, longest.get(name, 1)) for name, length in part_longest.items()}
        if counted.bad_rows > source.max_bad_rows:
            raise UserError(f"{counted.bad_rows} bad rows in all; raise --max_bad_rows={source.max_bad_rows}")
        counted.check(options.split_rule)
        counts = _FrequentLevels([one.name for one in options.inputs], frequent, longest)
        return Vocabularies.from_counts(
            options.format,
            options.inputs,
            counts,
            options.min_count,
            sample.parameters(),
            seed=options.seed,
            base=base,
        ), counted

    def write(
        self, source: Source, staging: Staging, vocabularies: Vocabularies, counted: Counted
    ) -> Iterator[tuple[str, Shard]]:
        """See `build.Engine`."""
        options, parts = source.options, self._numbered(source)
        dtype = schema_dtype(vocabularies.schema)
        buckets = Buckets(counted.rows, dtype.itemsize, options.block_rows, options.seed)
        self._show(f"encoding: {len(parts)} parts into {len(buckets.names)} record files")
        encode = partial(spark_tasks.encode_parts, source, staging.path, buckets, counted.cuts)
        directory = staging.path

        # Spark reads from the annotations what to pass, so this cannot be a partial.
        def write(table: pa.Table) -> pa.Table:
            return spark_tasks.write_bucket(options, directory, buckets, dtype, table)

        with _clear_errors():
            rows = self._each(parts, encode, spark_tasks.ROWS_SCHEMA)
            shards = rows.groupBy("bucket").applyInArrow(write, spark_tasks.SHARD_SCHEMA).toArrow().to_pylist()
        written = {shard["bucket"]: shard["rows"] for shard in shards}
        for bucket, (split, number) in enumerate(buckets.names):
            path = staging.path / shard_name(options.format.name, split, number, buckets.counts[split])
            if bucket not in written:
                write_shard(path, permuted(np.empty(0, dtype), split, number, options.seed), options.block_rows)
            count = written.get(bucket, 0)
            yield split, Shard(path.name, count, -(-count // options.block_rows), path.stat().st_size)

    def _times(self, source: Source, parts: list[NumberedPart]) -> Times:
        """Rows by the time that decides their split."""
        times = Times()
        with _clear_errors():
            found = self._each(parts, partial(spark_tasks.count_times, source), spark_tasks.TIME_SCHEMA)
            counts = found.groupBy("time").sum("rows").toArrow()
        times.add(counts.column(0).to_numpy(), counts.column(1).to_numpy())
        return times

    def _numbered(self, source: Source) -> list[NumberedPart]:
        if self._parts is None:
            parts = cut(source.files, source.options.format)
            with _clear_errors():
                found = self._each(
                    [NumberedPart(part, 0) for part in parts],
                    partial(spark_tasks.count_rows_of_parts, source.options.format),
                    spark_tasks.PART_SCHEMA,
                ).toArrow()
            by_part = {row["part"]: (row["lines"], row["rows"]) for row in found.to_pylist()}
            self._parts = numbered(parts, [by_part[i] for i in range(len(parts))])
        return self._parts

    def _each(self, parts: list[NumberedPart], task: Callable, schema: str) -> Any:
        """A data frame of what `task` returns for the parts; each part is a task of its own."""
        ids = self._session.range(0, len(parts), 1, len(parts))
        return ids.mapInArrow(partial(spark_tasks.run, task, parts), schema)


class _FrequentLevels:
    """`LevelCounts` whose counts are already complete."""

    def __init__(self, names: list[str], frequent: pl.DataFrame, longest: dict[str, int]):
        self._names, self._frequent, self._longest = names, frequent, longest

    def longest(self, name: str) -> int:
        """See `LevelCounts`."""
        return self._longest[name]

    def frequent_levels(self, name: str, min_count: int, known: pl.Series | None = None) -> pl.DataFrame:
        """See `LevelCounts`."""
        wanted = pl.col("count") >= min_count
        if known is not None:
            wanted |= pl.col("level").is_in(known.implode())
        found = self._frequent.filter(pl.col("field") == self._names.index(name), wanted)
        return found.select("level", "count").sort(["count", "level"], descending=[True, False])


def _known_levels(options: Options, base: Base) -> pa.Table:
    """The levels that the fields have already, as a Spark table's rows."""
    parts = [base.levels[one.name].clear() if one.shared_with else base.levels[one.name] for one in options.inputs]
    fields = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    levels = pl.concat(parts).to_arrow().cast(pa.string())
    return pa.table({"field": fields, "level": levels, "known": pa.array([True] * len(fields))})


def _session(master: str) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise extra_missing("--engine=spark", "PySpark", "spark") from None
    _check_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("ada_ensemble_tf prepare")
    builder = builder.config("spark.sql.shuffle.partitions", 64).config("spark.ui.enabled", "false")
    # Tasks read and write a lot, and one that fails on bad input would only fail again.
    session = builder.config("spark.task.maxFailures", 2).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    way_out = f"install Java {JAVA_VERSION} or newer and put it on the PATH, or set JAVA_HOME"
    if not java or not os.path.exists(java):
        raise UserError(f"--engine=spark needs Java {JAVA_VERSION}, and none was found; {way_out}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if not version or int(version.group(1)) < JAVA_VERSION:
        raise UserError(f"--engine=spark needs Java {JAVA_VERSION}, but {java} is {said.splitlines()[0]}; {way_out}")


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """A task's UserError comes back inside the traceback of Spark's own error; this extracts its message."""
    try:
        yield
    except Exception as error:
        found = re.search(r"data_pipelines\.errors\.UserError: (.*)", str(error))
        if found is None:
            raise
        raise UserError(found.group(1).strip()) from None
