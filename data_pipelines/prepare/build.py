"""Raw files to a prepared directory: runs the stages, or detects that nothing is left to do."""

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.extension import Base
from data_pipelines.fields.notes import notes
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vectors import checked_vectors, keep_vectors
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.json_files import canonical_json
from data_pipelines.prepare.engines.local import LocalEngine
from data_pipelines.prepare.engines.memory import DEFAULT_GB
from data_pipelines.prepare.extending import Old, extension_lines
from data_pipelines.prepare.sameness import check_same
from data_pipelines.prepare.source import Counted, Source
from data_pipelines.prepare.staging import Staging, locked, staged_directory
from data_pipelines.raw.split_column import known_rule
from data_pipelines.raw.undeclared import with_time_forms
from data_pipelines.read.preparation import (
    FORMAT_VERSION,
    METADATA,
    SPLITS,
    Extension,
    Options,
    Preparation,
    RawFile,
    Shard,
    load_complete,
)
from data_pipelines.read.records import write_tfds_metadata


class Engine(Protocol):
    """Does the work: `engines.local.LocalEngine` or `engines.spark.SparkEngine`. Both write the same files."""

    def count(self, source: Source, staging: Staging, base: Base | None = None) -> tuple[Vocabularies, Counted]:
        """Counts levels over the training split, and rows; the vocabularies extend `base`, if there is one."""

    def write(
        self, source: Source, staging: Staging, vocabularies: Vocabularies, counted: Counted
    ) -> Iterator[tuple[str, Shard]]:
        """Writes the record files; yields (split, Shard) in order."""


def build(
    options: Options,
    raw_files: Sequence[str | Path],
    data_dir: str | Path,
    max_bad_rows: int = 0,
    click_files: Sequence[str | Path] = (),
    engine: Engine | None = None,
    show: Callable[[str], None] = print,
    old: Old | None = None,
) -> None:
    """Prepares raw files into `data_dir`, which appears only when it is complete.

    The result depends only on the raw rows and the options. If `data_dir` already holds the result, nothing is done.
    If an earlier call was killed, this call resumes after the last finished stage.

    Args:
        options: see `Options`.
        raw_files: raw files of `options.format`.
        data_dir: the directory to make.
        max_bad_rows: leave out and count up to so many bad rows.
        click_files: click logs, of formats that have their labels there.
        engine: this machine within `engines.memory.DEFAULT_GB` by default.
        show: gets progress and summary lines.
        old: earlier data whose vocabularies are extended: levels keep their ids, bins and means stay.

    Raises:
        UserError: bad input, a split without rows or of one class only, a full disk, `data_dir` holds
            something else, or `old` has other fields.
    """
    start = time.monotonic()
    options = dataclasses.replace(options, inputs=checked_vectors(options.inputs))
    if old is not None:
        options = old.options(options)
    final = Path(os.path.realpath(data_dir)) if Path(data_dir).is_symlink() else Path(data_dir)
    engine = engine or LocalEngine(DEFAULT_GB, show)
    source = Source(options, tuple(map(Path, raw_files)), tuple(map(Path, click_files)), max_bad_rows)
    source.reader(1)  # missing columns and files are found before anything is made
    look = (source.files, source.clicks, show)
    options = dataclasses.replace(
        options,
        inputs=with_time_forms(options.inputs, options.format, *look),
        split_rule=known_rule(options.split_rule, options.format, options.inputs, *look),
    )
    source = dataclasses.replace(source, options=options)
    raw, clicks = ([RawFile.of(path) for path in paths] for paths in (raw_files, click_files))
    request = (options, tuple(raw), tuple(clicks), max_bad_rows)
    if _is_prepared(final, *request, show):
        return
    with locked(final):
        # Another process may have prepared it in the meantime.
        if _is_prepared(final, *request, show):
            return
        with staged_directory(final, _identity(*request, engine)) as staging:
            _prepare(source, raw, clicks, engine, staging, show, old)
    _summarise(final, time.monotonic() - start, show)


