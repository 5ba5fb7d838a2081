"""One process at a time: the holder of a lock is named, and its death releases the lock."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipelines import locks
from data_pipelines.errors import UserError
from data_pipelines.locks import LOCK_FILE, alone_in


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)


def test_the_owner_is_named_and_the_lock_removed(tmp_path):
    directory = tmp_path / "new" / "run"
    with alone_in(directory, "choose another --out"):
        owner = f"process {os.getpid()} on {re.escape(socket.gethostname())} has been at work here since 20[0-9: -]* "
        message = f"^{directory}: {owner}.*; wait for it to end, or choose another --out$"
        with pytest.raises(UserError, match=message), alone_in(directory, "choose another --out"):
            pass
        assert (directory / LOCK_FILE).exists()
    assert list(directory.iterdir()) == []
    with pytest.raises(ZeroDivisionError), alone_in(directory, ""):
        1 / 0  # noqa: B018
    assert list(directory.iterdir()) == []


def test_death_lets_go_and_what_the_dead_wrote_means_nothing(tmp_path):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom data_pipelines.locks import alone_in\n"
        f"with alone_in(Path({str(tmp_path)!r}), ''):\n    print('locked', flush=True)\n    time.sleep(600)\n"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(UserError, match=f"process {process.pid} on"), alone_in(tmp_path, ""):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / LOCK_FILE).exists()
    with alone_in(tmp_path, ""):
        assert str(os.getpid()) in (tmp_path / LOCK_FILE).read_text()
    (tmp_path / LOCK_FILE).write_text('{"host": "a machine that burnt down", "process": 1, "since": "2001"}')
    with alone_in(tmp_path, ""):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_owner_that_is_about_to_end_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 60.0)
    first = alone_in(tmp_path, "")
    first.__enter__()
    # Between two looks at the lock, its owner ends.
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: first.__exit__(None, None, None))
    with alone_in(tmp_path, ""):
        assert (tmp_path / LOCK_FILE).exists()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / LOCK_FILE).symlink_to("precious")
    with pytest.raises(OSError), alone_in(tmp_path, ""):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
