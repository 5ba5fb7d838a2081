"""Allowed ranges of numbers and names, and the error for any other value."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from absl import flags

from data_pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """Finite numbers between two bounds.

    Attributes:
        low: the lower bound.
        high: the upper bound.
        above: whether `low` itself is out of range.
        below: whether `high` itself is out of range.
        whole: whether only integers are allowed.
        optional: whether None is allowed.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False
    optional: bool = False

    def __contains__(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return low and high and (self.whole or math.isfinite(value))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        bounds = []
        if not self.above and not self.below and math.isfinite(self.low) and math.isfinite(self.high):
            bounds = [f"from {_text(self.low)} to {_text(self.high)}"]
        else:
            if math.isfinite(self.low):
                bounds.append(f"above {_text(self.low)}" if self.above else f"of at least {_text(self.low)}")
            if math.isfinite(self.high):
                bounds.append(f"below {_text(self.high)}" if self.below else f"of at most {_text(self.high)}")
        return f"{kind} {' and '.join(bounds)}".rstrip() + (" or None" if self.optional else "")


class OneOf(tuple[str, ...]):
    """The allowed names."""

    def __str__(self) -> str:
        return f"one of {', '.join(map(repr, self))}"


Allowed = Range | OneOf

POSITIVE = Range(0.0, above=True)
NOT_NEGATIVE = Range(0.0)
SHARE = Range(0.0, 1.0, above=True, below=True)
COUNT = Range(1, whole=True)


def check_range(name: str, value: Any, allowed: Allowed) -> None:
    """Raises UserError for a value out of range. The message gives the name, the value and the range."""
    if value not in allowed:
        raise UserError(f"{name} should be {allowed}; got {value!r}")


def define_float(name: str, default: float, help_text: str, allowed: Range) -> flags.FlagHolder[float]:
    """Defines a command-line flag with a range. absl's own bounds accept NaN."""
    holder = flags.DEFINE_float(name, default, help_text)

    def is_allowed(value: float) -> bool:
        if value not in allowed:
            raise flags.ValidationError(f"should be {allowed}; got {value!r}")
        return True

    flags.register_validator(name, is_allowed)
    return holder


def check_each(name: str, values: Sequence[Any], allowed: Allowed) -> None:
    """Calls `check_range` for each of several values, named by its index."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise UserError(f"{name} should be a sequence of numbers; got {values!r}")
    for place, value in enumerate(values):
        check_range(f"{name}[{place}]", value, allowed)


def _text(bound: float) -> str:
    return f"{bound:g}" if not isinstance(bound, int) else str(bound)
