"""Running the project's command lines as a user does."""

import contextlib
import io
import logging
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from forked_commands import FromServer

ROOT = Path(__file__).parents[1]

TINY_MODEL = [
    "--config=experiments/sample.py:ada_ensemble",
    "--config.batch_size=128",
    "--config.max_epochs=3.0",
    "--config.model.dimension=2",
    "--config.model.num_layers=2",
    "--config.model.depth_prior=(0.5, 0.5)",
    "--config.model.experts=('dense', {'name': 'cross', 'diag_scale': 0.5})",
    "--config.model.expert_prior=(0.5, 0.5)",
    "--config.model.k=1",
]
"""A config small enough to train in seconds on a few thousand rows."""


def start(module: str, *arguments: str) -> subprocess.Popen:
    """Starts `python -m module` in the checkout's root."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(module: str, *arguments: str) -> str:
    """The stdout of `python -m module`; fails the test if the exit code is not 0."""
    process = start(module, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, f"{module} ended with {process.returncode}:\n{err[-4000:]}"
    return out


def error_of(module: str, *arguments: str) -> str:
    """The one line `error: ...` that `python -m module` must end with, and exit code 1."""
    process = start(module, *arguments)
    _, err = process.communicate()
    return _only_error(module, process.returncode, err)


def start_forked(module: str, *arguments: str, **environment: str) -> FromServer:
    """Like `start`, in half the time, for modules that a test starts as a user does as well."""
    return FromServer(module, arguments, ROOT, environment)


def run_forked(module: str, *arguments: str) -> str:
    """Like `run`; see `start_forked`."""
    process = start_forked(module, *arguments)
    code = process.wait()
    assert code == 0, f"{module} ended with {code}:\n{process.err[-4000:]}"
    return process.out


def error_of_forked(module: str, *arguments: str) -> str:
    """Like `error_of`; see `start_forked`."""
    process = start_forked(module, *arguments)
    return _only_error(module, process.wait(), process.err)


def error_in_process(module: str, *arguments: str) -> str:
    """Like `error_of`, but in this process, where TensorFlow is loaded; for errors that leave TensorFlow unchanged."""
    code, _, err = _in_process(module, *arguments)
    return _only_error(module, code, err)


def help_in_process(module: str) -> str:
    """What `python -m module --help` prints."""
    code, out, err = _in_process(module, "--help")
    assert code == 0 and err == "", err[-4000:]
    return out


def _in_process(module: str, *arguments: str) -> tuple[object, str, str]:
    """The exit code of a command that ends by it, what it printed, and its messages."""
    out, err, known = io.StringIO(), io.StringIO(), set(flags.FLAGS)
    loggers = [logging.getLogger(name) for name in (None, "absl", "ada_ensemble_tf", "data_pipelines")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            patch.setattr(sys, "argv", [module, *arguments])
            patch.chdir(ROOT)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # The next command defines flags of the same names.
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
    return ended.value.code, out.getvalue(), err.getvalue()


def _only_error(module: str, code: object, err: str) -> str:
    assert code == 1, f"{module} ended with {code}:\n{err[-4000:]}"
    assert "Traceback" not in err, err[-4000:]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err[-4000:]
    return errors[0]
