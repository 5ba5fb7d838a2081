"""The command line in processes of its own: messages, exit codes, kills and full disks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up_rows import criteo_lines

from data_pipelines.dataset import open_data

ROOT = Path(__file__).parents[2]


def _command(*flags, module="data_pipelines.prepare"):
    return [sys.executable, "-m", module, *map(str, flags)]


def _run(*flags):
    return subprocess.run(_command(*flags), cwd=ROOT, capture_output=True, text=True, timeout=120)


def _errors(finished):
    return [line for line in finished.stderr.splitlines() if line.startswith("error: ")]


def test_prepare_and_prepare_again(criteo_raw_file, tmp_path):
    flags = ("--dataset=criteo", f"--raw={criteo_raw_file}", f"--data_dir={tmp_path / 'd'}", "--min_count=2")
    first = _run(*flags)
    assert first.returncode == 0, first.stderr
    assert "train:" in first.stdout and "39 fields" in first.stdout and "3,000 rows in" in first.stdout
    again = _run(*flags)
    assert again.returncode == 0 and "already prepared" in again.stdout
    other = _run(*flags, "--seed=1")
    assert other.returncode == 1
    assert _errors(other) == [
        f"error: {tmp_path / 'd'}: was prepared with --seed=0, not 1; choose another --data_dir or delete it"
    ]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dataset=movies"], "unknown dataset 'movies'; known: criteo"),
        (["--split=1,2"], "--split should be three numbers"),
        (["--min_cuont=3"], "Unknown command line flag 'min_cuont'. Did you mean: min_count ?"),
        (["--min_count=x"], "invalid literal for int() with base 10: 'x'"),
        (["stray"], "unexpected argument 'stray'"),
        (["--raw=none.txt"], "none.txt: raw file not found"),
    ],
)
def test_bad_requests_give_one_line_and_no_traceback(criteo_raw_file, tmp_path, flags, message):
    finished = _run(f"--raw={criteo_raw_file}", f"--data_dir={tmp_path / 'd'}", *flags)
    assert finished.returncode == 1
    assert len(_errors(finished)) == 1 and message in _errors(finished)[0]
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_no_data_dir_and_the_next_one_cleans_up(tmp_path):
    raw, data_dir = tmp_path / "train.txt", tmp_path / "d"
    raw.write_text("\n".join(criteo_lines(3000, seed=1)) + "\n")
    staging = tmp_path / "d.preparing"
    # The process stops itself between its two passes over the shuffle, to be killed there.
    script = (
        "import os, signal\n"
        "from data_pipelines import build, preparation\n"
        "build._write_shards = lambda *arguments: os.kill(os.getpid(), signal.SIGSTOP)\n"
        f"build.build(preparation.Options('criteo', 2), [{str(raw)!r}], {str(data_dir)!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the run ended before it could be killed"
        flags = (f"--raw={raw}", f"--data_dir={data_dir}", "--min_count=2")
        busy = _run(*flags)
        assert busy.returncode == 1 and "another process is preparing" in _errors(busy)[0]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not data_dir.exists() and any(staging.rglob("*.bucket-*"))
    finished = _run(*flags)
    assert finished.returncode == 0, finished.stderr
    assert "left by a run that was killed" in finished.stderr
    assert not staging.exists() and sum(open_data(data_dir).rows.values()) == 3000


def _tmpfs_works():
    probe = "mount -t tmpfs -o size=64k tmpfs /mnt"
    try:
        return subprocess.run(["unshare", "-rm", "sh", "-c", probe], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kilobytes", [100, 500])
def test_a_really_full_disk(criteo_raw_file, kilobytes):
    # 471,000 bytes of rows: the smaller disk is refused at once, the larger one fills up while writing.
    if not _tmpfs_works():
        pytest.skip("no small file system can be mounted here (unshare -rm with tmpfs fails)")
    command = " ".join(_command(f"--raw={criteo_raw_file}", "--data_dir=/mnt/d", "--min_count=2"))
    script = f"mount -t tmpfs -o size={kilobytes}k tmpfs /mnt; {command}; code=$?; ls -A /mnt | wc -l; exit $code"
    finished = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 1
    expected = "not enough space: about 471,000 bytes needed" if kilobytes == 100 else "the disk is full"
    assert len(_errors(finished)) == 1 and f"/mnt/d: {expected}" in _errors(finished)[0]
    assert finished.stdout.splitlines()[-1].strip() == "0"  # files left on that disk


def test_interrupting_cleans_up(tmp_path):
    raw, data_dir = tmp_path / "train.txt", tmp_path / "d"
    raw.write_text("\n".join(criteo_lines(1000, seed=1) * 300) + "\n")
    process = subprocess.Popen(
        _command(f"--raw={raw}", f"--data_dir={data_dir}"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "d.preparing").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "error: interrupted" in stderr and "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]
