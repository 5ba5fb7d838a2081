import io
import logging
import sys

import pytest

from data_pipelines import progress as progress_module
from data_pipelines.progress import Progress
from data_pipelines.terminal import AboveTheLine, TerminalLine, end_lines


class Terminal(io.StringIO):
    """A terminal that keeps what it is sent."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What stands there in the end: a carriage return begins a line again."""
        return [line.rsplit("\r", 1)[-1].rstrip() for line in self.getvalue().split("\n")]


def make_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Makes standard error a terminal. No fixture, because pytest sets standard error once more before each test."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_a_line_is_refreshed_and_records_stand_above_it(monkeypatch):
    terminal = make_terminal(monkeypatch)
    line, record = TerminalLine(), logging.LogRecord("x", logging.INFO, "", 0, "AUC %.1f", (0.7,), None)
    line.show(0.5, "step 5 of 10")
    AboveTheLine().emit(record)
    line.show(1.0, "step 10 of 10")
    line.end()
    AboveTheLine().emit(record)
    first, last, after, rest = terminal.lines()
    assert (first, after, rest) == ("AUC 0.7", "AUC 0.7", "") and last.startswith("100%") and last.endswith("10 of 10")
    assert terminal.getvalue().count("step 5 of 10") == 2


def test_an_error_begins_a_line_of_its_own(monkeypatch):
    terminal = make_terminal(monkeypatch)
    line = TerminalLine()
    line.show(0.25, "step 1 of 4")
    end_lines()
    print("error: all is lost", file=sys.stderr)
    assert terminal.lines()[0].endswith("step 1 of 4") and terminal.lines()[1:] == ["error: all is lost", ""]


def test_progress_is_one_line_on_a_terminal_and_plain_lines_elsewhere(monkeypatch):
    terminal = make_terminal(monkeypatch)
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_REFRESHES", 0.0)
    shown: list[str] = []
    with Progress("counting", 200, shown.append) as progress:
        progress.update(1000, 50)
        progress.update(4000, 200)
    assert shown == [] and len(terminal.lines()) == 2 and "counting: 4,000 rows" in terminal.lines()[0]
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("counting", 200, shown.append) as progress:
        progress.update(1000, 50)
        progress.update(4000, 200)
    assert [line[:27] for line in shown] == ["counting:  25%  1,000 rows ", "counting: 100%  4,000 rows "]
    assert sys.stderr.getvalue() == ""
