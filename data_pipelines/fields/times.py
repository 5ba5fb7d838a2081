"""Forms of times: how a field's text says when something happened.

* "YYMMDDHH" (Avazu's; years from 2000 on), "YYYYMMDDHH" with any further digits (iPinYou's) and "YYYYMMDD".
* "iso8601": YYYY-MM-DD, which "T" or a blank, HH and any further text may follow. An offset from UTC is ignored.
* "unix_s" and "unix_ms": seconds and milliseconds since 1970 (in UTC), from March 1973 on; a fraction is dropped.
* A `strptime` pattern of the directives in `DIRECTIVES`, such as "%d.%m.%Y %H:%M".

Every time becomes "YYYY-MM-DD HH", or "YYYY-MM-DD" if the form or the text has no hour. A written time keeps the clock
of whoever wrote the log; unix times are in UTC. A day that does not exist (30 February) is not a time.
`ada_ensemble_tf.inference.readings` reads the same in the graph.
"""

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import polars as pl

from data_pipelines.errors import UserError

CANONICAL = r"^(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})(?: (?P<hour>[0-9]{2}))?$"
"""Matches every time once it is read."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
"""First letters of the names of months."""
DAYS_OF_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SECONDS_A_DAY, SECONDS_AN_HOUR = 86_400, 3600
EPOCH_UNITS = {"unix_s": 1, "unix_ms": 1000}
"""Units per second."""
_YEAR = r"(?P<year>(?:19|20)[0-9]{2})"
_MONTH, _DAY, _HOUR = r"(?P<month>0[1-9]|1[0-2])", r"(?P<day>0[1-9]|[12][0-9]|3[01])", r"(?P<hour>[01][0-9]|2[0-3])"
_NAMED = {
    "YYMMDDHH": rf"^(?P<year>[0-9]{{2}}){_MONTH}{_DAY}{_HOUR}$",
    "YYYYMMDDHH": rf"^{_YEAR}{_MONTH}{_DAY}{_HOUR}[0-9]{{0,7}}$",
    "YYYYMMDD": rf"^{_YEAR}{_MONTH}{_DAY}$",
    "iso8601": rf"^{_YEAR}-{_MONTH}-{_DAY}(?:[T ]{_HOUR}(?:[^0-9\n][^\n]*)?)?$",
    "unix_s": r"^(?P<units>[0-9]{9,10})(?:\.[0-9]*)?$",
    "unix_ms": r"^(?P<units>[0-9]{12,13})(?:\.[0-9]*)?$",
}
FORMS = tuple(_NAMED)
"""The names of forms."""
_FULL_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_WEEKDAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
DIRECTIVES = {
    "%Y": _YEAR,
    "%y": r"(?P<year>[0-9]{2})",
    "%m": _MONTH,
    "%d": _DAY,
    "%H": _HOUR,
    "%I": r"(?P<hour>0[1-9]|1[0-2])",
    "%p": r"(?P<half>(?i:am|pm))",
    "%b": rf"(?P<month>(?i:{'|'.join(MONTHS)}))",
    "%B": rf"(?P<month>(?i:{_FULL_MONTHS}))",
    "%a": r"(?i:mon|tue|wed|thu|fri|sat|sun)",
    "%A": rf"(?i:{_WEEKDAYS})",
    "%M": "(?P<minute>[0-5][0-9])",
    "%S": "(?P<second>[0-5][0-9]|6[01])",
    "%f": "[0-9]{1,9}",
    "%z": r"Z|[+-][0-9]{2}:?[0-9]{2}",
    "%%": "%",
}
"""The directives of `strptime` patterns, each with its regular expression."""
_SHORT = {"%m": r"(?P<month>1[0-2]|0?[1-9])", "%d": r"(?P<day>3[01]|[12][0-9]|0?[1-9])"} | {
    "%H": r"(?P<hour>2[0-3]|1[0-9]|0?[0-9])",
    "%I": r"(?P<hour>1[0-2]|0?[1-9])",
}
"""Where no digit follows, one digit is enough."""
_PLAUSIBLE = (1_000_000_000, 1_900_000_000)
"""Seconds since 1970 that an undeclared column may hold: September 2001 to March 2030."""


@dataclasses.dataclass(frozen=True)
class TimeForm:
    """A form of times.

    Attributes:
        name: as it is declared.
        pattern: regular expression with the groups year, month, day and perhaps hour, half (of the day), minute and
            second, or with the group units.
        two_digits: the smallest year that two digits can mean; 0 if years have four.
        names_months: whether months are written as words.
    """

    name: str
    pattern: str
    two_digits: int = 0
    names_months: bool = False

    @property
    def groups(self) -> dict[str, int]:
        """The number of each group by its name."""
        return dict(re.compile(self.pattern).groupindex)

    @property
    def has_hour(self) -> bool:
        """Whether there may be an hour."""
        return not {"hour", "units"}.isdisjoint(self.groups)


@cache
def time_form(name: str) -> TimeForm:
    """The form with a name, or of a `strptime` pattern.

    Raises:
        UserError: it is neither, or lacks a part of the date.
    """
    if name in _NAMED:
        return TimeForm(name, _NAMED[name], 2000 if name == "YYMMDDHH" else 0)
    known = f"{', '.join(FORMS)}, or a pattern such as %d.%m.%Y %H:%M"
    if "%" not in name:
        raise UserError(f"'format' should be {known}, got {name!r}")
    parts = re.findall(r"%.?|[^%]+", name, re.DOTALL)
    pattern = ""
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part.startswith("%"):
            if part not in DIRECTIVES:
                raise UserError(f"'format': {part!r} of {name!r} is unknown; there are {', '.join(DIRECTIVES)}")
            alone = not (following in DIRECTIVES and following != "%%") and not following[:1].isdigit()
            pattern += f"(?:{_SHORT.get(part, DIRECTIVES[part]) if alone else DIRECTIVES[part]})"
        else:
            pattern += re.escape(part).replace(r"\ ", " ")
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise UserError(f"'format': {name!r} has a part twice ({error})") from None
    missing = [part for part in ("year", "month", "day") if part not in groups]
    if missing:
        raise UserError(f"'format': {name!r} has no {missing[0]}, and the day is not known without it")
    if ("%I" in parts) != ("%p" in parts):
        raise UserError(f"'format': {name!r} should have %I and %p, or neither and %H")
    return TimeForm(name, f"^{pattern}$", 1969 if "%y" in parts else 0, not {"%b", "%B"}.isdisjoint(parts))


def canonical_times(text: pl.Series, name: str) -> pl.Series:
    """Each text [n] of a form as "YYYY-MM-DD HH" or "YYYY-MM-DD"; null if it is not such a time."""
    form = time_form(name)
    groups = pl.col("text").str.extract_groups(form.pattern)
    frame = text.alias("text").to_frame().select(groups).unnest("text")
    if "units" in form.groups:
        seconds = pl.col("units").cast(pl.Int64) // EPOCH_UNITS[name]
        return frame.select(pl.from_epoch(seconds, "s").dt.strftime("%Y-%m-%d %H")).to_series()
    year, month, day = pl.col("year").cast(pl.Int64), pl.col("month"), pl.col("day").cast(pl.Int64)
    if form.two_digits:
        year = form.two_digits + (year + 100 - form.two_digits % 100) % 100
    if form.names_months:
        numbers = {first: number for number, first in enumerate(MONTHS, start=1)}
        month = month.str.to_lowercase().str.head(3).replace_strict(numbers, default=None, return_dtype=pl.Int64)
    month = month.cast(pl.Int64)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)) & (month == 2)
    longest = month.replace_strict(dict(enumerate(DAYS_OF_MONTHS, start=1)), default=0, return_dtype=pl.Int64)
    date = pl.format("{}-{}-{}", year, _two_digits(month), _two_digits(day))
    hour = pl.col("hour").cast(pl.Int64) if form.has_hour else pl.lit(None, pl.Int64)
    if "half" in form.groups:
        hour = hour % 12 + 12 * (pl.col("half").str.to_lowercase() == "pm").cast(pl.Int64)
    time = pl.when(hour.is_null()).then(date).otherwise(pl.format("{} {}", date, _two_digits(hour)))
    return frame.select(pl.when(day <= longest + leap.cast(pl.Int64)).then(time)).to_series()


def written_time(time: datetime.datetime, name: str) -> str:
    """A time as text of a form."""
    if name in EPOCH_UNITS:
        return str(int(time.replace(tzinfo=datetime.timezone.utc).timestamp()) * EPOCH_UNITS[name])
    return time.strftime(_WRITTEN.get(name, name.replace("%z", "+0000")))


def fitting_forms(text: pl.Series, names: Sequence[str] = FORMS) -> dict[str, np.ndarray]:
    """By form, whether each text [n] of an undeclared column may be one of its times.

    Numbers outside `_PLAUSIBLE` do not count as unix times.
    """
    fits = {}
    for name in names:
        found = canonical_times(text, name).is_not_null()
        if name in EPOCH_UNITS:
            low, high = (bound * EPOCH_UNITS[name] for bound in _PLAUSIBLE)
            found &= text.cast(pl.Float64, strict=False).is_between(low, high, closed="left").fill_null(False)
        fits[name] = found.to_numpy()
    return fits


def reading_of(text: str, name: str) -> str:
    """A text's time in a form, in words: "2011-11-01, a Tuesday"."""
    (canonical,) = canonical_times(pl.Series([text]), name)
    date, _, hour = canonical.partition(" ")
    weekday = datetime.date.fromisoformat(date).strftime("%A")
    return f"{date}{f' {hour}:00' if hour else ''}, a {weekday}"


def readings_of(examples: Mapping[str, str]) -> str:
    """In words, the times that texts may mean, from one text for each form."""
    return ", or ".join(f"{text!r} as {name} is {reading_of(text, name)}" for name, text in examples.items())


def _two_digits(number: pl.Expr) -> pl.Expr:
    return number.cast(pl.String).str.zfill(2)


_WRITTEN = {"YYMMDDHH": "%y%m%d%H", "YYYYMMDDHH": "%Y%m%d%H", "YYYYMMDD": "%Y%m%d", "iso8601": "%Y-%m-%d %H:%M"}
