"""A directory that appears complete or not at all: what an interruption leaves behind before the work has begun."""

import fcntl
from pathlib import Path

import pytest

from data_pipelines.prepare import staging
from data_pipelines.prepare.staging import SUFFIX, locked, staged_directory


def _interrupt(*_):
    raise KeyboardInterrupt


def make(final: Path) -> None:
    with locked(final), staged_directory(final, "work") as one:
        (one.path / "rows").touch()


@pytest.mark.parametrize("moment", [(fcntl, "flock"), (staging, "_left_behind")])
def test_interrupted_before_the_work_begins(tmp_path, monkeypatch, moment):
    calls = []

    def interrupt_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(*moment, interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_interrupted_before_the_work_begins_it_keeps_what_an_earlier_run_left(tmp_path, monkeypatch):
    left = tmp_path / f"d{SUFFIX}" / "rows"
    left.parent.mkdir()
    left.write_text("half")
    monkeypatch.setattr(fcntl, "flock", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "d")
    assert left.read_text() == "half"


def test_what_a_killed_task_of_a_cluster_was_writing_is_not_published(tmp_path):
    with locked(tmp_path / "d"), staged_directory(tmp_path / "d", "work") as one:
        (one.path / "rows").touch()
        (one.path / "rows.1234.incomplete").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["rows"]
