"""Reads a field's text before its rule does: `data_pipelines.fields.readings` and `times` in the graph.

Text may be any bytes; only text that matched a regular expression is converted to numbers.
"""

import tensorflow as tf

from data_pipelines.fields import readings, times
from data_pipelines.fields.readings import PLAIN, UNREADABLE, Reading


def read(text: tf.Tensor, reading: Reading) -> tf.Tensor:
    """The text `[B]` that the rules read: `data_pipelines.fields.readings.read` in the graph."""
    if reading == PLAIN:
        return text
    if reading.trim:
        text = tf.strings.regex_replace(text, readings.BLANKS, "")
    if reading.missing:
        text = tf.where(tf.reduce_any(text[:, None] == tf.constant(reading.missing), axis=1), "", text)
    if reading.time:
        time, fits = _canonical_time(text, reading.time)
        return tf.where(fits, time, tf.where(text == "", "", UNREADABLE))
    if reading.rewrites_numbers:
        fits = tf.strings.regex_full_match(text, reading.number)
        plain = tf.strings.regex_replace(text, f"[{reading.thousands}]", "") if reading.thousands else text
        plain = tf.strings.regex_replace(plain, f"[{reading.decimal}]", ".")
        missing = tf.strings.regex_full_match(text, readings.MISSING_NUMBER)
        return tf.where(fits, plain, tf.where(missing, text, UNREADABLE))
    return text


def _canonical_time(text: tf.Tensor, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """(`times.canonical_times` `[B]`, whether the text is a time); without a time, the first is meaningless."""
    form = times.time_form(name)
    fits = tf.strings.regex_full_match(text, form.pattern)

    def group(name: str, other: str) -> tf.Tensor:
        found = tf.strings.regex_replace(text, form.pattern, rf"\{form.groups[name]}", replace_global=False)
        return tf.where(fits, found, other)

    if "units" in form.groups:
        seconds = tf.strings.to_number(group("units", "0"), tf.int64) // times.EPOCH_UNITS[name]
        year, month, day = _date(seconds // times.SECONDS_A_DAY)
        hour = _two_digits(seconds % times.SECONDS_A_DAY // times.SECONDS_AN_HOUR)
        return _joined(year, month, day, hour), fits
    year = tf.strings.to_number(group("year", "2000"), tf.int64)
    if form.two_digits:
        year = form.two_digits + (year + 100 - form.two_digits % 100) % 100
    month_text = group("month", times.MONTHS[0] if form.names_months else "1")
    if form.names_months:
        first = tf.strings.lower(tf.strings.substr(month_text, 0, 3))
        month = tf.argmax(tf.cast(first[:, None] == tf.constant(times.MONTHS), tf.int32), axis=1) + 1
    else:
        month = tf.strings.to_number(month_text, tf.int64)
    day = tf.strings.to_number(group("day", "1"), tf.int64)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)) & (month == 2)
    longest = tf.gather(tf.constant(times.DAYS_OF_MONTHS, tf.int64), month - 1) + tf.cast(leap, tf.int64)
    fits &= day <= longest
    hour = group("hour", "") if form.has_hour else tf.zeros_like(text)
    if form.has_hour:
        number = tf.strings.to_number(tf.where(hour == "", "0", hour), tf.int64)
        if "half" in form.groups:
            afternoon = tf.strings.lower(group("half", "am")) == "pm"
            number = number % 12 + 12 * tf.cast(afternoon, tf.int64)
        hour = tf.where(hour == "", "", _two_digits(number))
    return _joined(year, month, day, hour), fits


def _joined(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor, hour: tf.Tensor) -> tf.Tensor:
    date = tf.strings.join([tf.strings.as_string(year), _two_digits(month), _two_digits(day)], separator="-")
    return tf.where(hour == "", date, tf.strings.join([date, hour], separator=" "))


def _date(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(year, month, day) of non-negative days since 1970, counted in eras of 400 years from March of year 0."""
    days += 719_468
    era, day = days // 146_097, days % 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    shifted = (5 * day + 2) // 153
    month = tf.where(shifted < 10, shifted + 3, shifted - 9)
    return year + 400 * era + tf.cast(month <= 2, tf.int64), month, day - (153 * shifted + 2) // 5 + 1


def _two_digits(number: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(number, width=2, fill="0")
