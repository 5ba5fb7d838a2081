"""Progress lines: rows, rows per second, share of the bytes, time left."""

import time
from collections.abc import Callable

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Shows the progress of a pass over `total` units, such as bytes, at most every two seconds."""

    def __init__(self, title: str, total: int, show: Callable[[str], None]):
        self._title, self._total, self._show = title, total, show
        self._start = self._shown = time.monotonic()

    def update(self, rows: int, done: int) -> None:
        """Reports `rows` so far and their part of `total`. Gzip files count by compressed position."""
        now = time.monotonic()
        if now - self._shown < _SECONDS_BETWEEN_LINES:
            return
        self._shown = now
        elapsed = now - self._start
        share = min(done / max(self._total, 1), 1.0)
        left = elapsed * (1 - share) / max(share, 1e-9)
        self._show(f"{self._title}: {share:4.0%}  {rows:,} rows  {rows / elapsed:,.0f} rows/s  {left:,.0f} s left")
