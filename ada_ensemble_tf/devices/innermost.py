"""What the innermost of nested `with` blocks has set, for code that is called deep within."""

import contextlib
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Innermost(Generic[T]):
    """A value that holds within a block, in all threads; nested blocks cover outer ones.

    Example:
        >>> current = Innermost[str]()
        >>> with current.set("outer"), current.set(None), current.set("inner"):
        ...     print(current.value)
        inner
        >>> print(current.value)
        None
    """

    def __init__(self) -> None:
        self._values: list[T] = []

    @property
    def value(self) -> T | None:
        """That of the innermost block; None outside of all."""
        return self._values[-1] if self._values else None

    @contextlib.contextmanager
    def set(self, value: T | None) -> Iterator[None]:
        """Sets the value within the block; None changes nothing."""
        if value is None:
            yield
            return
        self._values.append(value)
        try:
            yield
        finally:
            self._values.pop()
