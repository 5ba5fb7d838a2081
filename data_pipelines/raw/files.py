"""Resolves command-line values to raw files: commas, folders, patterns, pipes."""

import atexit
import csv
import glob
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from data_pipelines.errors import UserError

logger = logging.getLogger(__name__)

HELP = "a file, folder of part files or pattern; repeat the flag, or separate by commas, for several"


def raw_files(values: Sequence[str]) -> list[Path]:
    """The raw files that flags name, in order.

    A value is one path if that path exists, even if it contains commas. Otherwise it is a comma-separated list, in
    which paths in double quotes may contain commas. A folder stands for its part files in name order, including those
    in subfolders named key=value. Names that begin with "_" or "." (markers such as _SUCCESS) and empty files are
    skipped. A pattern (`*`, `?`, `[..]`) stands for the matching files in name order, with the same exceptions. A pipe,
    which can be read only once, is first copied to a temporary file of this process.

    Raises:
        UserError: a file does not exist, a folder or pattern has no files, or a folder contains other folders.
    """
    return [file for value in values for name in _names(value) for file in _files(name)]


def _names(value: str) -> list[str]:
    if not value or os.path.exists(value):
        return [value] if value else []
    return next(csv.reader([value]))


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = [file for file in _part_files(path) if file.stat().st_size]
        if not found:
            raise UserError(f"{path}: the folder has no files with rows; name another with --raw")
        return found
    if not path.exists() and glob.has_magic(name):
        matches = (Path(match) for match in glob.glob(name))
        found = sorted(match for match in matches if match.is_file() and _is_data(match) and match.stat().st_size)
        if not found:
            raise UserError(f"{name}: no file fits the pattern")
        return found
    if not path.exists():
        raise UserError(f"{path}: raw file not found")
    return [path if path.is_file() else _copied(path)]


def _part_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not _is_data(path):
            continue
        if not path.is_dir():
            yield path
        elif "=" in path.name:
            yield from _part_files(path)
        else:
            raise UserError(f"{folder}: holds a folder, {path.name}; name the folders to read with --raw, one by one")


def _is_data(path: Path) -> bool:
    return not path.name.startswith(("_", "."))


def _copied(path: Path) -> Path:
    """A copy of a pipe. A log is read several times: for its columns, its fingerprint and its rows."""
    if not (stat.S_ISFIFO(path.stat().st_mode) or stat.S_ISSOCK(path.stat().st_mode)):
        raise UserError(f"{path}: is a device, not a file; write the log to a file and name that")
    copy = _folder() / f"{len(os.listdir(_folder()))}-{path.name}"
    logger.info("%s can be read only once, so it is copied to %s first", path, copy)
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except OSError as error:
        raise UserError(
            f"{path}: could not be copied to {copy.parent} ({error.strerror}); write it to a file and name that, or "
            "set TMPDIR to a larger disk"
        ) from None
    return copy


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="raw-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
