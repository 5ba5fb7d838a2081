import itertools

import pytest

from ada_ensemble_tf.comparison.critical_difference import critical_difference_figure, groups
from ada_ensemble_tf.comparison.model_metrics import mean_interval, model_metrics_figure
from ada_ensemble_tf.evaluation.intervals import Interval
from ada_ensemble_tf.reporting.costs import Cost, cost_figure


def worse(order: str, apart: str) -> dict:
    """Pairs of `order`, of which those in `apart` ("ac ad") differ beyond noise."""
    return {pair: "".join(pair) in apart.split() for pair in itertools.combinations(order, 2)}


def test_groups_by_hand():
    assert groups("abcd", worse("abcd", "")) == [(0, 3)]
    assert groups("abcd", worse("abcd", "ab ac ad bc bd cd")) == []
    assert groups("abcd", worse("abcd", "ac ad bd")) == [(0, 1), (1, 2), (2, 3)]
    assert groups("abcd", worse("abcd", "ad bd")) == [(0, 2), (2, 3)]
    # b and d differ although a and d, further apart, do not: no bar may span b and d.
    assert groups("abcd", worse("abcd", "bd")) == [(0, 2), (2, 3)]


def test_the_diagram_orders_models_and_draws_a_bar_a_group():
    (axes,) = critical_difference_figure({"c": 0.7, "a": 0.9, "b": 0.8}, worse("abc", "ac bc")).axes
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == ["a", "b", "c"]
    (bar,) = [one for one in axes.collections if one.get_linewidths()[0] == 4]
    assert bar.get_segments()[0][:, 1].tolist() == [-0.2, 1.2]


def test_intervals_of_seeds_on_the_same_rows_are_averaged_and_do_not_shrink():
    seeds = [Interval(0.8, 0.7, 0.9), Interval(0.82, 0.72, 0.92)]
    assert [round(end, 12) for end in mean_interval(seeds)] == [0.81, 0.71, 0.91]
    aucs = {"high": seeds, "low": seeds[:1]}
    auc, calibration = model_metrics_figure({"AUC": aucs, "Calibration": aucs}).axes
    assert [label.get_text() for label in auc.get_yticklabels()] == ["high", "low"]
    means = [line.get_xdata()[0] for line in auc.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert means == pytest.approx([0.81, 0.8])
    # A line says where calibration is right.
    assert [1, 1] in [list(line.get_xdata()) for line in calibration.lines]


def test_labels_of_models_at_one_place_do_not_cover_each_other():
    costs = [Cost(f"model_{i}", 1e6, Interval(0.8, 0.79, 0.81), not i) for i in range(5)]
    figure = cost_figure(costs)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_costs_of_many_sizes_are_on_a_logarithmic_axis():
    costs = [
        Cost("small", 10.0, Interval(0.7, 0.6, 0.8)),
        Cost("large", 1e7, Interval(0.8, float("nan"), float("nan"))),
    ]
    assert cost_figure(costs).axes[0].get_xscale() == "log" and cost_figure(costs[:1]).axes[0].get_xscale() == "linear"
