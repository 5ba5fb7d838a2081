"""Running the project's command lines as a user does."""

import contextlib
import io
import logging
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

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
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


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


def error_in_process(module: str, *arguments: str) -> str:
    """Like `error_of`, but in this process, where TensorFlow is loaded; for errors that leave TensorFlow unchanged."""
    err, known = io.StringIO(), set(flags.FLAGS)
    loggers = [logging.getLogger(name) for name in (None, "absl", "ada_ensemble_tf", "data_pipelines")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            patch.setattr(sys, "argv", [module, *arguments])
            patch.chdir(ROOT)
            runpy.run_module(module, run_name="__main__")
    finally:
        # The next command defines flags of the same names.
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
    return _only_error(module, ended.value.code, err.getvalue())


def _only_error(module: str, code: object, err: str) -> str:
    assert code == 1, f"{module} ended with {code}:\n{err[-4000:]}"
    assert "Traceback" not in err, err[-4000:]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err[-4000:]
    return errors[0]
