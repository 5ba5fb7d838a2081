"""A directory that appears under its name only once it is complete."""

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from data_pipelines.errors import DataError, is_disk_full

SUFFIX = ".preparing"


@contextlib.contextmanager
def staged_directory(final: Path) -> Iterator[Path]:
    """Yields an empty directory beside `final` and renames it to `final` when the block ends without an
    error.

    On an error it is removed. After a kill it stays behind and is removed by the next run; a lock, which dies
    with its process, tells the two cases apart from a run that is still going on.

    Raises:
        DataError: another process is writing the same directory, or the disk is full (naming the directory
        and
            what is free).
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    staging = final.parent / (final.name + SUFFIX)
    staging.mkdir(exist_ok=True)
    lock = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{staging}: another process is preparing this directory; wait for it to end") from None
        if any(staging.iterdir()):
            logging.warning("removing %s, left by a run that was killed; starting afresh", staging)
            _empty(staging)
        try:
            yield staging
            os.rename(staging, final)
        except BaseException as error:
            shutil.rmtree(staging, ignore_errors=True)
            if is_disk_full(error):
                free = shutil.disk_usage(final.parent).free
                raise DataError(
                    f"{final}: the disk is full ({free:,} bytes free after cleaning up); "
                    "free some space or choose another --data_dir"
                ) from error
            raise
    finally:
        os.close(lock)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
