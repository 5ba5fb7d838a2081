"""The result of a check-up: tables of numbers and findings, as text in short lines and as JSON."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

_FORMS = {
    "count": lambda value: f"{value:,}",
    "percent": lambda value: f"{100 * value:.1f}",
    "rate": lambda value: f"{value:.4f}",
    "number": lambda value: f"{value:.3g}",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        severity: "error" or "warning".
        kind: a name for programs, e.g. "leaking_field".
        message: one line: where, how much, what to do.
        field: the data's field that the finding is about, if any.
        split: the split that it is about, if any.
        file: the file that it is about, if any.
        value: the number that is too large or too small.
    """

    severity: str
    kind: str
    message: str
    field: str | None = None
    split: str | None = None
    file: str | None = None
    value: float | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: of the rows' dictionaries; "a.b" is key b of the dictionary at a.
        heading: above the column.
        form: "text" (cut off at `width`), "line" (whole), "count", "percent" (of a share), "rate" or "number".
        group: heading over neighbouring columns of one group; at most as long as they are wide.
        width: largest width of "text".
    """

    key: str
    heading: str
    form: str = "text"
    group: str = ""
    width: int = 18


class Report:
    """Numbers and findings, added as they are found.

    Args:
        subject: what was checked.

    Attributes:
        facts: single numbers, by name; in JSON only.
        findings: in the order they were added.
    """

    def __init__(self, subject: str):
        self._subject = subject
        self._sections: dict[str, list[dict[str, Any]]] = {}
        self._text: list[str] = []
        self.facts: dict[str, Any] = {}
        self.findings: list[Finding] = []

    def line(self, text: str) -> None:
        """Adds a line of text; its numbers belong in `facts` too."""
        self._text.append(text)

    def section(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Adds the rows of a section to the JSON; `table` shows them."""
        self._sections[name] = list(rows)

    def table(self, title: str, section: str, columns: Sequence[Column]) -> None:
        """Shows columns of a section as text; None is "-"."""
        self._text += ["", title, *_table(self._sections[section], columns)]

    def error(self, kind: str, message: str, **where: Any) -> None:
        """Adds a finding that makes the exit code 1; `where` are attributes of `Finding`."""
        self.findings.append(Finding("error", kind, message, **where))

    def warning(self, kind: str, message: str, **where: Any) -> None:
        """Adds a finding that leaves the exit code 0; `where` are attributes of `Finding`."""
        self.findings.append(Finding("warning", kind, message, **where))

    def number_of(self, severity: str) -> int:
        """Findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """1 if there are errors."""
        return int(self.number_of("error") > 0)

    def to_text(self) -> str:
        """Tables, then one line per finding."""
        findings = [f"{finding.severity}: {finding.message}" for finding in self.findings]
        total = ", ".join(_number(self.number_of(severity), severity) for severity in ("error", "warning"))
        return "\n".join([self._subject, *self._text, "", *findings, total])

    def to_json(self) -> str:
        """The same for programs; numbers that are not finite are null."""
        content: dict[str, Any] = {"subject": self._subject, "facts": self.facts, **self._sections}
        content["findings"] = [dataclasses.asdict(finding) for finding in self.findings]
        content |= {"errors": self.number_of("error"), "warnings": self.number_of("warning")}
        return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[Column]) -> list[str]:
    cells = [[_cell(_at(row, column.key), column) for row in rows] for column in columns]
    widths = [
        max(len(text) for text in (column.heading, *cell, "100.0" if column.form == "percent" else ""))
        for column, cell in zip(columns, cells, strict=True)
    ]
    lines = [_joined([column.heading for column in columns], widths, columns)]
    if any(column.group for column in columns):
        lines.insert(0, _groups(columns, widths))
    return lines + [_joined(row, widths, columns) for row in zip(*cells, strict=True)]


def _groups(columns: Sequence[Column], widths: Sequence[int]) -> str:
    line, start = "", 0
    for i, (column, width) in enumerate(zip(columns, widths, strict=True)):
        if column.group and (i == 0 or columns[i - 1].group != column.group):
            line = line.ljust(start) + column.group
        start += width + 2
    return line


def _joined(texts: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    padded = [
        text.ljust(width) if column.form in ("text", "line") else text.rjust(width)
        for text, width, column in zip(texts, widths, columns, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return "-"
    if column.form == "line":
        return str(value)
    if column.form == "text":
        # A level can be any text, so characters that would break the line are escaped.
        text = "(empty)" if value == "" else str(value) if str(value).isprintable() else repr(value)
        return text if len(text) <= column.width else text[: column.width - 2] + ".."
    return _FORMS[column.form](value)


def _at(row: dict[str, Any], key: str) -> Any:
    value: Any = row
    for part in key.split("."):
        value = None if value is None else value.get(part)
    return value


def _plain(value: Any) -> Any:
    """The same without NumPy's types and without numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
