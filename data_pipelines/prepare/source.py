"""The input of a preparation and the result of counting it; the same for every engine."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.json_files import as_type
from data_pipelines.raw import RawReader
from data_pipelines.raw.clicks import ClickLog, read_clicks
from data_pipelines.read.preparation import SPLITS, Options


@dataclasses.dataclass(frozen=True)
class Source:
    """Raw files and how to prepare them.

    Attributes:
        options: see `Options`.
        files: raw files, in order.
        click_files: click logs, of formats without a label column.
        max_bad_rows: leave out and count up to so many bad rows.
    """

    options: Options
    files: tuple[Path, ...]
    click_files: tuple[Path, ...] = ()
    max_bad_rows: int = 0

    @cached_property
    def clicks(self) -> ClickLog | None:
        """The clicks, read once. Raises UserError if click logs are given although the format has labels."""
        return read_clicks(self.click_files, self.options.format)

    def reader(self, chunk_bytes: int, files: Sequence | None = None, first_row: int = 0) -> RawReader:
        """A reader of all files, or of `files` (paths or `FilePart`s), whose first row has the number `first_row`."""
        options = self.options
        return RawReader(
            options.format,
            options.inputs,
            files or self.files,
            self.max_bad_rows,
            chunk_bytes=chunk_bytes,
            clicks=self.clicks,
            first_row=first_row,
        )


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_OfBothLabels = tuple[_Number, _Number]


@dataclasses.dataclass(frozen=True)
class _Counted:
    rows: tuple[_OfBothLabels, _OfBothLabels, _OfBothLabels]
    bad_rows: _Number


class Counted:
    """Numbers of rows by split and label, and of rows left out."""

    def __init__(self) -> None:
        self._rows = np.zeros((len(SPLITS), 2), np.int64)
        self.bad_rows = 0

    def add(self, split: np.ndarray, label: np.ndarray) -> None:
        """Adds rows with their splits [n] and labels [n]."""
        self._rows += np.bincount(split * 2 + label, minlength=self._rows.size).reshape(self._rows.shape)

    def merge(self, other: "Counted") -> None:
        """Adds another count."""
        self._rows += other._rows
        self.bad_rows += other.bad_rows

    @property
    def total(self) -> int:
        """All rows."""
        return int(self._rows.sum())

    @property
    def rows(self) -> dict[str, int]:
        """Rows by split."""
        return dict(zip(SPLITS, self._rows.sum(axis=1).tolist(), strict=True))

    @property
    def positives(self) -> dict[str, int]:
        """Rows with label 1 by split."""
        return dict(zip(SPLITS, self._rows[:, 1].tolist(), strict=True))

    def check(self) -> None:
        """Raises UserError where all rows are bad, or a split has no rows, no positives or no negatives."""
        if not self.total and self.bad_rows:
            raise UserError(f"all {self.bad_rows:,} rows are bad; see the first ones, shown above, and mend the log")
        for split, rows in self.rows.items():
            if not rows:
                raise UserError(f"the {split} split gets none of the {self.total} rows; raise its share in --split")
        for split, rows in self.rows.items():
            if self.positives[split] in (0, rows):
                kind = "negatives" if self.positives[split] else "positives"
                why = "nothing could be learned" if split == "train" else "its AUC would have no meaning"
                raise UserError(
                    f"the {split} split has {rows:,} rows but no {kind}: {why}; "
                    "check the label column, or raise the split's share in --split"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {"rows": self._rows.tolist(), "bad_rows": self.bad_rows}

    @classmethod
    def from_json(cls, value: Any, source: str) -> "Counted":
        """The inverse of `to_json`; other keys are left alone. UserError: it is malformed; `source` is named."""
        left, counted = as_type(value, _Counted, source, closed=False), cls()
        counted._rows, counted.bad_rows = np.array(left.rows, np.int64), left.bad_rows
        return counted
