"""A file that appears under its name only once it is complete."""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_pipelines.errors import UserError

SUFFIX = ".incomplete"
"""Ends the names of files that are being written, or were when their process was killed."""


@contextlib.contextmanager
def complete_file(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Yields a file to write. It gets its name when the block ends without an error, and is removed on an error.

    Symbolic links are followed: the file that they lead to gets the new content, and the links stay. A file that is
    replaced passes its permissions on; one with several names (hard links) keeps them all. What cannot be replaced is
    written straight through: pipes, devices, this process's open files (/dev/stdout, /dev/fd/N), and a file in a
    directory that takes no new files.

    Args:
        path: the file.
        mode: "w" for UTF-8 text with the line ends that are written, "wb" for bytes.

    Raises:
        UserError: there is no directory for it.
        OSError: it cannot be written, or the disk is full.
    """
    if (descriptor := _open_file(Path(path))) is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with _opened(os.dup(descriptor), mode) as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    before = _status(path)
    if not target.parent.is_dir():
        raise UserError(f"{path}: there is no directory {target.parent}; make it, or write elsewhere")
    sealed = before is not None and not os.access(target.parent, os.W_OK)
    if before is not None and (sealed or not stat.S_ISREG(before.st_mode)):
        with _opened(path, mode) as file:
            yield file
        return
    if before is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    remove_left(target.parent, f"{glob.escape(target.name)}.*{SUFFIX}")
    descriptor, temporary = _new_file(target, before)
    try:
        with _opened(descriptor, mode) as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            _give_name(temporary, target, before)
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_complete(path: str | Path, text: str) -> None:
    """Writes UTF-8 text as `complete_file` does."""
    with complete_file(path) as file:
        file.write(text)


def beside_output(path: str | Path) -> IO[str]:
    """Where to tell about an output: standard output, or standard error if `path` names standard output itself."""
    return sys.stderr if _open_file(Path(path)) == 1 else sys.stdout


def is_written_through(path: str | Path) -> bool:
    """Whether a path names a pipe, a device or an open file: something that has no place for other files beside it."""
    status = _status(path)
    return _open_file(Path(path)) is not None or (status is not None and not stat.S_ISREG(status.st_mode))


def remove_left(folder: str | Path, pattern: str = f"*{SUFFIX}") -> None:
    """Removes the files of a folder that `complete_file` was writing when its process was killed.

    A file that is still being written is locked by its writer, and stays.
    """
    for path in Path(folder).glob(pattern):
        if path.is_symlink() or not path.is_file():
            continue
        with contextlib.suppress(OSError), path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _opened(file: str | Path | int, mode: str) -> IO:
    return open(file, mode) if "b" in mode else open(file, mode, encoding="utf-8", newline="")


def _open_file(path: Path) -> int | None:
    """N, where a path leads to this process's open file N."""
    for _ in range(40):  # as many links as the kernel follows
        parent = os.path.realpath(path.parent)
        if parent in (f"/proc/{os.getpid()}/fd", "/dev/fd") and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(parent, os.readlink(path))
    return None


def _new_file(target: Path, before: os.stat_result | None) -> tuple[int, str]:
    """A new file beside `target`, locked, with the permissions it is to have: (descriptor, path)."""
    while True:
        descriptor, name = tempfile.mkstemp(SUFFIX, f"{target.name}.", target.parent)
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Before it was locked, another process may have taken it for one left behind.
        if os.path.exists(name):
            break
        os.close(descriptor)
    if before is None:
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(descriptor, 0o666 & ~umask)
    else:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    return descriptor, name


def _give_name(temporary: str, target: Path, before: os.stat_result | None) -> None:
    if before is None or before.st_nlink == 1:
        try:
            os.replace(temporary, target)
            return
        except OSError as error:
            # A file that is mounted by itself has a name that cannot be given away.
            if error.errno != errno.EBUSY:
                raise
    shutil.copyfile(temporary, target)
