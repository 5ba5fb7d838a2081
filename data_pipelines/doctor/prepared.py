"""The check-up of a prepared directory."""

from collections.abc import Callable, Mapping
from pathlib import Path

from data_pipelines import checksums
from data_pipelines.doctor.counts import SplitCounts, count_rows
from data_pipelines.doctor.days import report_times
from data_pipelines.doctor.duplicates import RowKeys
from data_pipelines.doctor.fields import examine_fields, examine_values
from data_pipelines.doctor.result import Column, Report
from data_pipelines.doctor.statistics import IMPROBABLE, rate_shift
from data_pipelines.doctor.verdicts import judge_copies, judge_names
from data_pipelines.errors import UserError
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.progress import Progress
from data_pipelines.read.preparation import FILE_NAME, METADATA, SPLITS, Preparation, load_complete

OPTIMIZER_SLOTS = {
    "adam": 2,
    "adagrad": 1,
    "ftrl": 2,
    "grda": 1,
    "group_ftrl": 2,
    "sgd": 0,
    "sparse_adagrad": 1,
    "sparse_adam": 2,
}
"""Floats that an optimiser keeps per weight."""
_GIB = 1 << 30
_SHOWN_FILES = 5


def memory_bytes(rows: int, dimension: int, optimizer: str) -> tuple[int, int]:
    """Bytes of a float32 embedding table [rows, dimension], and of the optimiser's slots for it.

    Raises:
        UserError: the dimension is below 1, or the optimiser is unknown.
    """
    if optimizer not in OPTIMIZER_SLOTS:
        raise UserError(f"unknown optimizer {optimizer!r}; known: {', '.join(OPTIMIZER_SLOTS)}")
    if dimension < 1:
        raise UserError(f"--embedding_dimension should be at least 1, got {dimension}")
    table = 4 * rows * dimension
    return table, table * OPTIMIZER_SLOTS[optimizer]


def examine_prepared(
    data_dir: str | Path,
    dimension: int = 16,
    optimizer: str = "adam",
    show: Callable[[str], None] = lambda line: None,
) -> Report:
    """Reads a whole prepared directory and reports what it holds and what is wrong with it.

    Memory: 48 bytes per row of the embedding table, and 8 bytes per row of data for at most `duplicates.MAX_ROWS` rows.

    Args:
        data_dir: the directory.
        dimension: of embeddings, for the estimate of memory.
        optimizer: a key of `OPTIMIZER_SLOTS`, for the estimate of memory.
        show: gets progress lines.

    Raises:
        UserError: an argument is out of range. Faults of the data are in the report.
    """
    memory_bytes(1, dimension, optimizer)
    report = Report(f"prepared data {data_dir}")
    report.facts["data_dir"] = str(data_dir)
    try:
        schema, preparation = load_complete(data_dir)
    except UserError as error:
        report.error("incomplete", str(error), file=_file_of(error))
        return report
    _describe(report, schema, preparation, dimension, optimizer)
    _look_for_other_files(report, Path(data_dir), schema, preparation)
    levels = None
    try:
        levels = Vocabularies.load(data_dir, schema).levels
    except UserError as error:
        report.error("vocabulary", str(error), file=_file_of(error))
    # TensorFlow takes seconds to import, and missing files are reported without it.
    from data_pipelines.read.dataset import PreparedData

    data, keys, total = PreparedData(Path(data_dir), schema, preparation), RowKeys(len(SPLITS)), preparation.rows
    try:
        with Progress("reading", sum(total.values()), show) as progress:
            counts = count_rows(data, keys, lambda rows: progress.update(rows, rows))
        # A file of another preparation also passes the records' own checksums.
        checksums.Checksums(data_dir).check(*(one.file for shards in preparation.shards.values() for one in shards))
    except UserError as error:
        report.error("damaged_file", str(error), file=_file_of(error))
        return report
    _examine_splits(report, preparation, counts, keys)
    if preparation.times:
        report_times(report, str(preparation.options.split_rule), preparation.times)
    examine_fields(report, schema, preparation, counts, levels)
    examine_values(report, schema, counts, preparation)
    judge_names(report, schema.columns)
    return report


def _is_random(preparation: Preparation) -> bool:
    """Whether splits differ by chance alone, in their labels too."""
    return preparation.options.split_rule.is_random and preparation.options.negative_rate == 1


