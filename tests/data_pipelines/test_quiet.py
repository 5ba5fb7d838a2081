"""What TensorFlow prints while it loads, with a package of that name in its place."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TENSORFLOW = r"""
import os

os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
os.write(2, b"I0000 00:00:1.2 34 port.cc:153] oneDNN custom operations are on.\n")
os.write(2, b"E0000 00:00:1.2 34 dso.cc:1] a real error\n")
if "DIES" in os.environ:
    os.write(2, b"F0000 00:00:1.2 34 cpu.cc:1] not made for this processor")
    os.abort()


class config:
    def list_physical_devices(kind):
        os.write(2, b"E0000 00:00:1.2 34 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)\n")
"""
PROGRAM = """
import os, sys
from data_pipelines.quiet import quiet_tensorflow, without_false_alarms

quiet_tensorflow()
import tensorflow
import tensorflow
print(tensorflow.__spec__.name, os.environ["TF_CPP_MIN_LOG_LEVEL"])
os.write(2, b"I0000 later\\n")
with without_false_alarms():
    os.write(2, b"E0000 00:00:1.2 34 util.cc:131] oneDNN supports DT_INT32 only on platforms with AVX-512.\\n")
    os.write(2, b"E0000 in a session\\n")
print("the end", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a package "tensorflow"."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "tensorflow.py").write_text(TENSORFLOW)
    return folder


def _run(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    known = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment = known | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"} | environment
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60)


def test_only_what_says_something_comes_through(folder):
    finished = _run(folder)
    assert (finished.returncode, finished.stdout) == (0, "tensorflow 2\n"), finished.stderr
    assert finished.stderr == "E0000 00:00:1.2 34 dso.cc:1] a real error\nI0000 later\nE0000 in a session\nthe end\n"


def test_the_last_words_of_a_crash_come_through(folder):
    finished = _run(folder, DIES="1")
    assert finished.returncode == -signal.SIGABRT
    assert finished.stderr.endswith("a real error\nF0000 00:00:1.2 34 cpu.cc:1] not made for this processor")


def test_an_import_that_fails_keeps_its_traceback(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import no_such_module\n")
    finished = _run(tmp_path)
    assert finished.returncode == 1 and "No module named 'no_such_module'" in finished.stderr


@pytest.mark.parametrize("level", ["0", "1"])
def test_who_asks_for_more_gets_everything(folder, level):
    finished = _run(folder, TF_CPP_MIN_LOG_LEVEL=level)
    assert finished.stdout == f"tensorflow {level}\n" and finished.stderr.count("oneDNN") == 2
