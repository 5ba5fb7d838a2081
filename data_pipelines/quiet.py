"""Keeps out of the console what TensorFlow prints while it loads, before it reads its own log level.

The lines are written to the file descriptor by C++ code. While TensorFlow loads, a small process of its own stands
between, so that the last words of a crash come through as well.
"""

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_asked = False
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ANNOUNCEMENT = r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
_INFO = r"I0000 "
_NO_DRIVER = r"E0000 .*failed call to cuInit: .*\(303\)"
"""TensorFlow has found no NVIDIA driver. It says so at the level of errors even where there is no GPU."""
_NO_INT32 = r"E0000 .*oneDNN supports DT_INT32 only on platforms with AVX-512"
"""TensorFlow computes products of integers in another way then, with the same results."""
_FILTER = """
import re, sys
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def quiet_tensorflow() -> None:
    """From now on TensorFlow prints errors only, also while it loads. TF_CPP_MIN_LOG_LEVEL=0 or 1 shows more."""
    global _asked
    _asked = os.environ.setdefault(_LEVEL, "2") not in ("", "0", "1")
    if not _asked or "tensorflow" in sys.modules:
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextlib.contextmanager
def without_false_alarms() -> Iterator[None]:
    """Within the block, a command does not show what TensorFlow calls errors of sessions although all is well.

    Outside of commands it changes nothing.
    """
    with _filtered(_NO_INT32) if _asked else contextlib.nullcontext():
        yield


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as the other finders do, and has it loaded behind the filter."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            # Set on the object, because other code may ask the loader itself for sources.
            loader: Any = spec.loader
            loader.exec_module = functools.partial(_load, loader.exec_module)
        return spec


def _load(load: Any, module: ModuleType) -> None:
    has_card = any(Path("/dev").glob("nvidia[0-9]*"))
    noise = [_ANNOUNCEMENT, f"{_INFO}(?!.*(?:cuda|GPU))"] if has_card else [_ANNOUNCEMENT, _INFO, _NO_DRIVER]
    with _filtered("|".join(noise)):
        load(module)
        if not has_card:
            # It looks for the driver once. Later, its complaint would not meet the filter.
            module.config.list_physical_devices("GPU")


@contextlib.contextmanager
def _filtered(noise: str) -> Iterator[None]:
    """Within the block, lines that begin with `noise` do not reach standard error."""
    sys.stderr.flush()
    # A session of its own, so that Ctrl-C ends this process only, and the filter once it has passed on everything.
    command = [sys.executable, "-I", "-S", "-c", _FILTER, noise]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    assert reader.stdin is not None
    before = os.dup(2)
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.wait(10.0)
