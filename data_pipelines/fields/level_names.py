"""How pages name levels and labels to a reader: bins by their bounds, weekdays by name."""

import numpy as np

from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.rules import (
    BIN_PREFIX,
    EXACT_PREFIX,
    LOG1P_OF_SQUARE_BOUNDARIES,
    LOG_OF_SQUARE_BOUNDARIES,
    LOG_PREFIX,
    LOG_SQUARE_BOUNDARIES,
    NEGATIVE_LOG_PREFIX,
    VALUE,
)
from data_pipelines.fields.schema import Field

OUT_OF_VOCABULARY, MISSING = "(out of vocabulary)", "(missing)"
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_SMALLEST_OF_FIRST_BIN = 1
"""The first bin of "log_of_square", "log:0", begins here: 0 has a bin of its own."""


def level_name(field: Field, level: str) -> str:
    """What a level of a field stands for.

    Example:
        >>> from data_pipelines.fields.schema import Field
        >>> age = Field("age", "equal_frequency", size=4, offset=0, parameters=(25.0, 35.5))
        >>> [level_name(age, level) for level in ("bin:0", "bin:1", "bin:2", "")]
        ['below 25', '25 to <35.5', '35.5 and more', '(missing)']
    """
    if level == "":
        return MISSING
    if field.transform == "weekday" and level in map(str, range(7)):
        return WEEKDAYS[int(level)]
    if field.transform == "hour_of_day":
        return f"{level}:00 to {level}:59"
    if level == VALUE and field.has_value:
        return "(a number)"
    if field.transform == "equal_frequency" and level.startswith(BIN_PREFIX):
        return _bin(field.parameters, int(level.removeprefix(BIN_PREFIX)))
    if field.transform in _LOGARITHMIC:
        return _LOGARITHMIC[field.transform](level)
    return level


def positive_name(raw_format: RawFormat) -> str:
    """The rows with label 1, in the words of the user's table.

    Example:
        >>> positive_name(RawFormat("tabular", "liked", positive=("yes",)))
        'liked = yes'
        >>> positive_name(RawFormat("tabular", "rating", at_least=4.0))
        'rating ≥ 4'
    """
    if raw_format.at_least is not None:
        return f"{raw_format.label} ≥ {number(raw_format.at_least)}"
    return f"{raw_format.label} = {' or '.join(raw_format.positive) or '1'}"


def number(value: float) -> str:
    """A boundary as people write it: whole numbers without a point."""
    return f"{int(value)}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"


def _bin(inner: tuple[float, ...], place: int) -> str:
    if not inner:
        return "all numbers"
    low, above = _edge(inner[max(place - 1, 0)])
    high, up_to = _edge(inner[min(place, len(inner) - 1)])
    if place == 0:
        return f"{'up to' if up_to else 'below'} {high}"
    if place >= len(inner):
        return f"above {low}" if above else f"{low} and more"
    if low == high:
        return low
    return f"{'above ' if above else ''}{low} to {'' if up_to else '<'}{high}"


def _edge(boundary: float) -> tuple[str, bool]:
    """A boundary's number, and whether that number itself still belongs to the bin below.

    A frequent number has a bin of its own, which ends at the next float.
    """
    before = 0.0 if 0.0 < boundary <= float(np.finfo(np.float64).tiny) else float(np.nextafter(boundary, -np.inf))
    short = float(f"{boundary:.12g}")
    return (number(before), True) if before in (short, 0.0) and short != boundary else (number(boundary), False)


def _whole_numbers(boundaries: np.ndarray, place: int, lowest: int) -> tuple[int, int | None]:
    """The smallest and the largest integer of a logarithmic bin; None where it has no end."""
    first = int(boundaries[place - 1]) if place else lowest
    return first, int(boundaries[place]) - 1 if place < len(boundaries) else None


def _range(first: int, last: int | None, sign: str = "") -> str:
    if last is None:
        return f"{sign}{first} and {'less' if sign else 'more'}"
    if first == last:
        return f"{sign}{first}"
    return f"{sign}{last} to {sign}{first}" if sign else f"{first} to {last}"


def _log_square(level: str) -> str:
    if level.startswith(EXACT_PREFIX):
        return level.removeprefix(EXACT_PREFIX)
    return _range(*_whole_numbers(LOG_SQUARE_BOUNDARIES, int(level.removeprefix(LOG_PREFIX)), 0))


def _log_of_square(level: str) -> str:
    if level.startswith(EXACT_PREFIX):
        return level.removeprefix(EXACT_PREFIX)
    sign = "-" if level.startswith(NEGATIVE_LOG_PREFIX) else ""
    place = int(level.rpartition(":")[2])
    return _range(*_whole_numbers(LOG_OF_SQUARE_BOUNDARIES, place, _SMALLEST_OF_FIRST_BIN), sign)


def _log1p_of_square(level: str) -> str:
    first, last = _whole_numbers(LOG1P_OF_SQUARE_BOUNDARIES, int(level.removeprefix(LOG_PREFIX)), 0)
    return f"-{last} to {last}" if first == 0 else f"±({_range(first, last)})"


_LOGARITHMIC = {
    "log_square": _log_square,
    "log_of_square": _log_of_square,
    "log1p_of_square": _log1p_of_square,
}
