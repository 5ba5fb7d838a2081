"""The lines about a training's progress."""

import logging
from types import SimpleNamespace

import pytest

from ada_ensemble_tf.training.hooks import Progress, Steps


@pytest.fixture
def reported(caplog):
    """Reports on 10 of 100 steps of 4 rows; gives the end of the line."""
    hook = Progress(4)
    hook.begin(SimpleNamespace(plan=SimpleNamespace(max_steps=100)))
    caplog.set_level(logging.INFO, "ada_ensemble_tf")

    def report(step: int, seconds: float, timed: bool) -> str:
        hook.after_steps(Steps(step, 10, seconds, {"loss": 1.0, "log_loss": 0.5}, timed))
        message = caplog.messages[-1]
        assert message.startswith(f"step {step}/100  loss 1.00000  log loss 0.50000  ")
        return message.split("  ", 3)[-1]

    return report


def test_the_time_to_build_the_graph_does_not_count(reported):
    assert reported(10, 60.0, False) == "1 min 00 s, most of it to build the graph"
    # 80 steps are left, at 10 in a second.
    assert reported(20, 1.0, True) == "40 examples/s  at most 8 s left"
    assert reported(30, 2.0, True) == "20 examples/s  at most 14 s left"
    # The first steps of a stage build another graph: the speed so far is 20 steps in 3 s.
    assert reported(40, 60.0, False) == "27 examples/s  at most 9 s left"
