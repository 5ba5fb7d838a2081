"""Raw files -> a prepared directory: the two passes, and when there is nothing to do."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.formats import raw_format
from data_pipelines.lines import CHUNK_BYTES
from data_pipelines.preparation import (
    FILE_NAME,
    SPLITS,
    Options,
    Preparation,
    RawFile,
    Shard,
    load_complete,
)
from data_pipelines.progress import Progress
from data_pipelines.raw import RawChunk, RawReader, read_raw
from data_pipelines.records import row_dtype, write_tfds_metadata
from data_pipelines.shuffle import DiskShuffle
from data_pipelines.splits import split_of_rows
from data_pipelines.staging import staged_directory
from data_pipelines.vocabulary import LevelCounter, Vocabularies

_BUCKET_DIR = "buckets"


def build(
    options: Options,
    raw_files: Sequence[str | Path],
    data_dir: str | Path,
    max_bad_rows: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
    show: Callable[[str], None] = print,
) -> None:
    """Prepares raw files into `data_dir`, which appears only when it is complete.

    The first pass counts levels over the training split, the second encodes and shuffles. The result depends
    on the raw rows and the options alone. If `data_dir` already holds it, nothing is done.

    Args:
        options: see `Options`.
        raw_files: raw files of the format `options.dataset`, plain or gzip.
        data_dir: the directory to make.
        max_bad_rows: leave out and count up to so many bad lines.
        chunk_bytes: raw text held at once; bounds memory, changes nothing else.
        show: gets progress and summary lines.

    Raises:
        DataError: bad input, a split without rows, a training split of one class only, a full disk, or
            `data_dir` holds something else.
    """
    start = time.monotonic()
    final = Path(data_dir)
    reader = read_raw(raw_format(options.dataset), raw_files, max_bad_rows, chunk_bytes=chunk_bytes)
    raw = tuple(RawFile.of(path) for path in raw_files)
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        _check_same(final, options, raw, max_bad_rows)
        show(f"{final}: already prepared")
        return
    with staged_directory(final) as directory:
        vocabularies, rows = _count(options, reader, show)
        _check_space(final, sum(rows.values()) * row_dtype(vocabularies.schema.num_fields).itemsize)
        shards, positives = _encode(options, reader, vocabularies, rows, directory, show)
        vocabularies.schema.save(directory / "schema.json")
        preparation = Preparation(
            options,
            raw,
            reader.bad_rows,
            positives,
            shards,
            vocabularies.save(directory),
            vocabularies.schema.fingerprint(),
        )
        write_tfds_metadata(directory, options.dataset, vocabularies.schema.num_fields, shards)
        preparation.save(directory)
    _summarise(final, time.monotonic() - start, show)


def _count(options: Options, reader: RawReader, show: Callable[[str], None]) -> tuple[Vocabularies, dict[str, int]]:
    columns = raw_format(options.dataset).columns
    transforms = {column.name: options.numeric_bins if column.kind == "numeric" else "text" for column in columns}
    label_name = raw_format(options.dataset).label
    counter = LevelCounter(transforms)
    rows, train_positives = np.zeros(len(SPLITS), np.int64), 0
    for chunk, split in _with_splits(options, reader, "counting", show):
        rows += np.bincount(split, minlength=len(SPLITS))
        train = chunk.frame.filter(split == 0)
        train_positives += int((train[label_name] == "1").sum())
        counter.add(train)
    by_split = dict(zip(SPLITS, rows.tolist(), strict=True))
    for name, count in by_split.items():
        if not count:
            raise DataError(f"the {name} split gets none of the {rows.sum()} rows; raise its share in --split")
    if train_positives in (0, by_split["train"]):
        kind = "positives" if train_positives == 0 else "negatives"
        raise DataError(f"the training split has {by_split['train']} rows but no {kind}; nothing could be learned")
    levels = {name: counter.frequent_levels(name, options.min_count) for name in transforms}
    return Vocabularies.from_levels(options.dataset, label_name, transforms, levels), by_split


def _encode(
    options: Options,
    reader: RawReader,
    vocabularies: Vocabularies,
    rows: dict[str, int],
    directory: Path,
    show: Callable[[str], None],
) -> tuple[dict[str, tuple[Shard, ...]], dict[str, int]]:
    buckets = directory / _BUCKET_DIR
    buckets.mkdir()
    dtype = row_dtype(vocabularies.schema.num_fields)
    shuffles = [DiskShuffle(buckets, s, rows[s], dtype, options.block_rows, options.seed) for s in SPLITS]
    try:
        for chunk, split in _with_splits(options, reader, "encoding", show):
            encoded = np.empty(len(split), dtype)
            encoded["ids"] = vocabularies.encode(chunk.frame)
            encoded["label"] = (chunk.frame[vocabularies.schema.label] == "1").to_numpy()
            for index, shuffle in enumerate(shuffles):
                chosen = split == index
                shuffle.add(encoded[chosen], chunk.row_numbers[chosen])
        shards = _write_shards(options, shuffles, rows, directory, show)
    finally:
        for shuffle in shuffles:
            shuffle.close()
    buckets.rmdir()
    written = {name: sum(shard.rows for shard in files) for name, files in shards.items()}
    if written != rows:
        raise DataError(f"the raw files changed while they were read: {rows} rows counted, {written} rows encoded")
    return shards, {name: shuffle.positives for name, shuffle in zip(SPLITS, shuffles, strict=True)}


def _write_shards(
    options: Options,
    shuffles: Sequence[DiskShuffle],
    rows: dict[str, int],
    directory: Path,
    show: Callable[[str], None],
) -> dict[str, tuple[Shard, ...]]:
    progress, written = Progress("shuffling", sum(rows.values()), show), 0
    shards: dict[str, list[Shard]] = {name: [] for name in SPLITS}
    for name, shuffle in zip(SPLITS, shuffles, strict=True):
        for shard in shuffle.write_shards(directory, options.dataset):
            shards[name].append(shard)
            written += shard.rows
            progress.update(written, written)
    return {name: tuple(files) for name, files in shards.items()}


def _with_splits(
    options: Options, reader: RawReader, title: str, show: Callable[[str], None]
) -> Iterator[tuple[RawChunk, np.ndarray]]:
    progress, rows = Progress(title, reader.total_bytes, show), 0
    for chunk in reader:
        yield chunk, split_of_rows(chunk.row_numbers, options.split, options.seed)
        rows += len(chunk.row_numbers)
        progress.update(rows, chunk.bytes_read)


def _check_space(final: Path, row_bytes: int) -> None:
    # Bucket files go as record files come, so the peak is the rows once and a bucket or so.
    free = shutil.disk_usage(final.parent).free
    if free < row_bytes:
        raise DataError(
            f"{final}: not enough space: about {row_bytes:,} bytes needed, {free:,} free; "
            "free some or choose another --data_dir"
        )


def _check_same(final: Path, options: Options, raw: tuple[RawFile, ...], max_bad_rows: int) -> None:
    way_out = "choose another --data_dir or delete it"
    if not (final / FILE_NAME).is_file():
        raise DataError(f"{final}: exists and is not a prepared data directory; {way_out}")
    _, found = load_complete(final)
    for field in dataclasses.fields(Options):
        there, asked = getattr(found.options, field.name), getattr(options, field.name)
        if there != asked:
            raise DataError(f"{final}: was prepared with --{field.name}={there}, not {asked}; {way_out}")
    if found.raw != raw:
        names = [", ".join(f"{file.name} ({file.size:,} bytes)" for file in files) for files in (found.raw, raw)]
        raise DataError(f"{final}: was prepared from {names[0]}, not from this {names[1]}; {way_out}")
    if found.bad_rows > max_bad_rows:
        raise DataError(f"{final}: was prepared leaving out {found.bad_rows} bad rows, more than allowed; {way_out}")


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
