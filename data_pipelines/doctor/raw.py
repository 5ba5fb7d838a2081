"""The check-up of a raw log, before it is prepared."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.doctor.days import Timeline
from data_pipelines.doctor.raw_counts import FREQUENT, RawCounts
from data_pipelines.doctor.result import Column, Report
from data_pipelines.doctor.statistics import field_auc
from data_pipelines.doctor.verdicts import (
    judge_auc,
    judge_bins,
    judge_buckets,
    judge_copies,
    judge_levels,
    judge_names,
    judge_one_level,
)
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import CATEGORIES, Input, RawFormat
from data_pipelines.fields.vectors import checked_vectors
from data_pipelines.prepare.engines.read_ahead import read_ahead
from data_pipelines.progress import Progress
from data_pipelines.raw import RawReader
from data_pipelines.raw.clicks import read_clicks
from data_pipelines.raw.reader import FEW_BAD
from data_pipelines.raw.split_column import known_rule
from data_pipelines.raw.undeclared import with_time_forms
from data_pipelines.read.preparation import Options

_SHOWN_BAD_ROWS = 5
_ROW_NAME_SHARE = 0.9
"""A field with at least this many levels per row names the row."""
_MIN_ROWS = 100


def examine_raw(
    raw_format: RawFormat,
    inputs: Sequence[Input],
    files: Sequence[str | Path],
    click_files: Sequence[str | Path] = (),
    max_bad_rows: int = 0,
    show: Callable[[str], None] = lambda line: None,
    split: Options | None = None,
) -> Report:
    """Reads raw files once and reports what they hold and what is wrong with them.

    Memory: about 1 GiB, and for one field at a time the levels that occur in at least two rows.

    Args:
        raw_format: how the files look.
        inputs: the fields.
        files: raw files.
        click_files: click logs, for a format that has no label column.
        max_bad_rows: more bad rows are an error.
        show: receives progress lines.
        split: if given, its shares and its rule, which reads a column of times, say where test will begin. The report
            then tells how far test lies behind train and which levels are new by day.
    """
    report = Report(f"raw log {', '.join(map(str, files))}")
    report.facts |= {"files": [str(file) for file in files], "dataset": raw_format.name}
    with tempfile.TemporaryDirectory(prefix="doctor-") as directory:
        counts = RawCounts((), Path(directory))
        complaints, reader, timeline = _Complaints(), None, None
        try:
            clicks = read_clicks(click_files, raw_format)
            inputs = with_time_forms(checked_vectors(inputs), raw_format, files, clicks, show)
            counts = RawCounts(inputs, Path(directory))
            if split is not None:
                rule = known_rule(split.split_rule, raw_format, inputs, files, clicks, show)
                timeline = Timeline(dataclasses.replace(split, inputs=inputs, split_rule=rule))
            also = timeline.columns if timeline else {}
            reader = RawReader(raw_format, inputs, files, clicks=clicks, on_bad_row=complaints.add, also=also)
            with Progress("reading", reader.total_bytes, show) as progress:
                for chunk in read_ahead(reader):
                    counts.add(chunk)
                    if timeline:
                        timeline.add(chunk)
                    progress.update(counts.rows, chunk.bytes_read)
        except UserError as error:
            report.error("unreadable", str(error))
        _examine_rows(report, counts, complaints, max_bad_rows, reader.way_to_declare if reader else "")
        if counts.rows:
            judge_copies(report, counts.keys.duplicates(), "fields")
            frequent = _examine_fields(report, inputs, counts)
            if timeline:
                timeline.report(report, frequent)
            judge_names(report, list(dict.fromkeys(one.column for one in inputs if not one.crossed)))
    return report


class _Complaints:
    """The number of bad rows, and the first ones."""

    def __init__(self):
        self.count, self.first = 0, []

    def add(self, complaint: str) -> None:
        """Counts a bad row."""
        self.count += 1
        if len(self.first) < _SHOWN_BAD_ROWS:
            self.first.append(complaint)


def _way_out(rows: int, bad: int, way_to_declare: str) -> str:
    if bad > FEW_BAD * (rows + bad):
        return (
            way_to_declare or "see whether the log is what --dataset and --schema say: so many should not be left out"
        )
    return ", or ".join(filter(None, ["fix them", f"leave them out by --max_bad_rows={bad}", way_to_declare]))


def _examine_rows(
    report: Report, counts: RawCounts, complaints: _Complaints, max_bad_rows: int, way_to_declare: str
) -> None:
    negatives, positives = (int(n) for n in counts.labels)
    rate = positives / counts.rows if counts.rows else None
    report.facts |= {"rows": counts.rows, "positives": positives, "base_rate": rate}
    report.facts |= {"bad_rows": complaints.count, "first_bad_rows": complaints.first}
    if counts.rows:
        report.line(f"{counts.rows:,} rows, {positives:,} positive ({rate:.4f}), {complaints.count:,} bad rows")
    for complaint in complaints.first:
        report.line(f"bad row: {complaint}")
    if complaints.count > max_bad_rows:
        message = (
            f"{complaints.count:,} bad rows, but --max_bad_rows={max_bad_rows}; the first: {complaints.first[0]}; "
            f"{_way_out(counts.rows, complaints.count, way_to_declare)}"
        )
        report.error("bad_rows", message, value=complaints.count)
    if counts.rows and 0 in (negatives, positives):
        message = f"the label is {int(negatives == 0)} in all {counts.rows:,} rows; check the label column"
        report.error("one_class", message, value=rate)


def _examine_fields(report: Report, inputs: Sequence[Input], counts: RawCounts) -> dict[str, list[str]]:
    """Adds the section "fields", its table, and findings; returns each field's frequent levels, if it has levels."""
    rows, frequent = [], {}
    for one in filter(counts.is_counted, inputs):
        found = counts.field(one)
        if found.texts is not None:
            frequent[one.name] = found.texts[1:]
        auc = field_auc(found.halves[0], found.halves[1])
        rows.append({"field": one.name, "transform": one.transform, "levels": found.distinct})
        rows[-1] |= {"missing": found.missing, "rare": found.rare, "auc": auc}
        rows[-1] |= {"top_share": found.top_share, "top_level": found.top_level}
        filled = counts.rows * (1 - found.missing)
        if found.distinct == 1:
            judge_one_level(report, one.name, "" if found.missing else found.top_level)
        elif (
            one.transform in CATEGORIES
            and not one.crossed
            and not one.separator
            and filled >= _MIN_ROWS
            and found.distinct >= _ROW_NAME_SHARE * filled
        ):
            message = (
                f"field {one.name}: {found.distinct:,} levels in {counts.rows:,} rows: it names the row, "
                "so nothing can be learned from it; leave it out"
            )
            report.warning("names_the_row", message, field=one.name, value=found.distinct)
        elif found.bins is not None:
            judge_bins(report, one.name, found.bins, one.bins)
        elif one.buckets:
            judge_buckets(report, one.name, found.distinct, one.buckets)
        given_away = judge_auc(report, one.name, auc)
        if not given_away and found.texts is not None:
            judge_levels(report, one.name, found.halves.sum(axis=0), found.texts.__getitem__)
    report.section("fields", rows)
    columns = [Column("field", "field"), Column("transform", "transform"), Column("levels", "levels", "count")]
    columns += [Column("missing", "% missing", "percent"), Column("rare", "% rare", "percent")]
    columns += [
        Column("top_share", "%", "percent", "most frequent"),
        Column("top_level", "level", "text", "most frequent", width=14),
    ]
    title = f"fields (rare: rows in levels of fewer than {FREQUENT} rows; AUC alone: of its levels' label rates)"
    report.table(title, "fields", [*columns, Column("auc", "AUC alone", "rate")])
    return frequent
