import math

import optuna
import pytest

from ada_ensemble_tf.comparison.search import grid, kept
from ada_ensemble_tf.configs.search_spaces import Choice, Int, LogUniform

SPACE = {"rate": LogUniform(1e-4, 1e-2), "layers": Int(1, 5, 2), "reduction": Choice((4, 16))}


def _trials(aucs):
    return [
        optuna.trial.create_trial(
            value=auc, user_attrs={"values": {"model.num_layers": layers, "model.k": k, "other": i}}
        )
        for i, ((layers, k), auc) in enumerate(aucs)
    ]


def _kept(aucs, tolerance):
    values = kept(_trials(aucs), tolerance).user_attrs["values"]
    return values["model.num_layers"], values["model.k"], values["other"]


def test_a_grid_has_every_combination_once_in_an_order_of_the_seed():
    points = grid(SPACE, seed=3)
    expected = {(rate, layers, r) for rate in (1e-4, 1e-3, 1e-2) for layers in (1, 3, 5) for r in (4, 16)}
    assert len(points) == 18 and {tuple(point.values()) for point in points} == expected
    assert grid(SPACE, seed=3) == points != grid(SPACE, seed=4)


def test_one_layer_or_expert_less_at_a_time_as_long_as_it_costs_no_more_than_the_tolerance():
    aucs = [((4, 3), 0.8000), ((3, 3), 0.79985), ((2, 3), 0.79970), ((1, 3), 0.7990), ((4, 2), 0.7999)]
    # (4, 2) is closer than (3, 3), but from it no smaller model was tried.
    assert _kept(aucs, 0.0002) == (4, 2, 4)
    assert _kept(aucs[:4], 0.0002) == (2, 3, 2)
    assert _kept(aucs[:4], 0.0001) == (4, 3, 0)
    assert _kept(aucs, 0.0) == (4, 3, 0)


def test_a_size_is_as_good_as_its_best_trial():
    aucs = [((2, 2), 0.81), ((2, 1), 0.70), ((2, 1), 0.8099), ((2, 2), 0.80)]
    assert _kept(aucs, 0.0002) == (2, 1, 2)


def test_where_less_is_better_the_lowest_is_best_and_a_smaller_model_may_be_a_little_higher():
    losses = [((2, 2), 0.40), ((2, 1), 0.4001), ((2, 1), 0.39999 + 0.01), ((1, 2), 0.45)]
    values = [kept(_trials(losses), tolerance, sign=-1.0).user_attrs["values"]["other"] for tolerance in (0.0, 0.0002)]
    assert values == [0, 1]


def test_models_without_a_number_of_experts_keep_the_highest_auc():
    trials = [
        optuna.trial.create_trial(value=value, user_attrs={"values": {"model.num_layers": layers}})
        for layers, value in ((1, 0.7999), (2, 0.8))
    ]
    assert kept(trials, math.inf).value == pytest.approx(0.8)
