"""The command line in separate processes: messages, exit codes, kills and full disks."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from command_line import error_in_process
from made_up_rows import criteo_lines

from data_pipelines.read.dataset import open_data

ROOT = Path(__file__).parents[3]


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


def test_what_an_extension_is_not_told_is_as_in_the_data_that_it_extends(criteo_raw_file, tmp_path):
    raw = f"--raw={criteo_raw_file}"
    options = ("--min_count=3", "--split=0.6,0.2,0.2", "--block_rows=128", "--negative_rate=0.5", "--numeric=value")
    first = _run(raw, f"--data_dir={tmp_path / 'old'}", *options)
    assert first.returncode == 0, first.stderr
    second = _run(f"--extend={tmp_path / 'old'}", raw, f"--data_dir={tmp_path / 'new'}")
    assert second.returncode == 0 and "no new levels\n" in second.stdout, second.stderr
    old, new = (open_data(tmp_path / name) for name in ("old", "new"))
    assert new.schema == old.schema and new.rows == old.rows
    changed = {"extends": old.fingerprint}
    assert new.preparation.options == dataclasses.replace(old.preparation.options, **changed)
    other = _run(f"--extend={tmp_path / 'old'}", "--dataset=criteo", raw, f"--data_dir={tmp_path / 'other'}")
    assert other.returncode == 1 and "an extension has the same fields" in _errors(other)[0]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dataset=movies"], "value should be one of <criteo|avazu|ipinyou|ipinyou_contest|tabular>"),
        (["--dataset=tabular"], "--schema says what the columns of --dataset=tabular are"),
        (["--with_hour"], "--with_hour is for avazu; criteo has no such column"),
        (["--clicks=setup.cfg"], "--clicks: criteo has a label column"),
        (["--memory_gb=0.5"], "--memory_gb=0.5 is too small: at least 0.7"),
        (["--memory_gb=nan"], "flag --memory_gb=nan: should be a finite number above 0; got nan"),
        (["--split=nan,nan,nan"], "--split should be three positive shares that sum to 1, got (nan, nan, nan)"),
        (["--spark_master=local[2]"], "--spark_master needs --engine=spark"),
        (["--retire_after=2"], "--retire_after=2 needs --extend, the data whose levels may retire"),
        (["--split=1,2"], "--split should be three numbers"),
        (["--min_cuont=3"], "Unknown command line flag 'min_cuont'. Did you mean: min_count ?"),
        (["--min_count=x"], "invalid literal for int() with base 10: 'x'"),
        (["stray"], "unexpected argument 'stray'"),
        (["--raw=none.txt"], "none.txt: raw file not found"),
    ],
)
def test_bad_requests_give_one_line_and_no_traceback(criteo_raw_file, tmp_path, flags, message):
    request = (f"--raw={criteo_raw_file}", f"--data_dir={tmp_path / 'd'}", *flags)
    assert message in error_in_process("data_pipelines.prepare", *request)
    assert list(tmp_path.iterdir()) == []


def _stopped_in(stage, raw, data_dir):
    """A preparation that has stopped itself as it begins a stage, to be killed there."""
    script = (
        "import os, signal\n"
        "from data_pipelines import formats\n"
        "from data_pipelines.prepare import build\n"
        "from data_pipelines.read import preparation\n"
        "from data_pipelines.prepare.engines import local, shuffle\n"
        "def stop(*_, **__): os.kill(os.getpid(), signal.SIGSTOP)\n"
        f"{stage} = stop\n"
        "options = preparation.Options(*formats.make_format('criteo'), 2)\n"
        f"build.build(options, [{str(raw)!r}], {str(data_dir)!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "the run ended before it could be killed"
    return process


@pytest.mark.parametrize(
    "stage, message",
    [
        ("local.Vocabularies.from_counts", "had not finished its first stage; starting afresh"),
        ("local.DiskShuffle.add", "going on after counting, which an earlier run finished"),
        ("shuffle.write_shard", "going on after encoding, which an earlier run finished"),
    ],
)
def test_a_killed_run_leaves_no_data_dir_and_the_next_one_goes_on(
    prepared_criteo, criteo_raw_file, tmp_path, stage, message
):
    raw, data_dir = criteo_raw_file, tmp_path / "d"
    flags = (f"--raw={raw}", f"--data_dir={data_dir}", "--min_count=2")
    process = _stopped_in(stage, raw, data_dir)
    try:
        busy = _run(*flags)
        held = f"error: {data_dir}: process {process.pid} on {socket.gethostname()} has been at work here since "
        assert busy.returncode == 1 and _errors(busy)[0].startswith(held)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert {path.name for path in tmp_path.iterdir()} == {"d.preparing", "d.preparing.lock"}
    finished = _run(*flags)
    assert finished.returncode == 0, finished.stderr
    assert message in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    whole, found = open_data(prepared_criteo), open_data(data_dir)
    assert found.rows == whole.rows and found.schema == whole.schema and found.find_damage() is None


def test_what_other_options_left_is_not_used(criteo_raw_file, tmp_path):
    process = _stopped_in("local.DiskShuffle.add", criteo_raw_file, tmp_path / "d")
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = _run(f"--raw={criteo_raw_file}", f"--data_dir={tmp_path / 'd'}", "--min_count=3")
    assert finished.returncode == 0 and "was of other data or options; starting afresh" in finished.stderr
    assert open_data(tmp_path / "d").preparation.options.min_count == 3


def _tmpfs_works():
    probe = "mount -t tmpfs -o size=64k tmpfs /mnt"
    try:
        return subprocess.run(["unshare", "-rm", "sh", "-c", probe], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kilobytes", [100, 800])
def test_a_really_full_disk(criteo_raw_file, kilobytes):
    # The smallest disk fills up while counting, the other later.
    if not _tmpfs_works():
        pytest.skip("no small file system can be mounted here (unshare -rm with tmpfs fails)")
    command = " ".join(_command(f"--raw={criteo_raw_file}", "--data_dir=/mnt/d", "--min_count=2"))
    script = f"mount -t tmpfs -o size={kilobytes}k tmpfs /mnt; {command}; code=$?; ls -A /mnt | wc -l; exit $code"
    finished = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 1
    assert len(_errors(finished)) == 1 and "/mnt/d: " in _errors(finished)[0]
    assert any(text in _errors(finished)[0] for text in ("not enough space: about 471,000 bytes", "the disk is full"))
    assert finished.stdout.splitlines()[-1].strip() == "0"  # files left on that disk


def test_interrupting_cleans_up(tmp_path):
    raw, data_dir = tmp_path / "train.txt", tmp_path / "d"
    raw.write_text("\n".join(criteo_lines(1000, seed=1) * 600) + "\n")
    process = subprocess.Popen(
        _command(f"--raw={raw}", f"--data_dir={data_dir}"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Shells start commands in the background with interrupts ignored, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "d.preparing").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "error: interrupted" in stderr and "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_the_memory_bound_holds_for_millions_of_levels(tmp_path):
    raw, data_dir = tmp_path / "train.txt", tmp_path / "d"
    rng = np.random.default_rng(0)
    with raw.open("wb") as file:
        for _ in range(4):
            columns = {"label": rng.integers(0, 2, 100_000)}
            columns |= {f"I{i}": rng.integers(0, 1000, 100_000) for i in range(13)}
            for i in range(26):
                codes = rng.integers(0, 2**32 if i < 14 else 1000, 100_000)
                digits = codes.astype(">u4").tobytes().hex().encode()
                columns[f"C{i}"] = pl.Series(np.frombuffer(digits, "S8").astype(str))
            pl.DataFrame(columns).write_csv(file, separator="\t", include_header=False)
    process = subprocess.Popen(
        _command(f"--raw={raw}", f"--data_dir={data_dir}", "--memory_gb=0.8"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak, spilled = 0, False
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family))
        spilled = spilled or any(tmp_path.glob("d.preparing/counts/*.arrow"))
        time.sleep(0.05)
    assert process.returncode == 0 and sum(open_data(data_dir).rows.values()) == 400_000
    assert spilled and 0.2 < peak / 2**30 < 0.8
