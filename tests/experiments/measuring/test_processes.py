"""The benchmarks' measuring tools; no timing is asserted."""

import sys

import pytest

from data_pipelines.errors import UserError
from experiments.measuring import verdict
from experiments.measuring.processes import measured

MEGABYTE = 1 << 20


def test_memory_of_a_process_and_its_child_is_summed(tmp_path):
    hold = "import time; block = b'x' * (100 << 20); time.sleep(1)"
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; child.wait()"
    run = measured([sys.executable, "-c", code], tmp_path / "log")
    assert 200 * MEGABYTE <= run.peak_bytes < 300 * MEGABYTE
    assert run.seconds > 1


def test_a_command_that_fails_is_named_with_its_last_line(tmp_path):
    with pytest.raises(UserError, match="ended with code 3, see .*log: no"):
        measured([sys.executable, "-c", "print('no'); raise SystemExit(3)"], tmp_path / "log")


def test_verdict():
    assert verdict(">= 5", False, "4.1") == "target >= 5: MISSED (4.1)"
