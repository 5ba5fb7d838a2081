"""Files that appear under their final names only when they are complete."""

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
"""The suffix of files that are being written, or that a killed process left."""


@contextlib.contextmanager
def complete_file(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Yields a file to write. It gets its name if the block ends without an error; an error removes it.

    Symbolic links are followed: their target gets the new content, and the links stay. A replacement takes over the
    permissions of the old file. A file with several names (hard links) keeps them all. Targets that cannot be replaced
    are written directly: pipes, devices, this process's open files (/dev/stdout, /dev/fd/N), and a file in a directory
    where no file can be created.

    Args:
        path: the file.
        mode: "w" for UTF-8 text, whose line ends are written unchanged; "wb" for bytes.

    Raises:
        UserError: its directory does not exist.
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
    """Writes UTF-8 text with `complete_file`."""
    with complete_file(path) as file:
        file.write(text)


def beside_output(path: str | Path) -> IO[str]:
    """Where messages about an output go: standard output, or standard error if `path` is standard output itself."""
    return sys.stderr if _open_file(Path(path)) == 1 else sys.stdout


def is_written_through(path: str | Path) -> bool:
    """Whether a path names a pipe, a device or an open file. No other file can be created next to these."""
    status = _status(path)
    return _open_file(Path(path)) is not None or (status is not None and not stat.S_ISREG(status.st_mode))


def remove_left(folder: str | Path, pattern: str = f"*{SUFFIX}") -> None:
    """Removes the files that `complete_file` was writing in a folder when its process was killed.

    A file that is still being written stays: its writer holds a lock on it.
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
    """N if a path leads to this process's open file N."""
    for _ in range(40):  # as many links as the kernel follows
        parent = os.path.realpath(path.parent)
        if parent in (f"/proc/{os.getpid()}/fd", "/dev/fd") and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(parent, os.readlink(path))
    return None


def _new_file(target: Path, before: os.stat_result | None) -> tuple[int, str]:
    """Creates a locked file in the directory of `target`, with its final permissions: (descriptor, path)."""
    while True:
        descriptor, name = tempfile.mkstemp(SUFFIX, f"{target.name}.", target.parent)
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Another process may have removed it as a leftover before it was locked.
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
            # A file that is a mount point cannot be renamed over.
            if error.errno != errno.EBUSY:
                raise
    shutil.copyfile(temporary, target)
