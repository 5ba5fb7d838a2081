"""Which checkpoint is kept, and when training stops early."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.scoring import Scored
from ada_ensemble_tf.trained.config_ranges import MONITORED
from ada_ensemble_tf.training.hooks import Evaluation, Stop

LABELS = np.array([0, 0, 1, 1])
SCORES = (
    # Right order, timid; one pair out of order, LogLoss lowest; right order again, over-confident in no row.
    [0.45, 0.48, 0.52, 0.55],
    [0.1, 0.61, 0.6, 0.95],
    [0.3, 0.49, 0.5, 0.51],
)


def evaluated(monitor: str, annealing: int = 0, scores=SCORES) -> tuple[Evaluation, list[Stop]]:
    """A hook after a stop with each of the scores, and the stops; with a patience of 2."""
    rows, hook, stops = iter(scores), Evaluation(2, monitor), []
    evaluator = SimpleNamespace(score=lambda split: Scored(LABELS, np.array(next(rows)), None, 5.0))
    model = SimpleNamespace(bring_up_to_date=lambda: None, annealing_steps=lambda: annealing)
    stages = SimpleNamespace(stages=(), describe=str)
    plan = SimpleNamespace(stages=stages, max_steps=30, limit="config.max_epochs")
    hook.begin(SimpleNamespace(model=model, evaluator=evaluator, plan=plan))
    for step in range(10, 10 * len(scores) + 1, 10):
        stops.append(Stop(step))
        hook.at_stop(stops[-1])
    return hook, stops


@pytest.mark.parametrize(("monitor", "best"), [("auc", 10), ("logloss", 20), ("normalized_entropy", 20)])
def test_the_monitored_metric_chooses_the_checkpoint(monitor, best):
    hook, stops = evaluated(monitor)
    assert [stop.better for stop in stops] == [True, best == 20, False]
    assert int(hook.best_step.numpy()) == best and hook.enough() == (best == 10)
    expected = metrics.all_metrics(LABELS, np.array(SCORES[best // 10 - 1]))[monitor]
    assert float(hook.best_value.numpy()) == expected
    assert stops[2].standing == f"best {MONITORED[monitor].written} {expected:.5f}"


def test_values_before_the_end_of_annealing_do_not_count():
    hook, stops = evaluated("logloss", annealing=25)
    assert [stop.better for stop in stops] == [False, False, True] and stops[0].standing == "annealing"
    assert int(hook.best_step.numpy()) == 30 and not hook.enough()


def test_a_run_that_improves_to_the_end_says_so(caplog):
    caplog.set_level(logging.INFO, "ada_ensemble_tf")
    for monitor, scores, expected in [
        ("auc", SCORES, "stopped early: no better validation AUC in 2 evaluations"),
        ("logloss", SCORES, None),
        ("logloss", SCORES[::-1], None),
        ("logloss", (SCORES[0], SCORES[2], SCORES[1]), "still improving at the last step: raise config.max_epochs"),
        ("logloss", (SCORES[0], SCORES[1]), None),
    ]:
        caplog.clear()
        evaluated(monitor, scores=scores)[0].end()
        assert caplog.messages == ([] if expected is None else [expected])


def test_every_monitored_metric_is_one_of_a_splits_metrics():
    assert set(MONITORED) <= set(metrics.all_metrics(LABELS, np.array(SCORES[0])))
