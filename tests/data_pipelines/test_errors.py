import errno
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipelines.errors import is_disk_full

ROOT = Path(__file__).parents[2]
PROGRAM = """
import errno
from ml_collections import config_flags
from data_pipelines.errors import UserError, run_main

CONFIG = config_flags.DEFINE_config_file("config")


def main(argv):
    what = CONFIG.value.what if CONFIG.value is not None else ""
    if what == "data":
        raise UserError("a.txt:3: field I1 is wrong;\\n fix it")
    if what == "file":
        open("nowhere.txt")
    if what == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "out.bin")
    if what == "defect":
        raise RuntimeError("a defect")
    print("done", what)


if __name__ == "__main__":
    run_main(main)
"""
CONFIG = """
import ml_collections


def get_config(what="none"):
    if what == "typo":
        raise ValueError("unknown model 'typo'")
    return ml_collections.ConfigDict({"what": what})
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    directory = tmp_path_factory.mktemp("program")
    (directory / "program.py").write_text(PROGRAM)
    (directory / "config.py").write_text(CONFIG)
    return directory


def _run(program, *flags):
    command = [sys.executable, str(program / "program.py"), *flags]
    return subprocess.run(
        command, cwd=program, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--config=config.py:data"], "a.txt:3: field I1 is wrong; fix it"),
        (["--config=config.py:file"], "No such file or directory: nowhere.txt"),
        (["--config=config.py:full"], "No space left on device: out.bin"),
        (["--config=config.py:typo"], "flag --config=config.py:typo: ValueError: unknown model 'typo'"),
        (["--config=config.py", "--config.batch=2"], "unknown config key 'batch'"),
        (["--config=config.py", "--cofnig=2"], "Unknown command line flag 'cofnig'"),
        (["--config=none.py"], "none.py"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_one_line_and_exit_code_1(program, flags, message):
    finished = _run(program, *flags)
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ") and finished.stderr.count("\n") == 1
    assert message in finished.stderr


def test_a_defect_keeps_its_traceback(program):
    finished = _run(program, "--config=config.py:defect")
    assert finished.returncode == 1 and "Traceback" in finished.stderr and "a defect" in finished.stderr


def test_success(program):
    finished = _run(program, "--config=config.py:good")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "done good\n", "")


def test_full_disks_are_recognised():
    assert is_disk_full(OSError(errno.ENOSPC, "x")) and is_disk_full(OSError(errno.EDQUOT, "x"))
    assert not is_disk_full(OSError(errno.ENOENT, "x")) and not is_disk_full(ValueError("No space left"))