def _prepare(
    source: Source,
    raw: Sequence[RawFile],
    clicks: Sequence[RawFile],
    engine: Engine,
    staging: Staging,
    show: Callable[[str], None],
    old: Old | None,
) -> None:
    """Runs the unfinished stages."""
    if staging.stage:
        vocabularies = Vocabularies.load(staging.path, Schema.load(staging.path / "schema.json"))
        counted = Counted.from_json(staging.found, str(staging.stage_file))
    else:
        vocabularies, counted = engine.count(source, staging, None if old is None else old.base)
        vocabularies.save(staging.path)
        vocabularies = keep_vectors(vocabularies, source.options.inputs, staging.path, show)
        vocabularies.schema.save(staging.path / "schema.json")
        staging.finish("counting", counted.to_json())
    for line in _split_lines(source.options, counted):
        show(line)
    extension = None if old is None else old.extension(vocabularies)
    if extension is not None:
        for line in extension_lines(extension, source.options.retire_after):
            show(line)
    for note in notes(vocabularies.schema, source.options.inputs):
        show(f"note: {note}")
    shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    for split, shard in engine.write(source, staging, vocabularies, counted):
        shards[split].append(shard)
    _describe(source.options, raw, clicks, vocabularies.schema, counted, shards, staging.path, extension)


def _is_prepared(
    final: Path,
    options: Options,
    raw: tuple[RawFile, ...],
    clicks: tuple[RawFile, ...],
    max_bad_rows: int,
    show: Callable[[str], None],
) -> bool:
    """Whether the directory holds the requested data. Raises UserError if it holds something else."""
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return False
    check_same(final, options, raw, clicks, max_bad_rows)
    show(f"{final}: already prepared")
    return True


def _describe(
    options: Options,
    raw: Sequence[RawFile],
    clicks: Sequence[RawFile],
    schema: Schema,
    counted: Counted,
    shards: dict[str, list[Shard]],
    directory: Path,
    extension: Extension | None,
) -> None:
    written = {split: sum(shard.rows for shard in files) for split, files in shards.items()}
    if written != counted.rows:
        raise UserError(f"the raw files changed while they were read: {counted.rows} rows counted, {written} encoded")
    preparation = Preparation(
        options,
        tuple(raw),
        tuple(clicks),
        counted.bad_rows,
        counted.positives,
        {split: tuple(files) for split, files in shards.items()},
        schema.fingerprint(),
        counted.times,
        counted.dropped,
        extension,
    )
    sizes = sum(schema.widths), len(schema.value_fields)
    write_tfds_metadata(directory, options.format.name, *sizes, shards, schema.has_weight)
    preparation.save(directory)
    Checksums(directory).add([*METADATA, *(shard.file for files in shards.values() for shard in files)])


def _split_lines(options: Options, counted: Counted) -> Iterator[str]:
    """What was found out about the split: times and cut points, negatives left out."""
    for split, (first, last) in counted.times.items():
        yield f"{split}: {options.split_rule.column} from {first} to {last}"
    if options.negative_rate < 1:
        yield (
            f"{counted.dropped:,} negatives of train are left out (--negative_rate={options.negative_rate:g}); "
            "evaluation, predict and exported models correct for it"
        )


def _identity(
    options: Options, raw: Sequence[RawFile], clicks: Sequence[RawFile], max_bad_rows: int, engine: Engine
) -> str:
    """Differs between preparations whose files must not be mixed. One engine cannot resume the work of the other."""
    files = [dataclasses.asdict(file) for file in (*raw, *clicks)]
    name = type(engine).__name__
    text = canonical_json([FORMAT_VERSION, msgspec.to_builtins(options), files, len(clicks), max_bad_rows, name])
    return hashlib.sha256(text.encode()).hexdigest()


def _summarise(final: Path, seconds: float, show: Callable[[str], None]) -> None:
    schema, preparation = load_complete(final)
    for split, rows in preparation.rows.items():
        rate, files = preparation.positives[split] / rows, len(preparation.shards[split])
        show(f"{split + ':':<12}{rows:>14,} rows, {rate:.4f} positive, {files} files")
    if preparation.bad_rows:
        show(f"bad rows left out: {preparation.bad_rows:,}")
    total = sum(preparation.rows.values())
    show(f"{schema.num_fields} fields, {schema.num_rows:,} table rows, fingerprint {preparation.fingerprint()}")
    show(f"{total:,} rows in {seconds:.1f} s, {total / seconds:,.0f} rows/s: {final}")
