"""Progress of a pass: rows, rows per second, share of the bytes, time left."""

import time
from collections.abc import Callable

from data_pipelines.terminal import TerminalLine

_SECONDS_BETWEEN_LINES = 2.0
_SECONDS_BETWEEN_REFRESHES = 0.1


class Progress:
    """Shows the progress of a pass over `total` units, such as bytes; leaving the block ends it.

    On a terminal it is one line that is refreshed. Elsewhere, `show` gets a line at most every two seconds.
    """

    def __init__(self, title: str, total: int, show: Callable[[str], None]):
        self._title, self._total, self._show = title, total, show
        self._start = self._shown = time.monotonic()
        self._line = TerminalLine()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._line.end()

    def update(self, rows: int, done: int) -> None:
        """Reports `rows` so far and their part of `total`. Gzip files count by compressed position."""
        now = time.monotonic()
        if now - self._shown < (_SECONDS_BETWEEN_REFRESHES if self._line.shown else _SECONDS_BETWEEN_LINES):
            return
        self._shown = now
        elapsed = now - self._start
        share = min(done / max(self._total, 1), 1.0)
        left = elapsed * (1 - share) / max(share, 1e-9)
        text = f"{rows:,} rows  {rows / elapsed:,.0f} rows/s  {left:,.0f} s left"
        if self._line.shown:
            self._line.show(share, f"{self._title}: {text}")
        else:
            self._show(f"{self._title}: {share:4.0%}  {text}")


def duration(seconds: float) -> str:
    """Formats seconds for reading: 45 s, 3 min 20 s, 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
