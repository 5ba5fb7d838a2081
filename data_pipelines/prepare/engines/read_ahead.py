"""Makes the next item while the current one is in use."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yields the items in order; a thread makes the next one meanwhile. At most two are in memory."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="read_ahead") as thread:
        following = thread.submit(next, iterator, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, iterator, _END)
            yield item  # type: ignore[misc]


_END = object()
