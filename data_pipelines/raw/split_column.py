"""Finds out what the column of `--split_by` holds: times, and in which form, or the names of splits."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.kinds import is_of_kind
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.fields.times import FORMS, readings_of
from data_pipelines.raw.clicks import ClickLog
from data_pipelines.raw.reader import RawReader
from data_pipelines.raw.undeclared import FittingForms

_CHUNK_BYTES = 8 << 20


def known_rule(
    rule: SplitRule,
    raw_format: RawFormat,
    inputs: Sequence[Input],
    files: Sequence[str | Path],
    clicks: ClickLog | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> SplitRule:
    """The rule, with what its column holds.

    A field that reads the column as times says their form. Otherwise the column's texts do; reading ends when they fit
    one form only, nearly always within the first chunk.

    Args:
        rule: as asked for.
        raw_format: how the files look.
        inputs: the fields.
        files: raw files.
        clicks: click logs, if the format has no label column.
        show: receives a line for a form that was found.

    Raises:
        UserError: the column is the label's, is missing from the files, holds neither times nor names of splits, or
            holds times that fit several forms.
    """
    if rule.column and rule.column in (raw_format.label, raw_format.weight) and not raw_format.click_key:
        raise UserError(f"{rule}: the column is the label's or the weight's; name another")
    if rule.by != "column":
        return rule
    declared = rule.time or next((one.reading.time for one in inputs if one.column == rule.column), "")
    if declared:
        return dataclasses.replace(rule, by="time", time=declared)
    forms = FittingForms()
    column = Input(rule.column, rule.column)
    reader = RawReader(
        raw_format, [column], files, chunk_bytes=_CHUNK_BYTES, clicks=clicks, on_bad_row=lambda complaint: None
    )
    for chunk in reader:
        text = distinct(chunk.columns, rule.column).str.strip_chars()
        # A column of names with another text in it is a column of names: its reading complains of the line.
        if not forms.other and is_of_kind(text, "split").any():
            show(f"note: {rule}: the column names the split of each row, so --split is not used")
            return dataclasses.replace(rule, by="name")
        forms.add(text, np.bincount(codes(chunk.columns, rule.column), minlength=len(text)))
        if len(forms.left) == 1:
            break
    form = _only(forms, rule)
    show(f"note: {rule}: times are read as {form}; --split_time names another form")
    return dataclasses.replace(rule, by="time", time=form)


def _only(forms: FittingForms, rule: SplitRule) -> str:
    if not forms.other:
        raise UserError(f"{rule}: the column is empty; name another")
    if not forms.examples:
        raise UserError(
            f"{rule}: the column holds {forms.other!r}, which is neither a time of a known form nor one of train, "
            f"validation and test; give the form of its times as --split_time: one of {', '.join(FORMS)}, or a pattern "
            "such as %d.%m.%Y %H:%M"
        )
    examples = {name: forms.examples[name] for name in forms.left}
    if len(examples) > 1:
        raise UserError(f"{rule}: times may be of two forms: {readings_of(examples)}; give one as --split_time")
    return next(iter(examples))
