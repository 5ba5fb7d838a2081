"""Findings about fields and rows, the same for raw logs and prepared data."""

from collections.abc import Callable, Sequence

import numpy as np

from data_pipelines.doctor.duplicates import Duplicates
from data_pipelines.doctor.result import Report
from data_pipelines.doctor.statistics import (
    GIVEN_AWAY_AUC,
    IMPROBABLE,
    NEARLY_GIVEN_AWAY_AUC,
    Shift,
    leaking_levels,
)
from data_pipelines.fields.hashing import shared_share
from data_pipelines.fields.notes import few_bins, not_exportable

_EFFECT = 0.01
"""A total variation below this does no harm, however significant it is."""
_COLLISIONS = 0.5
"""Smallest share of values that share a bucket that is reported."""
_COPIES = 0.01
"""Smallest share of copied rows that is reported."""


def judge_auc(report: Report, field: str, auc: float | None) -> bool:
    """Whether a field alone gives the label away; warns if it nearly does."""
    if auc is None or auc < NEARLY_GIVEN_AWAY_AUC:
        return False
    if auc >= GIVEN_AWAY_AUC:
        message = (
            f"field {field}: gives the label away: the rates of positives of its levels alone "
            f"rank held-out rows with AUC {auc:.4f}; leave out what is known only after the label"
        )
        report.error("leaking_field", message, field=field, value=auc)
    else:
        message = (
            f"field {field}: the rates of positives of its levels alone rank held-out rows with AUC {auc:.4f}; "
            "check that it is known before the label, and how negatives were sampled"
        )
        report.warning("strong_field", message, field=field, value=auc)
    return auc >= GIVEN_AWAY_AUC


def judge_levels(report: Report, field: str, counts: np.ndarray, text: Callable[[int], str]) -> None:
    """Levels with (almost) only positives.

    Args:
        report: gets the finding.
        field: its name.
        counts: rows of each level with label 0 and 1 [L, 2].
        text: of a level, by its position.
    """
    found = leaking_levels(counts)
    if not len(found):
        return
    negatives, positives = (int(n) for n in counts[found[0]])
    all_negatives, all_positives = counts.sum(axis=0)
    more = f" and {len(found) - 1} more levels likewise" if len(found) > 1 else ""
    share = counts[found, 1].sum() / all_positives
    message = (
        f"field {field}: level {text(int(found[0]))!r} is positive in {positives:,} of {negatives + positives:,} rows"
        f"{more} ({share:.1%} of all positives, base rate {all_positives / (all_positives + all_negatives):.4f}), "
        "which chance does not explain; check that it is known before the label, and how negatives were sampled"
    )
    report.warning("leaking_level", message, field=field, value=positives / (negatives + positives))


def judge_one_level(report: Report, field: str, level: str | None) -> None:
    """A field that is the same in all rows; `level` is its text, None where it is one number or another."""
    what = "is one number or empty" if level is None else f"is {level!r}" if level else "is empty"
    report.warning("one_level", f"field {field}: {what} in every row, so it tells nothing; leave it out", field=field)


def judge_bins(report: Report, field: str, bins: int, asked: int) -> None:
    """Equal-frequency bins that are far fewer than was asked for."""
    if few := few_bins(bins, asked):
        report.warning("few_bins", f"field {field}: {few}", field=field, value=bins)


def judge_buckets(report: Report, field: str, values: float, buckets: int) -> None:
    """Buckets in which most of a hashed field's `values` different values would share a row with another one."""
    if (share := shared_share(values, buckets)) < _COLLISIONS:
        return
    message = (
        f"field {field}: about {values:,.0f} different values in {buckets:,} buckets: {share:.0%} of them share a row "
        "with another value; raise buckets unless the values are too rare to learn from"
    )
    report.warning("collisions", message, field=field, value=share)


def judge_names(report: Report, columns: Sequence[str]) -> None:
    """A warning where no model of these columns can be exported."""
    if (message := not_exportable(columns)) is not None:
        report.warning("names", message)


def judge_shift(report: Report, field: str, split: str, shift: Shift | None, comparisons: int) -> None:
    """A split in which the field's levels are distributed otherwise than in training."""
    if shift is None or shift.distance < _EFFECT or shift.p * comparisons >= IMPROBABLE:
        return
    message = (
        f"field {field}: {shift.distance:.1%} of the {split} rows would have to change to be distributed as in train "
        f"(by chance about {shift.by_chance:.1%}); is the split by time, or were files exchanged?"
    )
    report.warning("shift", message, field=field, split=split, value=shift.distance)


def judge_copies(report: Report, duplicates: Duplicates, what: str, splits: Sequence[str] = ()) -> None:
    """Rows that occur more than once, which `duplicates` tells from rows that only look alike.

    Args:
        report: gets facts, a line of text and the finding.
        duplicates: what was found.
        what: that rows have in common.
        splits: names of the groups but the first, which is "train".
    """
    also = dict(zip(splits, duplicates.also_first, strict=True))
    report.facts["identical_rows"] = duplicates.identical
    report.facts["label_agreement_of_equal_rows"] = duplicates.agreement
    report.line(f"{duplicates.identical:.1%} of the rows equal another in {what} and label")
    if duplicates.agreement is not None:
        verdict = "they are copies" if duplicates.copied else "they look alike and are no copies"
        report.line(
            f"labels of rows with equal {what} agree {duplicates.agreement:.2f} (0: by chance, 1: always): {verdict}"
        )
    if duplicates.copied and max(duplicates.identical, *also.values(), 0) >= _COPIES:
        leak = "".join(f", and {share:.1%} of {split} is in train too" for split, share in also.items())
        message = (
            f"{duplicates.identical:.1%} of the rows are repeated{leak}: rows of equal {what} nearly always have the "
            "same label, as copies do; remove repeated lines from the raw log and prepare it again"
        )
        report.warning("copied_rows", message, value=duplicates.identical)
