"""Parts of the benchmarks: processes, rows and steps to measure, and the line with the verdict."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def made_once(final: Path) -> Iterator[Path]:
    """Yields an empty directory to fill, which gets the name `final` only if the block ends without an error."""
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted run
    partial.mkdir()
    yield partial
    partial.rename(final)


def verdict(target: str, met: bool, found: str) -> str:
    """A line that says whether a measurement met its target."""
    return f"target {target}: {'met' if met else 'MISSED'} ({found})"
