import numpy as np
import pytest

from ada_ensemble_tf.reporting.gate_use import exit_figure, gate_use_figure, gate_uses
from ada_ensemble_tf.reporting.importance import Columns
from ada_ensemble_tf.reporting.vocabulary_coverage import coverage

GATES = {
    "layer_1": np.array([[0.9, 0.1, 0.0], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0], [0.7, 0.3, 0.0]]),
    "layer_2": np.array([[0.0, 0.2, 0.8], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    "depth": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]),
}
CHOICES = {"layer_1": ["a", "b", "c"], "layer_2": ["a", "b", "c"], "depth": ["exit_1", "exit_2"]}


def test_uses_by_hand_over_the_rows_that_reach_a_gate():
    first, second, depth = gate_uses(GATES, CHOICES)
    assert (first.rows, second.rows, depth.rows) == (4, 2, 4)
    assert first.load.tolist() == [0.75, 0.0, 0.25] and first.routed.tolist() == [0.75, 0.75, 0.25]
    assert first.weight == pytest.approx([0.65, 0.2, 0.15])
    # Rows 1 and 2; the first of two equal gates is the largest.
    assert second.load.tolist() == [0.5, 0.5, 0.0] and second.weight.tolist() == [0.25, 0.75, 0.0]
    assert depth.load.tolist() == [0.5, 0.5]


def test_a_layer_that_no_row_reaches():
    gates = GATES | {"depth": np.array([[1.0, 0.0]] * 4)}
    second = gate_uses(gates, CHOICES)[1]
    assert second.rows == 0 and second.load.tolist() == second.routed.tolist() == [0.0, 0.0, 0.0]
    assert gate_uses({}, {}) == []


def test_figures_draw_the_shares():
    loads, routed = gate_use_figure(gate_uses(GATES, CHOICES)[:2]).axes
    assert [bar.get_width() for bar in loads.patches[:3]] == [0.75, 0.0, 0.25]
    assert [bar.get_width() for bar in routed.patches[:3]] == [0.75, 0.75, 0.25]
    lists = [use for use in gate_uses(GATES, CHOICES | {"layer_2": ["c", "d", "a"]}) if use.place != "depth"]
    bars = gate_use_figure(lists).axes[0].patches
    # A choice has the same colour in all layers: c is third in layer 1 and first in layer 2.
    assert bars[2].get_facecolor() == bars[3].get_facecolor() != bars[0].get_facecolor() == bars[5].get_facecolor()
    (axes,) = exit_figure(np.array([1, 3, 3, 3]), 3).axes
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.0, 0.75]


def test_coverage_by_hand():
    columns = {"user": Columns(slice(0, 1), slice(0, 0)), "tags": Columns(slice(1, 3), slice(0, 0))}
    train = np.array([[1, 10, -1], [0, 11, 12], [2, 11, -1], [3, 10, 12]])
    test = np.array([[0, 10, -1], [0, 11, -1]])
    found = coverage({"train": train, "test": test}, columns, {"user": 0, "tags": 10})
    # Only the columns of tags that are in use count: 2 of 6 values in training, 1 of 2 in test.
    assert [(one.field, one.shares) for one in found] == [
        ("user", {"train": 0.25, "test": 1.0}), ("tags", {"train": 2 / 6, "test": 0.5}),
    ]  # fmt: skip
