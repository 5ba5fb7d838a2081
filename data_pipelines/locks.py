"""One process at a time in a directory.

The lock is the kernel's, on a file that says who holds it. The kernel lets go of it when its process dies, however it
dies; on a network file system the server does so once it has not heard of a dead machine for its lease (90 seconds for
NFS, by default). So a lock file that is left behind is stale, and whoever comes next takes it over: what it says of its
owner is only for the message.
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
"""So long an owner may take to end: one that lost its parent, or was killed, holds the lock for a moment more."""
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def alone_in(directory: Path, way_out: str) -> Iterator[None]:
    """Makes a directory and keeps others out of it for as long as the block runs, or this process lives.

    Args:
        directory: what is written to.
        way_out: ends the message, e.g. "choose another --out".

    Raises:
        UserError: another process is at work there; the message names its host and number.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with alone_at(directory, directory / LOCK_FILE, way_out):
        yield


@contextlib.contextmanager
def alone_at(output: Path, lock_file: Path, way_out: str) -> Iterator[None]:
    """The same with a lock file in another place, for an output that is not there yet; `output` is what is locked."""
    descriptor = _acquire(output, lock_file, way_out)
    try:
        owner = {"host": socket.gethostname(), "process": os.getpid(), "since": _now()}
        with contextlib.suppress(OSError):  # a full disk is for the work itself to tell
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield
    finally:
        # Removed while it is held: those who opened it meanwhile see that it is gone, and make a new one.
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
            logger.warning("%s: this file system has no locks; see that no other process writes here", output)
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
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _busy(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 1 << 12, 0))
        return f"process {owner['process']} on {owner['host']} has been at work here since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        # Between taking the lock and saying so.
        return "another process is at work here"


def _now() -> str:
    return datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
