"""Tests of `devices.watch`."""

import threading
import time

from ada_ensemble_tf.devices.cluster import Cluster
from ada_ensemble_tf.devices.watch import Watch

CLUSTER = Cluster(("a:1", "b:2", "c:3"), 1)


def test_a_worker_that_waits_too_long_ends_with_a_clear_message(capsys):
    left, codes = threading.Event(), []
    watch = Watch(CLUSTER, 0.05, leave=lambda code: (codes.append(code), left.set()))
    watch.follow(lambda: 64)
    watch.doing("in training")
    assert left.wait(30.0) and codes == [1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "error: worker 1 of 3 (b:2) made no progress for 0.05 s in training, at step 64: it or worker 0 of 3 (a:1) or "
        "worker 2 of 3 (c:3) hangs; see what each printed last, then start all workers again: they go on from the "
        "last checkpoint; if one is only slow, raise config.worker_timeout"
    )
    watch.close()


def test_a_worker_that_makes_progress_is_not_ended():
    """Progress comes first from steps within a graph, then from calls of `doing` between them."""
    codes, steps = [], iter(range(10**9))
    watch = Watch(CLUSTER, 2.0, leave=codes.append)
    watch.follow(lambda: next(steps))
    time.sleep(2.5)
    watch.follow(lambda: 5)
    for _ in range(5):
        watch.doing("in an evaluation")
        time.sleep(0.5)
    watch.close()
    time.sleep(0.1)
    assert codes == [] and next(steps) > 5
