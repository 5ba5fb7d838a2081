"""Raw text -> level text and values: the rules of `data_pipelines.fields.rules` in the graph, with its constants.

TensorFlow's conversions from text to numbers fail the whole batch if one text is not a number, so only text that
matched a regular expression is converted. Text may be any bytes.
"""

import re
from collections.abc import Callable

import tensorflow as tf

from data_pipelines.fields import canonical, hashing, rules
from data_pipelines.fields.kinds import INTEGER, NUMBER
from data_pipelines.fields.readings import MISSING_NUMBER, UNREADABLE
from data_pipelines.fields.schema import Field
from data_pipelines.fields.times import CANONICAL

_SHORT_DIGITS = 18
_SHORT_INTEGER = f"-?[0-9]{{1,{_SHORT_DIGITS}}}"
_LOW_DIGITS = 9
_LARGEST_HIGH, _LARGEST_LOW = divmod(tf.int64.max, 10**_LOW_DIGITS)
_DIGITS = len(str(tf.int64.max))


def to_levels(text: tf.Tensor, transform: str, parameters: tuple[float, ...] = ()) -> tf.Tensor:
    """Level text `[B]` for text `[B]` as the field reads it: `data_pipelines.fields.rules.to_levels` in the graph.

    Raises:
        ValueError: if the transform is unknown.
    """
    if transform not in _RULES:
        raise ValueError(f"unknown transform {transform!r}")
    return _RULES[transform](text, parameters)


def categories(text: tf.Tensor) -> tf.Tensor:
    """The canonical text of each text `[n]`: `data_pipelines.fields.canonical.canonical` in the graph."""
    # Hardly any request has non-canonical text; the others pay only for this one operation.
    odd = tf.strings.regex_full_match(text, canonical.NOT_CANONICAL)
    return tf.cond(tf.reduce_any(odd), lambda: _canonical(text), lambda: text)


def hashed_rows(level: tf.Tensor, field: Field) -> tf.Tensor:
    """Rows of the table, int32, of levels of a hashed field: `data_pipelines.fields.hashing.hashed_rows` in the graph.

    It is the same hash, SipHash-2-4, with the key that the schema holds.
    """
    row = tf.strings.to_hash_bucket_strong(level, field.buckets, list(field.key)) + hashing.BUCKETS_FROM
    return tf.cast(tf.where(level == "", tf.ones_like(row), row) + field.offset, tf.int32)


def to_values(text: tf.Tensor, transform: str, parameters: tuple[float, ...]) -> tf.Tensor:
    """The value beside the id, float32 `[B]`, for text `[B]`: `data_pipelines.fields.rules.to_values` in the graph."""
    mean, deviation = parameters
    if not deviation:
        return tf.zeros(tf.shape(text), tf.float32)
    v = _numbers(text)
    if transform == "log_value":
        v = tf.sign(v) * tf.math.log1p(tf.abs(v))
    scaled = tf.clip_by_value((v - mean) / deviation, -rules.LARGEST_VALUE, rules.LARGEST_VALUE)
    return tf.cast(tf.where(tf.math.is_nan(scaled), tf.zeros_like(scaled), scaled), tf.float32)


def _canonical(text: tf.Tensor) -> tf.Tensor:
    scientific = tf.strings.regex_full_match(text, canonical.SCIENTIFIC)
    v = tf.strings.to_number(tf.where(scientific, text, "0"), tf.float64)
    scientific &= (v == tf.floor(v)) & (tf.abs(v) < canonical.LARGEST)
    digits = tf.strings.regex_replace(text, canonical.ZEROS, "")
    digits = tf.where(digits == "-0", "0", digits)
    found = tf.where(tf.strings.regex_full_match(text, canonical.WHOLE), digits, text)
    found = tf.where(scientific, tf.strings.as_string(tf.cast(tf.where(scientific, v, 0), tf.int64)), found)
    found = tf.where(tf.strings.regex_full_match(text, canonical.BOOLEAN), tf.strings.lower(text), found)
    return tf.where(tf.strings.regex_full_match(text, canonical.NOT_A_NUMBER), "", found)


def _numbers(text: tf.Tensor) -> tf.Tensor:
    """float64 `[B]`; NaN where missing or unreadable. Rounds to the nearest, as preparation does."""
    readable = tf.strings.regex_full_match(text, NUMBER)
    v = tf.strings.to_number(tf.where(readable, text, "0"), tf.float64)
    return tf.where(readable, v, tf.constant(float("nan"), tf.float64))


