"""Two of the kills that `kill_at_random.py` makes by the hundred, and that it sees what is half-written."""

import subprocess
import sys

import numpy as np
import pytest
from command_line import ROOT
from kill_cases import assert_same, check_comparison, check_export


def test_prepare_survives_two_kills(tmp_path):
    script = [sys.executable, "tests/kill_at_random.py", f"--folder={tmp_path}/kills", "--kills=2", "--only=prepare"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "prepare: 2 kills in " in done.stdout and not (tmp_path / "kills").exists()


def test_half_written_outputs_and_other_contents_are_seen(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(FileNotFoundError):
        check_export(tmp_path)
    (tmp_path / "report.html").write_text("<html>")
    with pytest.raises(AssertionError):
        check_comparison(tmp_path)
    assert_same({"a": np.ones(2)}, {"a": np.ones(2)})
    for other in ({"a": np.zeros(2)}, {"b": np.ones(2)}, {"a": np.ones(2), "b": 1}):
        with pytest.raises(AssertionError):
            assert_same({"a": np.ones(2)}, other)
