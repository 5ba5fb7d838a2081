"""Finds the forms of time fields that declare none, from all rows of their columns.

A column is read in one form or not at all. The forms that fit most rows are kept from chunk to chunk. Reading ends when
one form is left, nearly always within the first chunk. A column that fits two forms to its end is refused.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import TIME_TRANSFORMS, Input, RawFormat
from data_pipelines.fields.readings import read
from data_pipelines.fields.times import EPOCH_UNITS, FORMS, fitting_forms, readings_of, time_form
from data_pipelines.raw.clicks import ClickLog
from data_pipelines.raw.reader import RawReader

_CHUNK_BYTES = 8 << 20


def with_time_forms(
    inputs: Sequence[Input],
    raw_format: RawFormat,
    files: Sequence[str | Path],
    clicks: ClickLog | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> tuple[Input, ...]:
    """The fields, with a form for each time field.

    Args:
        inputs: the fields.
        raw_format: how the files look.
        files: raw files.
        clicks: click logs, if the format has no label column.
        show: receives a line for each form that was found.

    Raises:
        UserError: a column fits several forms, or none.
    """
    undeclared = [one for one in inputs if one.transform in TIME_TRANSFORMS and not one.reading.time]
    if not undeclared:
        return tuple(inputs)
    # Read as categories, because the form that their text should have is not known yet.
    columns = {one.column: Input(one.column, one.column) for one in undeclared}
    found = {one: FittingForms() for one in undeclared}
    reader = RawReader(
        raw_format,
        list(columns.values()),
        files,
        chunk_bytes=_CHUNK_BYTES,
        clicks=clicks,
        on_bad_row=lambda complaint: None,
    )
    for chunk in reader:
        for one, forms in found.items():
            known = read(distinct(chunk.columns, one.column), one.reading)
            forms.add(known, np.bincount(codes(chunk.columns, one.column), minlength=len(known)))
        if all(len(forms.left) == 1 for forms in found.values()):
            break
    names = {one: forms.only(one) for one, forms in found.items()}
    for one, name in names.items():
        clock = ", in UTC" if name in EPOCH_UNITS else ""
        show(f'note: field {one.name}: times are read as {name}{clock}; declare it as the field\'s "format"')
    return tuple(
        dataclasses.replace(one, reading=dataclasses.replace(one.reading, time=names[one])) if one in names else one
        for one in inputs
    )


class FittingForms:
    """The forms that fit most of a column's rows.

    Attributes:
        examples: a text that fits, by form.
        other: the first text; "" as long as every value is missing.
    """

    def __init__(self) -> None:
        self._rows = dict.fromkeys(FORMS, 0)
        self.examples: dict[str, str] = {}
        self.other = ""

    @property
    def left(self) -> list[str]:
        """Their names; all names as long as every value is missing."""
        most = max(self._rows.values())
        return [name for name, rows in self._rows.items() if rows == most]

    def add(self, text: pl.Series, rows: np.ndarray) -> None:
        """Adds texts [n] with the number of rows of each [n]."""
        filled = (text != "").to_numpy() & (rows > 0)
        text, rows = text.filter(filled), rows[filled]
        for name, fits in fitting_forms(text).items():
            self._rows[name] += int(rows[fits].sum())
            if fits.any():
                self.examples.setdefault(name, text[int(np.argmax(fits))])
        if len(text):
            self.other = self.other or text[0]

    def only(self, field: Input) -> str:
        """The one form that is left. Raises UserError if there is none, or more than one."""
        place = f"field {field.name}: column {field.column!r}"
        if not self.other:
            raise UserError(f"{place} is empty; leave the field out")
        if not self.examples:
            raise UserError(
                f'{place} holds no times of a known form, but {self.other!r}; declare the field\'s "format": one of '
                f"{', '.join(FORMS)}, or a pattern such as %d.%m.%Y %H:%M"
            )
        examples = {name: self.examples[name] for name in self.left}
        if len(examples) > 1:
            raise UserError(f'{place} may be of two forms: {readings_of(examples)}; declare the field\'s "format"')
        (form,) = examples
        if field.transform == "hour_of_day" and not time_form(form).has_hour:
            raise UserError(f"{place} holds dates such as {examples[form]!r}, which have no hour; leave the field out")
        return form