def _file_of(error: UserError) -> str:
    """The file that an error's message begins with."""
    return str(error).split(": ")[0]


def _describe(report: Report, schema: Schema, preparation: Preparation, dimension: int, optimizer: str) -> None:
    table, slots = memory_bytes(schema.num_rows, dimension, optimizer)
    report.facts |= {
        "dataset": schema.dataset,
        "fields": schema.num_fields,
        "table_rows": schema.num_rows,
        "embedding_dimension": dimension,
        "optimizer": optimizer,
        "table_bytes": table,
        "slot_bytes": slots,
        "bad_rows": preparation.bad_rows,
    }
    bad = f", {preparation.bad_rows:,} bad rows left out" if preparation.bad_rows else ""
    report.line(f"{schema.dataset}: {schema.num_fields} fields, {schema.num_rows:,} table rows{bad}")
    report.line(
        f"an embedding table of {schema.num_rows:,} x {dimension} takes {table / _GIB:.3g} GiB, "
        f"and {slots / _GIB:.3g} GiB more for {optimizer}"
    )
    for field in schema.fields:
        if field.vector_width:
            report.line(
                f"field {field.name}: {field.vector_rows:,} of {field.vocabulary_size:,} levels start from vectors of "
                f"{field.vector_width} numbers{', which stay' if field.frozen else ''}"
            )


def _look_for_other_files(report: Report, path: Path, schema: Schema, preparation: Preparation) -> None:
    known = {FILE_NAME, checksums.FILE_NAME, "schema.json", *METADATA, *schema.vocabulary_files.values()}
    known |= set(schema.vector_files.values())
    known |= {shard.file for shards in preparation.shards.values() for shard in shards}
    others = sorted(str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir())
    others = [name for name in others if name not in known]
    if others:
        names = ", ".join(others[:_SHOWN_FILES]) + (", ..." if len(others) > _SHOWN_FILES else "")
        message = f"{path}: {len(others)} files that are not part of the data: {names}; move them elsewhere"
        report.warning("unexpected_file", message, file=others[0], value=len(others))


def _examine_splits(report: Report, preparation: Preparation, counts: Mapping[str, SplitCounts], keys: RowKeys) -> None:
    duplicates = keys.duplicates()
    in_train = dict(zip(SPLITS, (None, *duplicates.also_first), strict=True))
    rows = []
    for split, count in counts.items():
        negatives, positives = (int(n) for n in count.labels)
        recorded = preparation.rows[split], preparation.positives[split]
        rate = positives / count.rows if count.rows else None
        rows.append({"split": split, "rows": count.rows, "positives": positives, "base_rate": rate})
        rows[-1] |= {"files": len(preparation.shards[split]), "also_in_train": in_train[split]}
        if (count.rows, positives) != recorded:
            message = (
                f"{split}: {count.rows:,} rows with {positives:,} positives, but {FILE_NAME} says {recorded[0]:,} with "
                f"{recorded[1]:,}; prepare the data again"
            )
            report.error("other_rows", message, split=split, file=FILE_NAME, value=count.rows)
        if count.other_labels:
            message = f"{split}: {count.other_labels:,} labels are neither 0 nor 1; prepare the data again"
            report.error("label", message, split=split, value=count.other_labels)
        if 0 in (negatives, positives):
            kind = "negatives" if positives else "positives"
            message = f"{split}: {count.rows:,} rows but no {kind}; check the label column, or use more rows"
            report.error("one_class", message, split=split, value=rate)
        p = rate_shift(counts["train"].labels, count.labels)
        if p < IMPROBABLE and _is_random(preparation):
            train_rate = counts["train"].labels[1] / max(counts["train"].rows, 1)
            message = (
                f"{split}: {rate:.4f} positive but {train_rate:.4f} in train, which does not happen with random splits "
                f"(p = {p:.0e}); is the split by time, or were files exchanged?"
            )
            report.warning("base_rate_shift", message, split=split, value=rate)
    report.section("splits", rows)
    columns = [Column("split", "split"), Column("rows", "rows", "count"), Column("positives", "positives", "count")]
    columns += [Column("base_rate", "base rate", "rate"), Column("files", "files", "count")]
    report.table("splits", "splits", [*columns, Column("also_in_train", "% also in train", "percent")])
    judge_copies(report, duplicates, "ids", SPLITS[1:])