def _int64(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(values, 0 where unreadable; whether the text is an int64)."""
    short = tf.strings.regex_full_match(text, _SHORT_INTEGER)
    value = tf.strings.to_number(tf.where(short, text, "0"), tf.int64)
    rest = tf.where(short, "", text)
    # Of the rest, only longer text can be an integer, and hardly any request has it.
    others, readable = tf.cond(
        tf.reduce_any(tf.strings.length(rest) > _SHORT_DIGITS),
        lambda: _long_int64(rest),
        lambda: (tf.zeros_like(value), tf.zeros_like(short)),
    )
    return tf.where(short, value, others), short | readable


def _long_int64(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`_int64` for text of any length. Digits are read in two halves, because all of them may not fit."""
    negative = tf.strings.regex_full_match(text, "-.*")
    digits = tf.strings.regex_replace(text, "^-?0*", "")
    integer = tf.strings.regex_full_match(text, INTEGER) & (tf.strings.length(digits) <= _DIGITS)
    digits = tf.strings.join(["0" * _DIGITS, tf.where(integer, digits, "")])
    digits = tf.strings.substr(digits, tf.strings.length(digits) - _DIGITS, tf.fill(tf.shape(digits), _DIGITS))
    high = tf.strings.to_number(tf.strings.substr(digits, 0, _DIGITS - _LOW_DIGITS), tf.int64)
    low = tf.strings.to_number(tf.strings.substr(digits, _DIGITS - _LOW_DIGITS, _LOW_DIGITS), tf.int64)
    largest_low = _LARGEST_LOW + tf.cast(negative, tf.int64)
    fits = (high < _LARGEST_HIGH) | ((high == _LARGEST_HIGH) & (low <= largest_low))
    sign = tf.where(negative, tf.constant(-1, tf.int64), 1)
    value = sign * high * 10**_LOW_DIGITS + sign * low
    readable = integer & fits
    return tf.where(readable, value, 0), readable


def _log_square(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    v, readable = _int64(text)
    number = tf.searchsorted(tf.constant(rules.LOG_SQUARE_BOUNDARIES), v, side="right", out_type=tf.int64)
    exact = v <= rules.LARGEST_EXACT
    level = _label(tf.where(exact, rules.EXACT_PREFIX, rules.LOG_PREFIX), tf.where(exact, v, number))
    return _or_missing(level, readable, text == "")


def _log_of_square(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    v, readable = _int64(text)
    number = tf.searchsorted(tf.constant(rules.LOG_OF_SQUARE_BOUNDARIES), _magnitude(v), side="right")
    level = _label(tf.where(v > 0, rules.LOG_PREFIX, rules.NEGATIVE_LOG_PREFIX), number)
    return _or_missing(tf.where(v == 0, rules.EXACT_PREFIX + "0", level), readable, text == "")


def _log1p_of_square(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    v, readable = _int64(text)
    number = tf.searchsorted(tf.constant(rules.LOG1P_OF_SQUARE_BOUNDARIES), _magnitude(v), side="right")
    return _or_missing(_label(rules.LOG_PREFIX, number), readable, text == "")


def _magnitude(v: tf.Tensor) -> tf.Tensor:
    return tf.abs(tf.maximum(v, -tf.int64.max))  # |-2^63| is not an int64; the bin is the same


def _equal_frequency(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    v = _numbers(text)
    number = tf.zeros_like(v, tf.int32)
    if parameters:
        number = tf.searchsorted(tf.constant(parameters, tf.float64), v, side="right")
    return _or_missing(_label(rules.BIN_PREFIX, number), ~tf.math.is_nan(v), _missing_number(text))


def _value(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    readable = tf.strings.regex_full_match(text, NUMBER)
    return _or_missing(tf.fill(tf.shape(text), rules.VALUE), readable, _missing_number(text))


def _price_bucket(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    readable = tf.strings.regex_full_match(text, INTEGER)
    v = tf.strings.to_number(tf.where(readable, text, "0"), tf.float64)
    bucket = tf.searchsorted(tf.constant(rules.PRICE_BOUNDARIES, tf.float64), v, side="right")
    return _or_missing(tf.gather(rules.PRICE_LEVELS, bucket), readable, (text == "") | (text == "null"))


def _hour_of_day(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    (hour,), readable = _time_parts(text, "hour")
    return _or_missing(hour, readable, text == "")


def _weekday(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    parts, readable = _time_parts(text, "year", "month", "day")
    year, month, day = (tf.strings.to_number(part, tf.int64) for part in parts)
    year -= tf.cast(month < 3, tf.int64)
    shift = tf.gather(tf.constant(rules.MONTH_SHIFTS, tf.int64), month - 1)
    number = (year + year // 4 - year // 100 + year // 400 + shift + day) % 7
    return _or_missing(_label("", number), readable, text == "")


def _time_parts(text: tf.Tensor, *names: str) -> tuple[list[tf.Tensor], tf.Tensor]:
    """(digits of each part, "01" where unreadable; whether the text is a time)."""
    readable = tf.strings.regex_full_match(text, CANONICAL)
    groups = re.compile(CANONICAL).groupindex
    found = [tf.strings.regex_replace(text, CANONICAL, rf"\{groups[name]}", replace_global=False) for name in names]
    return [tf.where(readable, part, "01") for part in found], readable


def _os_browser(text: tf.Tensor, parameters: tuple[float, ...]) -> tf.Tensor:
    # Without an encoding, lower() changes only ASCII letters.
    lowered = tf.strings.lower(text)
    level = tf.strings.join([_first(rules.SYSTEMS, lowered), _first(rules.BROWSERS, lowered)], separator="_")
    return tf.where(text == "", "", level)


def _first(names: tuple[str, ...], text: tf.Tensor) -> tf.Tensor:
    found = tf.fill(tf.shape(text), rules.OTHER)
    for name in reversed(names):
        # \C matches any byte; . would stop at one that is not UTF-8.
        found = tf.where(tf.strings.regex_full_match(text, rf"\C*{name}\C*"), name, found)
    return found


def _label(prefix: str | tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return tf.strings.join([prefix, tf.strings.as_string(number)])


def _missing_number(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.regex_full_match(text, MISSING_NUMBER)


def _or_missing(level: tf.Tensor, readable: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
    return tf.where(missing, "", tf.where(readable, level, UNREADABLE))


_RULES: dict[str, Callable[[tf.Tensor, tuple[float, ...]], tf.Tensor]] = {
    "text": lambda text, parameters: categories(text),
    "hashed": lambda text, parameters: categories(text),
    "log_square": _log_square,
    "log_of_square": _log_of_square,
    "log1p_of_square": _log1p_of_square,
    "equal_frequency": _equal_frequency,
    "value": _value,
    "log_value": _value,
    "hour_of_day": _hour_of_day,
    "weekday": _weekday,
    "os_browser": _os_browser,
    "price_bucket": _price_bucket,
}
