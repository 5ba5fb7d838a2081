"""Tests of `training.stopping`; whole trainings that are asked to end are in `test_stages.py` and `test_workers.py`."""

import os
import signal
import threading
import time

import pytest
import tensorflow as tf

from ada_ensemble_tf.training import stopping
from ada_ensemble_tf.training.stopping import StopRequest
from data_pipelines.errors import STOPPED


@pytest.fixture
def left(monkeypatch):
    """The exit codes with which the process would have ended; signals are given back to pytest afterwards."""
    codes = []
    monkeypatch.setattr(stopping, "_leave", codes.append)
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    yield codes
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def becomes(condition) -> bool:
    deadline = time.monotonic() + 30.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_during_steps_a_first_signal_asks_and_a_second_ends_at_once(left, number, monkeypatch):
    flag, stop = tf.Variable(0, dtype=tf.int64), StopRequest()
    stop.listen(flag)
    with stop.in_steps():
        os.kill(os.getpid(), number)
        assert becomes(lambda: int(flag) == 1) and stop.why == signal.Signals(number).name
        # A signal that arrives together with it, as from `timeout`, counts as the same.
        os.kill(os.getpid(), number)
        time.sleep(0.2)
        assert left == []
        monkeypatch.setattr(stopping, "SAME_SECONDS", 0.0)
        os.kill(os.getpid(), number)
        assert becomes(lambda: left == [128 + number])


def test_a_signal_after_the_steps_ends_the_process_at_once(left, capsys):
    flag, stop = tf.Variable(0, dtype=tf.int64), StopRequest()
    stop.listen(flag)
    with stop.in_steps():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert becomes(lambda: left == [STOPPED]) and int(flag) == 0
    assert "stopped: asked to end by SIGTERM; the same command goes on" in capsys.readouterr().err


def test_the_starter_of_the_process_may_ask_from_a_thread(left):
    flag, stop = tf.Variable(0, dtype=tf.int64), StopRequest()
    stop.listen(flag)
    with stop.in_steps():
        thread = threading.Thread(target=stop.ask, args=("compare",))
        thread.start()
        thread.join()
        stop.ask("someone else")
        assert int(flag) == 1 and stop.why == "compare" and left == []
