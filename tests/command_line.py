"""Running the project's command lines as a user does: in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

TINY_MODEL = [
    "--config=experiments/sample.py:ada_ensemble",
    "--config.batch_size=128",
    "--config.max_epochs=3.0",
    "--config.model.dimension=2",
    "--config.model.num_layers=2",
    "--config.model.depth_prior=(0.5, 0.5)",
    "--config.model.experts=('dense', 'cross')",
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
    """What `python -m module` prints to stdout; fails the test where its exit code is not 0."""
    process = start(module, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, f"{module} ended with {process.returncode}:\n{err[-4000:]}"
    return out


def error_of(module: str, *arguments: str) -> str:
    """The one line `error: ...` that `python -m module` must end with, and exit code 1."""
    process = start(module, *arguments)
    _, err = process.communicate()
    assert process.returncode == 1, f"{module} ended with {process.returncode}:\n{err[-4000:]}"
    assert "Traceback" not in err, err[-4000:]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err[-4000:]
    return errors[0]
