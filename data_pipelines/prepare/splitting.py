"""Which split each row goes to, by the rule that was asked for.

A row first gets a key: its split, or, in a split by time, its time. Cut points between times are known only once all
rows have been seen, so keys are kept until then.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.canonical import canonical
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.instants import instants, written
from data_pipelines.fields.kinds import Kind
from data_pipelines.fields.readings import Reading
from data_pipelines.fields.split_rules import SPLIT_NAMES
from data_pipelines.fields.text_hashes import hash_key, text_hashes
from data_pipelines.raw import RawChunk
from data_pipelines.read.preparation import SPLITS, Options
from data_pipelines.row_hashes import GROUP_SALT, is_kept, split_of_hashes, split_of_rows

DROPPED = -1
"""The split of negatives that are left out."""
Cuts = tuple[int, int]
"""The first times of validation and of test, in seconds since 1970."""


class Splitter:
    """Keys and splits of rows.

    Args:
        options: the rule, shares and seed.
        files: the raw files, in order.
    """

    def __init__(self, options: Options, files: Sequence[Path]):
        self._options, self._rule = options, options.split_rule
        self._files = files

    @property
    def by_time(self) -> bool:
        """Whether keys are times, and splits need cut points."""
        return self._rule.by == "time"

    @property
    def columns(self) -> dict[str, str | Kind]:
        """The raw column that the rule reads, with the kind of text that it must hold."""
        time = Kind("instant", Reading(trim=True, time=self._rule.time))
        kinds: dict[str, str | Kind] = {"time": time, "name": "split"}
        return {self._rule.column: kinds.get(self._rule.by, "text")} if self._rule.column else {}

    def keys(self, chunk: RawChunk) -> np.ndarray:
        """The key of each row: splits uint8 [n], or times int64 [n] in seconds since 1970."""
        rule, options = self._rule, self._options
        if rule.column:
            known, code = distinct(chunk.columns, rule.column), codes(chunk.columns, rule.column)
            if self.by_time:
                return instants(known.str.strip_chars(" \t"), rule.time)[code]
            if rule.by == "name":
                # Texts of rows that were left out are still among the distinct ones.
                names = known.str.strip_chars().str.to_lowercase()
                return names.replace_strict(SPLIT_NAMES, default=0, return_dtype=pl.UInt8).to_numpy()[code]
            text = canonical(known)
            split = split_of_hashes(text_hashes(text, hash_key(options.seed, GROUP_SALT)), options.split)[code]
            alone = split_of_rows(chunk.row_numbers, options.split, options.seed)
            return np.where((text == "").to_numpy()[code], alone, split).astype(np.uint8)
        if rule.by == "files":
            split = np.full(len(chunk.row_numbers), self._of_files[chunk.path], np.uint8)
            if rule.validation_share and split[:1] == 0:
                share = rule.validation_share
                split[:] = split_of_rows(chunk.row_numbers, (1 - share, share), options.seed)
            return split
        return split_of_rows(chunk.row_numbers, options.split, options.seed).astype(np.uint8)

    def splits(self, keys: np.ndarray, label: np.ndarray, row_numbers: np.ndarray, cuts: Cuts | None) -> np.ndarray:
        """The split of each row by its key [n], label [n] and number [n]: int64 [n], `DROPPED` where it is left out."""
        split = keys.astype(np.int64) if cuts is None else np.searchsorted(np.array(cuts), keys, side="right")
        if self._options.negative_rate < 1:
            spared = is_kept(row_numbers, self._options.negative_rate, self._options.seed)
            split = np.where((split == 0) & (label == 0) & ~spared, DROPPED, split)
        return split

    @cached_property
    def _of_files(self) -> dict[Path, int]:
        assert self._rule.files is not None
        return dict(zip(self._files, np.repeat(range(len(SPLITS)), self._rule.files).tolist(), strict=True))


class Times:
    """Rows by time: 16 bytes of memory for each different second."""

    def __init__(self) -> None:
        self._parts = [(np.empty(0, np.int64), np.empty(0, np.int64))]

    def add(self, times: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Adds times [n], of one row each or of `rows` [n] each."""
        if rows is None:
            times, rows = np.unique(times, return_counts=True)
        self._parts.append((times, rows))
        # Merging only when as much is pending as is merged keeps the total work proportional to the times seen.
        if sum(len(part) for part, _ in self._parts[1:]) > max(len(self._parts[0][0]), 1 << 16):
            self._parts = [self._merged()]

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(different times in order, rows of each)."""
        self._parts = [self._merged()]
        return self._parts[0]

    def _merged(self) -> tuple[np.ndarray, np.ndarray]:
        times, rows = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        distinct, place = np.unique(times, return_inverse=True)
        return distinct, np.bincount(place, rows, minlength=len(distinct)).astype(np.int64)


def cut_points(times: np.ndarray, rows: np.ndarray, shares: Sequence[float], rule: str) -> Cuts:
    """The first times of validation and of test, for splits as near to their shares as ties allow.

    Args:
        times: different times in order [n].
        rows: rows of each [n].
        shares: of train, validation and test.
        rule: named in the error.

    Raises:
        UserError: there are fewer than three different times.
    """
    if len(times) < len(SPLITS):
        found = " and ".join(written(time) for time in times.tolist())
        raise UserError(
            f"{rule}: the rows are of {len(times)} different times only ({found}), and rows of one time stay "
            "together: three are needed; name a finer column, or split otherwise"
        )
    # Rows before each time but the first.
    before, total = np.cumsum(rows)[:-1], rows.sum()
    test = 1 + int(np.argmin(np.abs(before[1:] - (1 - shares[2]) * total)))
    validation = int(np.argmin(np.abs(before[:test] - shares[0] * total)))
    return int(times[validation + 1]), int(times[test + 1])


def ranges(times: np.ndarray, cuts: Cuts) -> dict[str, tuple[str, str]]:
    """First and last time by split, of different times in order [n]."""
    parts = np.split(times, np.searchsorted(times, cuts))
    return {split: (written(part[0]), written(part[-1])) for split, part in zip(SPLITS, parts, strict=True)}
