"""When something happened, to the second: what a split by time sorts rows by.

Fields keep the hour of a time alone (`times.py`); minutes and seconds, where the text has them, matter only here.
Fractions of a second are dropped.
"""

import datetime

import numpy as np
import polars as pl

from data_pipelines.fields.times import EPOCH_UNITS, SECONDS_A_DAY, canonical_times, time_form

NO_INSTANT = np.iinfo(np.int64).min
_MINUTES = {
    "YYYYMMDDHH": r"^[0-9]{10}(?P<minute>[0-9]{2})?(?P<second>[0-9]{2})?",
    "iso8601": r"^.{13}:(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?",
}
"""Where named forms have minutes and seconds; the patterns of the others have groups for them, or no minutes."""


def instants(text: pl.Series, form: str) -> np.ndarray:
    """Seconds since 1970 of texts [n] in a form of times: int64 [n], `NO_INSTANT` where a text is no such time.

    Written times keep the clock of whoever wrote the log, as everywhere.
    """
    frame = pl.DataFrame({"text": text})
    if form in EPOCH_UNITS:
        units = pl.col("text").str.extract_groups(time_form(form).pattern).struct.field("units").cast(pl.Int64)
        return frame.select(units // EPOCH_UNITS[form]).to_series().fill_null(NO_INSTANT).to_numpy()
    canonical = canonical_times(text, form)
    day = canonical.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) * SECONDS_A_DAY
    hour = canonical.str.slice(11).cast(pl.Int64, strict=False).fill_null(0) * 3600
    groups = frame.select(pl.col("text").str.extract_groups(_MINUTES.get(form, time_form(form).pattern))).to_series()
    return (day + hour + _part(groups, "minute") * 60 + _part(groups, "second")).fill_null(NO_INSTANT).to_numpy()


def written(instant: int) -> str:
    """An instant as messages and files show it: "2014-10-29 13:00:00"."""
    time = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(instant))
    return time.isoformat(sep=" ")


def _part(groups: pl.Series, name: str) -> pl.Series:
    """Minutes or seconds, 0 where there are none. A leap second counts as the last one before it."""
    if name not in groups.struct.fields:
        return pl.Series([0]).new_from_index(0, len(groups))
    return groups.struct.field(name).cast(pl.Int64, strict=False).fill_null(0).clip(0, 59)
