"""Turns ids back into raw text: rows of prepared data as a client would send them."""

import datetime
from collections.abc import Callable
from functools import partial

import numpy as np

from data_pipelines.fields import rules
from data_pipelines.fields.readings import written_number
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.fields.times import written_time
from data_pipelines.fields.vocabulary import Vocabularies

UNSEEN = "unseen\n"
"""Out of vocabulary in every field: no level contains a line end, and this is neither a number nor a time."""


def raw_text(vocabularies: Vocabularies, ids: np.ndarray, values: np.ndarray | None = None) -> dict[str, list[str]]:
    """Raw columns that encode to these ids: a bin's smallest number, and `UNSEEN` for an out-of-vocabulary id.

    If several fields read a column, the first one decides its text; the others may get other ids. Of a hashed field,
    the text names the bucket and may itself be hashed to another one, for no hash can be turned back.

    Args:
        vocabularies: the levels.
        ids: `[n, C]`.
        values: `[n, N]`, standardised, if the schema has value fields.

    Raises:
        ValueError: if the schema has value fields and there are no values.
    """
    schema, columns = vocabularies.schema, {}
    starts = np.cumsum([0, *schema.widths])
    for position, field in enumerate(schema.fields):
        if field.crossed or field.column in columns:
            continue
        level_text = partial(field.level_text, vocabulary=vocabularies.levels[field.name])
        found = ids[:, starts[position] : starts[position + 1]]
        texts = [
            [_text(level_text(i) if i else None, field) for i in (row[row != PADDING] - field.offset).tolist()]
            for row in found
        ]
        columns[field.column] = [field.separator.join(parts) for parts in texts]
        if field.has_value:
            if values is None:
                raise ValueError(f"field {field.name} has values; none were given")
            column = values[:, schema.value_fields.index(position)]
            level = columns[field.column]
            columns[field.column] = [
                _number(v, field) if text == rules.VALUE else text for text, v in zip(level, column, strict=True)
            ]
    return columns


def random_ids(schema: Schema, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Uniformly drawn (ids `[n, C]`, values `[n, N]` or None), for use without prepared rows."""
    random = np.random.default_rng(seed)
    parts = []
    for field in schema.fields:
        part = field.offset + random.integers(0, field.size, (rows, field.width))
        part[:, 1:][np.arange(1, field.width) >= random.integers(1, field.width + 1, (rows, 1))] = PADDING
        parts.append(part)
    values = random.standard_normal((rows, len(schema.value_fields))) if schema.value_fields else None
    return np.concatenate(parts, axis=1).astype(np.int32), values


def _text(level: str | None, field: Field) -> str:
    if level is None or level == "":
        return UNSEEN if level is None else ""
    return _TEXTS.get(field.transform, lambda level, field: level)(level, field)


def _number(value: float, field: Field) -> str:
    mean, deviation = field.parameters
    v = mean + deviation * float(value)
    number = repr(float(np.sign(v) * np.expm1(abs(v))) if field.transform == "log_value" else v)
    return written_number(number, field.reading)


def _after(prefix: str, level: str) -> int:
    return int(level.removeprefix(prefix))


def _log_square(level: str, field: Field) -> str:
    if level.startswith(rules.EXACT_PREFIX):
        return level.removeprefix(rules.EXACT_PREFIX)
    return str(_lower(rules.LOG_SQUARE_BOUNDARIES, _after(rules.LOG_PREFIX, level)))


def _log_of_square(level: str, field: Field) -> str:
    if level.startswith(rules.EXACT_PREFIX):
        return "0"
    sign = "-" if level.startswith(rules.NEGATIVE_LOG_PREFIX) else ""
    number = _after(rules.NEGATIVE_LOG_PREFIX if sign else rules.LOG_PREFIX, level)
    return sign + str(_lower(rules.LOG_OF_SQUARE_BOUNDARIES, number))


def _log1p_of_square(level: str, field: Field) -> str:
    return str(_lower(rules.LOG1P_OF_SQUARE_BOUNDARIES, _after(rules.LOG_PREFIX, level)))


def _lower(boundaries: np.ndarray, number: int) -> int:
    return int(boundaries[number - 1]) if number else 1


def _equal_frequency(level: str, field: Field) -> str:
    number, boundaries = _after(rules.BIN_PREFIX, level), field.parameters
    if not boundaries:
        return "0"
    # Not the next float64 below the first boundary: near 0 that would be a denormal.
    lowest = min(boundaries[0] - 1, float(np.nextafter(boundaries[0], -np.inf)))
    return written_number(repr(float(boundaries[number - 1]) if number else lowest), field.reading)


_TEXTS: dict[str, Callable[[str, Field], str]] = {
    "log_square": _log_square,
    "log_of_square": _log_of_square,
    "log1p_of_square": _log1p_of_square,
    "equal_frequency": _equal_frequency,
    # 2014-10-19 was a Sunday.
    "hour_of_day": lambda level, field: written_time(datetime.datetime(2014, 10, 21, int(level)), field.reading.time),
    "weekday": lambda level, field: written_time(datetime.datetime(2014, 10, 19 + int(level)), field.reading.time),
    "os_browser": lambda level, field: level.replace("_", " "),
    "price_bucket": lambda level, field: level.split("-")[0].rstrip("+"),
}
