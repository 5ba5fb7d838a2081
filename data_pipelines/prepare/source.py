"""The input of a preparation and the result of counting it; the same for every engine."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.json_files import as_type
from data_pipelines.prepare.splitting import DROPPED, Cuts, Splitter, Times, cut_points, ranges
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

    @cached_property
    def splitter(self) -> Splitter:
        """Which split each row goes to."""
        return Splitter(self.options, self.files)

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
            also=self.splitter.columns,
        )


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_OfBothLabels = tuple[_Number, _Number]


@dataclasses.dataclass(frozen=True)
class _Counted:
    rows: tuple[_OfBothLabels, _OfBothLabels, _OfBothLabels]
    weightless: tuple[_OfBothLabels, _OfBothLabels, _OfBothLabels]
    bad_rows: _Number
    dropped: _Number
    cuts: Cuts | None
    times: dict[str, tuple[str, str]]


class Counted:
    """Numbers of rows by split and label, and of rows left out.

    Attributes:
        bad_rows: rows that could not be read.
        dropped: negatives of the training split that were left out.
        cuts: the first times of validation and of test, of a split by time.
        times: first and last time by split, of a split by time.
    """

    def __init__(self) -> None:
        self._rows = np.zeros((len(SPLITS), 2), np.int64)
        self._weightless = np.zeros_like(self._rows)
        self.bad_rows = self.dropped = 0
        self.cuts: Cuts | None = None
        self.times: dict[str, tuple[str, str]] = {}

    def add(self, split: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Adds rows with their splits [n], labels [n] and, if they have them, weights [n]."""
        kept = split != DROPPED
        self.dropped += len(split) - int(kept.sum())
        keys = split * 2 + label
        self._rows += self._by_key(keys[kept])
        if weight is not None:
            self._weightless += self._by_key(keys[kept & (weight == 0)])

    def _by_key(self, keys: np.ndarray) -> np.ndarray:
        return np.bincount(keys, minlength=self._rows.size).reshape(self._rows.shape)

    def merge(self, other: "Counted") -> None:
        """Adds another count."""
        self._rows += other._rows
        self._weightless += other._weightless
        self.bad_rows += other.bad_rows
        self.dropped += other.dropped

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

    def check(self, rule: SplitRule) -> None:
        """Raises UserError where all rows are bad, or a split has no rows, no positives or no negatives that count."""
        larger = "raise its share in --split" if rule.uses_shares else f"give it rows of both labels ({rule})"
        if not self.total and self.bad_rows:
            raise UserError(f"all {self.bad_rows:,} rows are bad; see the first ones, shown above, and mend the log")
        for split, rows in self.rows.items():
            if not rows:
                raise UserError(f"the {split} split gets none of the {self.total} rows; {larger}")
        for split, rows in self.rows.items():
            if self.positives[split] in (0, rows):
                kind = "negatives" if self.positives[split] else "positives"
                why = "nothing could be learned" if split == "train" else "its AUC would have no meaning"
                raise UserError(
                    f"the {split} split has {rows:,} rows but no {kind}: {why}; check the label column, or {larger}"
                )
        for position, split in enumerate(SPLITS):
            for label, kind in enumerate(("negatives", "positives")):
                if self._weightless[position, label] == self._rows[position, label]:
                    raise UserError(
                        f"all {self._rows[position, label]:,} {kind} of the {split} split have weight 0; "
                        "check the weight column"
                    )

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        rows = {"rows": self._rows.tolist(), "weightless": self._weightless.tolist()}
        left_out = {"bad_rows": self.bad_rows, "dropped": self.dropped}
        return rows | left_out | {"cuts": self.cuts, "times": self.times}

    @classmethod
    def from_json(cls, value: Any, source: str) -> "Counted":
        """The inverse of `to_json`; other keys are left alone. UserError: it is malformed; `source` is named."""
        left, counted = as_type(value, _Counted, source, closed=False), cls()
        counted._rows, counted.bad_rows = np.array(left.rows, np.int64), left.bad_rows
        counted._weightless, counted.dropped = np.array(left.weightless, np.int64), left.dropped
        counted.cuts, counted.times = left.cuts, left.times
        return counted


def set_cuts(counted: Counted, times: Times, source: Source) -> None:
    """Sets the cut points of a split by time. Raises UserError if there are too few different times."""
    found, rows = times.counts()
    counted.cuts = cut_points(found, rows, source.options.split, str(source.options.split_rule))
    counted.times = ranges(found, counted.cuts)
