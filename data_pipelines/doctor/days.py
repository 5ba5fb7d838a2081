"""What time does to a log: how far test lies behind train, and how many rows have levels that are new on their day."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.doctor.raw_counts import NUMBERS
from data_pipelines.doctor.result import Column, Report
from data_pipelines.errors import UserError
from data_pipelines.fields.canonical import canonical
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.instants import written
from data_pipelines.fields.readings import read
from data_pipelines.fields.rules import split_values, to_levels
from data_pipelines.fields.times import SECONDS_A_DAY
from data_pipelines.prepare.splitting import Cuts, Splitter, Times, cut_points, ranges
from data_pipelines.raw import RawChunk
from data_pipelines.read.preparation import Options

MAX_PAIRS = 1 << 22
"""Pairs of level and day that are kept of a field, in 16 bytes each; of larger fields, a random share of the levels."""
_SHOWN_DAYS = 8
_MERGE_PAIRS = 1 << 16


class LevelDays:
    """On which days each level of each field occurs.

    Args:
        inputs: the fields; crosses and those whose levels preparation learns from numbers are left out.
        max_pairs: pairs of level and day that are kept of a field.
    """

    def __init__(self, inputs: Sequence[Input], max_pairs: int = MAX_PAIRS):
        self._inputs = [one for one in inputs if one.transform not in NUMBERS and not one.crossed]
        self._parts: dict[str, list[pl.DataFrame]] = {one.name: [] for one in self._inputs}
        self._limits = dict.fromkeys(self._parts, 2**64 - 1)
        self._max_pairs = max_pairs

    def add(self, columns: pa.RecordBatch, times: np.ndarray) -> None:
        """Adds rows of raw columns by their times [n], in seconds since 1970."""
        days = times // SECONDS_A_DAY
        for one in self._inputs:
            rows = pl.DataFrame({"code": codes(columns, one.column).astype(np.int64), "day": days})
            rows = rows.group_by("code", "day").len("rows")
            levels = _levels(read(distinct(columns, one.column), one.reading), one)
            rows = rows.with_columns(levels.gather(rows["code"]).alias("level"))
            rows = (rows.explode("level") if one.separator else rows).select(
                pl.col("level").hash(seed=0), "day", pl.col("rows").cast(pl.Int64)
            )
            self._keep(one.name, rows)

    def _keep(self, name: str, rows: pl.DataFrame) -> None:
        parts = self._parts[name]
        parts.append(rows.filter(pl.col("level") <= self._limits[name]))
        heights = [part.height for part in parts]
        if sum(heights[1:]) <= max(heights[0], _MERGE_PAIRS):
            return
        merged = _merged(parts)
        while merged.height > self._max_pairs:
            # Hashes are uniform, so half of the limit halves the sample.
            self._limits[name] //= 2
            merged = merged.filter(pl.col("level") <= self._limits[name])
        self._parts[name] = [merged]

    def new_rows(self) -> list[dict[str, Any]]:
        """By field and day, in order, the share of the day's values whose level occurs on no earlier day."""
        found = []
        for one in self._inputs:
            is_first = pl.col("day") == pl.col("day").min().over("level")
            pairs = _merged(self._parts[one.name]).with_columns((pl.col("rows") * is_first).alias("new"))
            by_day = pairs.group_by("day").agg(pl.col("new").sum(), pl.col("rows").sum())
            for day, new, rows in by_day.sort("day").iter_rows():
                found.append({"field": one.name, "day": _date(day), "new": new / rows})
        return found

    def only_after(self, name: str, texts: Sequence[str], time: int) -> list[str]:
        """Those of a field's levels, given as texts, which occur on no day before that of a time."""
        if name not in self._parts:
            return []
        first = _merged(self._parts[name]).group_by("level").agg(pl.col("day").min())
        asked = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
        asked = asked.with_columns(pl.col("text").hash(seed=0).alias("level"))
        late = first.filter(pl.col("day") >= time // SECONDS_A_DAY)
        return asked.join(late, on="level", how="semi", maintain_order="left")["text"].to_list()


class Timeline:
    """The times of a log's rows and the days of its levels.

    Args:
        options: fields, shares and the rule, which should read a column of times.

    Raises:
        UserError: the rule reads no times.
    """

    def __init__(self, options: Options):
        if options.split_rule.by != "time":
            raise UserError(f"{options.split_rule}: the column names splits; the check-up takes a column of times")
        self._options, self._splitter = options, Splitter(options, ())
        self._times, self._days = Times(), LevelDays(options.inputs)
        self.columns = self._splitter.columns

    def add(self, chunk: RawChunk) -> None:
        """Adds the rows of a chunk that was read with `columns`."""
        times = self._splitter.keys(chunk)
        self._times.add(times)
        self._days.add(chunk.columns, times)

    def report(self, report: Report, frequent: Mapping[str, Sequence[str]]) -> None:
        """Adds what was found; `frequent` are the frequent levels of each field, the most frequent first."""
        rule = str(self._options.split_rule)
        times, rows = self._times.counts()
        try:
            cuts = cut_points(times, rows, self._options.split, rule)
        except UserError as error:
            report.error("split", str(error))
            return
        report_times(report, rule, ranges(times, cuts))
        report_new_levels(report, self._days, frequent, cuts)


def report_times(report: Report, rule: str, times: Mapping[str, tuple[str, str]]) -> None:
    """Adds the times of the splits, and how far test lies behind train, from the first and last time by split."""
    report.section("times", [{"split": split, "first": one, "last": other} for split, (one, other) in times.items()])
    report.line("")
    report.line(rule)
    for split, (one, other) in times.items():
        report.line(f"{split}: {one} to {other}")
    (_, train), (first, last) = times["train"], times["test"]
    gap, reach = (_seconds(first) - _seconds(train), _seconds(last) - _seconds(train))
    report.facts |= {"seconds_to_first_test_row": gap, "seconds_to_last_test_row": reach}
    report.line(f"test begins {_long(gap)} after the last training row and ends {_long(reach)} after it")


def report_new_levels(report: Report, days: LevelDays, frequent: Mapping[str, Sequence[str]], cuts: Cuts) -> None:
    """Adds the section and the table of levels that are new by day.

    Args:
        report: gets them.
        days: of all rows.
        frequent: the frequent levels of each field, the most frequent first.
        cuts: the first times of validation and of test.
    """
    found = days.new_rows()
    report.section("new_levels", found)
    names = sorted({row["day"] for row in found})
    table: dict[str, dict[str, Any]] = {}
    for row in found:
        table.setdefault(row["field"], {"field": row["field"]})[row["day"]] = row["new"]
    for name, row in table.items():
        late = days.only_after(name, frequent.get(name, ()), cuts[1])
        row["newest"] = late[0] if late else None
    report.section("new_levels_by_field", list(table.values()))
    # On the first day every level is new.
    columns = [Column(day, day[5:], "percent") for day in names[1:][-_SHOWN_DAYS:]]
    columns = [Column("field", "field"), *columns, Column("newest", "frequent level new in test", width=27)]
    title = "% of values whose level no earlier day has"
    report.table(title if len(names) <= _SHOWN_DAYS + 1 else f"{title} (last days)", "new_levels_by_field", columns)


def _levels(text: pl.Series, one: Input) -> pl.Series:
    if one.separator:
        return split_values(text, one.separator, one.reading)
    return canonical(text) if one.transform == "text" else to_levels(text, one.transform)


def _merged(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if not parts:
        return pl.DataFrame(schema={"level": pl.UInt64, "day": pl.Int64, "rows": pl.Int64})
    return pl.concat(parts).group_by("level", "day").agg(pl.col("rows").sum())


def _date(day: int) -> str:
    return written(day * SECONDS_A_DAY)[:10]


def _seconds(time: str) -> int:
    return int((datetime.datetime.fromisoformat(time) - datetime.datetime(1970, 1, 1)).total_seconds())


def _long(seconds: int) -> str:
    """A length of time in words: "3.5 days"."""
    for unit, name in ((SECONDS_A_DAY, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds} seconds"
