"""A directory that appears complete or not at all: what an interruption leaves behind before the work has begun."""

import fcntl

import pytest

from data_pipelines import staging
from data_pipelines.staging import SUFFIX, staged_directory


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", [(fcntl, "flock"), (staging, "_left_behind")])
def test_interrupted_before_the_work_begins(tmp_path, monkeypatch, moment):
    monkeypatch.setattr(*moment, _interrupt)
    with pytest.raises(KeyboardInterrupt), staged_directory(tmp_path / "d", "work"):
        pass
    assert not list(tmp_path.iterdir())


def test_interrupted_before_the_work_begins_it_keeps_what_an_earlier_run_left(tmp_path, monkeypatch):
    left = tmp_path / f"d{SUFFIX}" / "rows"
    left.parent.mkdir()
    left.write_text("half")
    monkeypatch.setattr(fcntl, "flock", _interrupt)
    with pytest.raises(KeyboardInterrupt), staged_directory(tmp_path / "d", "work"):
        pass
    assert left.read_text() == "half"
