"""A directory that appears under its final name only when it is complete."""

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError, is_disk_full
from data_pipelines.json_files import load_json, save_json
from data_pipelines.locks import LOCK_FILE, alone_at
from data_pipelines.output import remove_left

SUFFIX = ".preparing"
_STAGE_FILE = "stage.json"


@dataclasses.dataclass(frozen=True)
class _Stage:
    identity: str
    stage: str
    found: dict[str, Any]


class Staging:
    """A directory under construction, and the last finished stage of the work in it.

    Attributes:
        path: where files are written.
        final: the final path.
        stage: name of the last finished stage, "" before the first.
        found: the result of that stage.
    """

    def __init__(self, path: Path, final: Path, identity: str, stage: str = "", found: Any = None):
        self.path, self.final, self._identity = path, final, identity
        self.stage, self.found = stage, found

    @property
    def stage_file(self) -> Path:
        """Where `found` was read from, for messages."""
        return self.path / _STAGE_FILE

    def finish(self, stage: str, found: Any) -> None:
        """Records that a stage is finished. `found` consists of plain dictionaries, lists and numbers."""
        self.stage, self.found = stage, found
        save_json(self.path / _STAGE_FILE, {"identity": self._identity, "stage": stage, "found": found})


@contextlib.contextmanager
def staged_directory(final: Path, identity: str) -> Iterator[Staging]:
    """Yields a directory beside `final` and renames it to `final` when the block ends without an error.

    An error removes it. A kill leaves it behind, and so does an interruption after a finished stage. The next run of
    the same work resumes after that stage; a run of other work removes the directory. A lock (`locks.py`), which is
    released when its process dies, distinguishes a killed run from one in progress. Call this within `locked`.

    Args:
        final: the directory to make.
        identity: identifies the work.

    Raises:
        UserError: the disk is full. The message names the directory and the free space.
    """
    path = final.parent / (final.name + SUFFIX)
    staging = None
    try:
        path.mkdir(exist_ok=True)
        staging = _left_behind(path, final, identity)
        yield staging
        Checksums(path).remove(_STAGE_FILE)
        # Left by a killed worker of a cluster.
        remove_left(path)
        os.rename(path, final)
    except BaseException as error:
        if staging is None:
            if isinstance(error, KeyboardInterrupt):
                # Files of an earlier run must stay; only a directory that was just created is empty.
                with contextlib.suppress(OSError):
                    path.rmdir()
            raise
        if isinstance(error, KeyboardInterrupt) and staging.stage:
            logging.warning("%s: %s is kept; the same command goes on after it", path, staging.stage)
            raise
        shutil.rmtree(path, ignore_errors=True)
        if is_disk_full(error):
            free = shutil.disk_usage(final.parent).free
            raise UserError(
                f"{final}: the disk is full ({free:,} bytes free after cleaning up); "
                "free some space or choose another --data_dir"
            ) from error
        raise


@contextlib.contextmanager
def locked(final: Path) -> Iterator[None]:
    """Keeps other processes from making the same directory until the block ends.

    Raises:
        UserError: another process is making it. The message names its host and process ID.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with alone_at(final, final.parent / (final.name + SUFFIX + LOCK_FILE), "choose another --data_dir"):
        yield


def _left_behind(path: Path, final: Path, identity: str) -> Staging:
    """The usable work of an earlier run; otherwise an empty directory."""
    why = "had not finished its first stage"
    if (path / _STAGE_FILE).is_file():
        try:
            left = load_json(path / _STAGE_FILE, _Stage)
            if left.identity == identity:
                logging.warning("%s: going on after %s, which an earlier run finished", path, left.stage)
                return Staging(path, final, identity, left.stage, left.found)
            why = "was of other data or options"
        except UserError as error:
            why = f"is damaged ({error})"
    if any(path.iterdir()):
        logging.warning("%s: left by an earlier run that %s; starting afresh", path, why)
        for child in path.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    return Staging(path, final, identity)
