"""The fields of prepared data, one by one: numbers for tables, and findings."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from data_pipelines.doctor.counts import SplitCounts
from data_pipelines.doctor.result import Column, Report
from data_pipelines.doctor.statistics import Shift, field_auc, level_shift
from data_pipelines.doctor.verdicts import (
    judge_auc,
    judge_bins,
    judge_buckets,
    judge_levels,
    judge_one_level,
    judge_shift,
)
from data_pipelines.fields.hashing import BUCKETS_FROM, estimated_values
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.read.preparation import SPLITS, Preparation

OUT_OF_VOCABULARY = "(out of vocabulary)"
_COMPARISON = """fields between splits, and against the label
(differing: rows that would have to change to be distributed as in train; AUC alone: of its levels' label rates)"""
_HEADINGS = {"train": "train", "validation": "valid", "test": "test"}


def examine_fields(
    report: Report,
    schema: Schema,
    preparation: Preparation,
    counts: Mapping[str, SplitCounts],
    vocabulary: Mapping[str, pl.Series] | None,
) -> None:
    """Adds the section "fields", its tables, and findings.

    Args:
        report: gets them.
        schema: the fields.
        preparation: says how often levels had to be seen.
        counts: by split.
        vocabulary: the levels of each field by its name; None if they could not be read.
    """
    thresholds = {one.name: one.min_count or preparation.options.min_count for one in preparation.options.inputs}
    thresholds = {name: thresholds[owner.name] for name, owner in schema.owners.items()}
    asked = {one.name: one.bins for one in preparation.options.inputs}
    rows = []
    for position, field in enumerate(schema.fields):
        levels = {split: count.levels(position) for split, count in counts.items()}
        known = None if vocabulary is None else vocabulary[field.name]
        text = partial(_text, field, known)
        # Bins, buckets and the one level of values exist even if they are rare.
        counted = field.transform not in ("equal_frequency", "hashed") and not field.has_value
        threshold = thresholds[field.name] if counted else 0
        shifts = _shifts(levels, threshold, field.width)
        auc = field_auc(levels["train"], levels["validation"] + levels["test"])
        rows.append(_level_numbers(field, levels, counts, position, known))
        rows[-1] |= {"shift": {split: shift and shift.distance for split, shift in shifts.items()}, "auc": auc}
        # Of levels that several fields share, all their rows count. Preparation counts more values than it keeps of
        # multi-valued fields.
        sharing = [i for i, one in enumerate(schema.fields) if schema.owners[one.name] is schema.owners[field.name]]
        train = np.sum([counts["train"].levels(i).sum(axis=1) for i in sharing], axis=0)
        is_whole = not any(schema.fields[i].separator for i in sharing)
        _judge_ids(report, field, train, threshold if is_whole else 0, counts, position)
        seen = np.flatnonzero(levels["train"].any(axis=1))
        if len(seen) == 1 and not field.has_value:
            judge_one_level(report, field.name, text(int(seen[0])))
        elif field.transform == "equal_frequency":
            judge_bins(report, field.name, len(field.parameters) + 1, asked[field.name])
        elif field.buckets:
            filled = int(np.any([split.any(axis=1) for split in levels.values()], axis=0)[BUCKETS_FROM:].sum())
            judge_buckets(report, field.name, estimated_values(filled, field.buckets), field.buckets)
        if not judge_auc(report, field.name, auc):
            judge_levels(report, field.name, np.sum(list(levels.values()), axis=0), text)
        for split, shift in shifts.items() if preparation.options.split_rule.is_random else ():
            judge_shift(report, field.name, split, shift, 2 * schema.num_fields)
    report.section("fields", rows)
    report.table("fields", "fields", _level_columns(any(field.separator for field in schema.fields)))
    report.table(_COMPARISON, "fields", _comparison_columns())


def examine_values(report: Report, schema: Schema, counts: Mapping[str, SplitCounts], preparation: Preparation) -> None:
    """Adds the section "values" of the fields that have floats beside their ids, its table, and findings."""
    if not schema.value_fields:
        return
    rows = []
    for number, position in enumerate(schema.value_fields):
        name = schema.fields[position].name
        bins = {split: count.value_bins(number) for split, count in counts.items()}
        moments = {split: count.moments(number) for split, count in counts.items()}
        shifts = _shifts(bins, 0, 1, offset=1)
        auc = field_auc(bins["train"], bins["validation"] + bins["test"])
        not_finite = sum(int(count.not_finite[number]) for count in counts.values())
        rows.append({"field": name, "not_finite": not_finite, "auc": auc})
        rows[-1] |= {"mean": {split: mean for split, (mean, _) in moments.items()}}
        rows[-1] |= {"deviation": {split: deviation for split, (_, deviation) in moments.items()}}
        rows[-1] |= {"shift": {split: shift and shift.distance for split, shift in shifts.items()}}
        if not_finite:
            message = f"field {name}: {not_finite:,} values are not finite numbers; prepare the data again"
            report.error("not_finite", message, field=name, value=not_finite)
        if np.count_nonzero(bins["train"].any(axis=1)) == 1:
            judge_one_level(report, name, None)
        judge_auc(report, name, auc)
        for split, shift in shifts.items() if preparation.options.split_rule.is_random else ():
            judge_shift(report, name, split, shift, 2 * schema.num_fields)
    report.section("values", rows)
    columns = [Column("field", "field"), Column("not_finite", "not finite", "count")]
    columns += [
        Column(f"{key}.{split}", heading, "number", title)
        for key, title in (("mean", "mean"), ("deviation", "standard deviation"))
        for split, heading in _HEADINGS.items()
    ]
    report.table("values", "values", [*columns, *_shift_columns(), Column("auc", "AUC alone", "rate")])


def _shifts(levels: Mapping[str, np.ndarray], threshold: int, width: int, offset: int = 0) -> dict[str, Shift | None]:
    """By split, compared with train. `offset` levels are put first and count as out of vocabulary."""
    totals = {split: np.pad(counts.sum(axis=1), (offset, 0)) for split, counts in levels.items()}
    return {split: level_shift(totals["train"], totals[split], threshold, width) for split in SPLITS[1:]}


def _level_numbers(
    field: Field,
    levels: Mapping[str, np.ndarray],
    counts: Mapping[str, SplitCounts],
    position: int,
    known: pl.Series | None,
) -> dict[str, Any]:
    totals = {split: counts.sum(axis=1) for split, counts in levels.items()}
    top = int(np.argmax(totals["train"]))
    padded = sum(int(count.padded[position]) for count in counts.values())
    cells = sum(count.rows for count in counts.values()) * field.width
    missing = None
    if known is not None:
        at = 0 if field.buckets else (known == "").arg_max() if (known == "").any() else None
        missing = {s: _share(0 if at is None else total[1 + at], counts[s].rows) for s, total in totals.items()}
    return {
        "field": field.name,
        "transform": field.transform,
        "levels": field.size,
        "out_of_vocabulary": {split: _share(total[0], total.sum()) for split, total in totals.items()},
        "missing": missing,
        "top_share": _share(totals["train"][top], totals["train"].sum()),
        "top_level": _text(field, known, top),
        "occurring": {split: _share((total[1:] > 0).sum(), field.size - 1) for split, total in totals.items()},
        "padded": _share(padded, cells) if field.separator else None,
    }


def _judge_ids(
    report: Report, field: Field, train: np.ndarray, threshold: int, counts: Mapping[str, SplitCounts], position: int
) -> None:
    for split, count in counts.items():
        if outside := int(count.outside[position]):
            message = (
                f"field {field.name}: {outside:,} ids of {split} are not in [{field.offset}, "
                f"{field.offset + field.size}), the field's rows; prepare the data again"
            )
            report.error("outside", message, field=field.name, split=split, value=outside)
    rare = int((train[1:] < threshold).sum())
    if rare:
        message = (
            f"field {field.name}: {rare:,} levels are in fewer than {threshold} rows of train, so the vocabulary is "
            "not that of these records; prepare the data again"
        )
        report.error("vocabulary", message, field=field.name, value=rare)


def _level_columns(with_padding: bool) -> list[Column]:
    columns = [Column("field", "field"), Column("transform", "transform"), Column("levels", "levels", "count")]
    for key, group in (("out_of_vocabulary", "% out of vocabulary"), ("missing", "% missing")):
        columns += [Column(f"{key}.{split}", heading, "percent", group) for split, heading in _HEADINGS.items()]
    columns += [Column("padded", "% pad", "percent")] if with_padding else []
    return [
        *columns,
        Column("top_share", "%", "percent", "most frequent"),
        Column("top_level", "level", "text", "most frequent", width=14),
    ]


def _comparison_columns() -> list[Column]:
    columns = [Column(f"occurring.{s}", heading, "percent", "% of levels seen") for s, heading in _HEADINGS.items()]
    return [Column("field", "field"), *columns, *_shift_columns(), Column("auc", "AUC alone", "rate")]


def _shift_columns() -> list[Column]:
    return [Column(f"shift.{split}", _HEADINGS[split], "percent", "% differing") for split in SPLITS[1:]]


def _text(field: Field, known: pl.Series | None, level: int) -> str:
    """A field's level by its position; position 0 is out of vocabulary."""
    return OUT_OF_VOCABULARY if level == 0 else field.level_text(level, known)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
