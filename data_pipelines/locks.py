"""One process at a time in a directory.

The kernel holds the lock, on a file that names the owner. The kernel releases the lock when the owner dies, for
whatever reason. On a network file system the server releases it when the lease of a dead machine expires (after 90
seconds by default for NFS). A leftover lock file is therefore stale, and the next process takes it over. The file's
content is used only for messages.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from data_pipelines.errors import UserError

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
PATIENCE_SECONDS = 1.0
"""How long to wait for the owner. A killed process, or one whose parent died, can hold its lock for a moment longer."""
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def alone_in(directory: Path, way_out: str) -> Iterator[None]:
    """Creates a directory and locks it until the block ends or this process dies.

    Args:
        directory: where the block writes.
        way_out: ends the error message, e.g. "choose another --out".

    Raises:
        UserError: another process holds the lock; the message names its host and process ID.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with alone_at(directory, directory / LOCK_FILE, way_out):
        yield


@contextlib.contextmanager
def alone_at(output: Path, lock_file: Path, way_out: str) -> Iterator[None]:
    """Locks `output`, which need not exist yet, by a lock file elsewhere; otherwise as `alone_in`."""
    descriptor = _acquire(output, lock_file, way_out)
    try:
        owner = {"host": socket.gethostname(), "process": os.getpid(), "since": _now()}
        with contextlib.suppress(OSError):  # the block itself reports a full disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield
    finally:
        # Removed before the lock is released: a waiting process sees that the file is gone and creates a new one.
        with contextlib.suppress(OSError):
            lock_file.unlink()
        os.close(descriptor)


def _acquire(output: Path, lock_file: Path, way_out: str) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(descriptor, lock_file):
                return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                busy = _busy(descriptor)
                os.close(descriptor)
                raise UserError(f"{output}: {busy}; wait for it to end, or {way_out}") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                os.close(descriptor)
                raise
            logger.warning("%s: this file system has no locks; make sure that no other process writes here", output)
            return descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock_file.unlink()
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(_POLL_SECONDS)


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _busy(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 1 << 12, 0))
        return f"process {owner['process']} on {owner['host']} has been at work here since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        # The owner has taken the lock but not yet written its name.
        return "another process is at work here"


def _now() -> str:
    return datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
