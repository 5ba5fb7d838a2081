"""The line of progress at the bottom of a terminal, and log lines above it."""

import logging
import sys

from tqdm import tqdm


class _Bar(tqdm):
    # Without tqdm's thread, which would be in the way of forks.
    monitor_interval = 0


class TerminalLine:
    """One line of standard error that is refreshed; shows nothing where standard error is no terminal.

    Attributes:
        shown: whether there is a terminal.
    """

    def __init__(self):
        self.shown = sys.stderr.isatty()
        self._bar: _Bar | None = None

    def show(self, share: float, text: str) -> None:
        """Replaces the line.

        Args:
            share: the part of the work that is done, 0 to 1.
            text: stands behind the bar; cut to the terminal's width.
        """
        if not self.shown:
            return
        if self._bar is None:
            self._bar = _Bar(total=1.0, bar_format="{percentage:3.0f}% {bar:10} {desc}", dynamic_ncols=True)
        self._bar.n = min(share, 1.0)
        self._bar.set_description_str(text)

    def end(self) -> None:
        """Leaves the line as it is; the next `show` begins another one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class AboveTheLine(logging.Handler):
    """Prints to standard error, above lines that are refreshed there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        _Bar.write(self.format(record), file=sys.stderr)


def end_lines() -> None:
    """Ends all lines, before something else is printed."""
    for bar in list(getattr(_Bar, "_instances", ())):
        if isinstance(bar, _Bar):
            bar.close()
