"""Labels of ticks keep apart, whatever the numbers."""

import numpy as np
import pytest
from tick_labels import colliding

from ada_ensemble_tf.evaluation.intervals import Interval
from ada_ensemble_tf.reporting.costs import Cost, cost_figure
from ada_ensemble_tf.reporting.figures import new_figure
from ada_ensemble_tf.reporting.gate_use import GateUse, exit_figure, gate_use_figure
from ada_ensemble_tf.reporting.importance import Importance, importance_figure
from ada_ensemble_tf.reporting.learning_curves import Curve, learning_curves_figure
from ada_ensemble_tf.reporting.reliability import reliability_figure


def test_the_check_sees_labels_that_collide():
    figure, (axes,) = new_figure(columns=1)
    axes.set_xticks(np.linspace(0, 1, 30), [f"{100_000 + i}" for i in range(30)])
    assert len(colliding(figure)) > 10


@pytest.mark.parametrize("last", [7, 296, 99_500, 1_234_567, 250_000_000])
def test_steps_of_short_and_long_trainings(last):
    steps = np.linspace(last / 9, last, 9).round()
    flat = Curve(steps, 0.9461 + 1e-6 * np.arange(9))
    figure = learning_curves_figure({"loss/log_loss": flat}, {"metrics/auc": flat, "metrics/logloss": flat}, last)
    assert colliding(figure) == []
    # No axis is written as an offset from a common part, which nobody reads.
    assert [axes.yaxis.get_offset_text().get_text() for axes in figure.axes] == ["", ""]


@pytest.mark.parametrize("flops", [(3.1e4, 4.2e4), (1.2e4, 2.9e5), (10.0, 7e6, 3e8), (9.99e8, 1e9)])
def test_flops_of_models_alike_and_far_apart(flops):
    costs = [Cost(f"model_{i}", one, Interval(0.8 + 1e-4 * i, 0.79, 0.81)) for i, one in enumerate(flops)]
    assert colliding(cost_figure(costs)) == []


@pytest.mark.parametrize("size", [1e-7, 3.3e-4, 0.07])
def test_importance_of_any_size(size):
    found = [Importance(f"field_{i}", np.array([size, 1.2 * size]) / (i + 1), np.full(2, size)) for i in range(12)]
    assert colliding(importance_figure(found)) == []


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.9])
def test_predictions_rare_and_frequent(rate):
    rng = np.random.default_rng(0)
    p = np.clip(rng.normal(rate, 0.3 * rate, 2000), 1e-5, 0.999)
    assert colliding(reliability_figure((rng.random(2000) < p).astype(float), p)) == []


def test_gates_and_exits():
    share = np.full(5, 0.2)
    uses = [GateUse(f"layer_{i}", tuple("abcde"), 100, share, share, share) for i in range(6)]
    assert colliding(gate_use_figure(uses)) == [] == colliding(exit_figure(np.array([1, 2, 8]), 8))
