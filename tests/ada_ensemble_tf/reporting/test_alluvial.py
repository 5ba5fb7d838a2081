import numpy as np
import pytest
from matplotlib.patches import PathPatch, Rectangle

from ada_ensemble_tf.reporting.alluvial import BLOCK, GAP, alluvial_figure, choice_paths, exit_depths
from ada_ensemble_tf.reporting.figures import GREY, png, svg

GATES = {
    "layer_1": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.0, 1.0]]),
    "layer_2": np.array([[0.3, 0.7], [1.0, 0.0], [0.5, 0.4], [0.9, 0.1]]),
    "depth": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
}
CHOICES = {"layer_1": ("dense", "cross"), "layer_2": ("dense", "cross"), "depth": ("exit_1", "exit_2")}


def test_paths_end_at_the_exit():
    assert exit_depths(GATES).tolist() == [1, 2, 2, 2]
    assert choice_paths(GATES).tolist() == [[0, -1], [1, 0], [0, 0], [1, 0]]


def test_without_a_depth_gate_all_rows_go_to_the_end():
    gates = {place: values for place, values in GATES.items() if place != "depth"}
    assert exit_depths(gates).tolist() == [2, 2, 2, 2]
    assert choice_paths(gates).tolist() == [[0, 1], [1, 0], [0, 0], [1, 0]]
    assert "exit" not in svg(alluvial_figure(gates, CHOICES), "a", "x")


def test_blocks_are_as_high_as_shares_of_rows_and_ribbons_as_the_rows_between():
    (axes,) = alluvial_figure(GATES, CHOICES).axes
    blocks = [(p.get_x(), p.get_y(), p.get_height()) for p in axes.patches if isinstance(p, Rectangle)]
    # Layer 1: half and half. Layer 2: 3 rows of dense, none of cross, 1 that exited. Then the 3 that exit at the end.
    after_dense = 0.75 + GAP
    expected = [(0, 0, 0.5), (0, 0.5 + GAP, 0.5), (1, 0, 0.75), (1, after_dense, 0.0), (1, after_dense + GAP, 0.25)]
    assert blocks == [pytest.approx(one) for one in [*expected, (2, 0, 0.75)]]
    ribbons = [p.get_path().vertices for p in axes.patches if isinstance(p, PathPatch)]
    # (from x, top there, top at the other end, height)
    found = [(r[0][0], r[0][1], r[3][1], r[4][1] - r[3][1]) for r in ribbons]
    assert found == [
        pytest.approx((BLOCK, 0, 0, 0.25)),  # dense to dense
        pytest.approx((BLOCK, 0.25, after_dense + GAP, 0.25)),  # dense to exit_1
        pytest.approx((BLOCK, 0.5 + GAP, 0.25, 0.5)),  # cross to dense, below the first
        pytest.approx((1 + BLOCK, 0, 0, 0.75)),  # dense to exit_2
    ]


def test_labels_tell_names_and_shares():
    figure = alluvial_figure(GATES, CHOICES)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"dense 50%", "cross 50%", "dense 75%", "exit_1 25%", "exit_2 75%"}
    assert png(figure).startswith(b"\x89PNG") and GREY in svg(figure, "a", "x")


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="one or more layers; received those of .'depth'."):
        alluvial_figure({"depth": GATES["depth"]}, CHOICES)
    with pytest.raises(ValueError, match="received none"):
        alluvial_figure({place: values[:0] for place, values in GATES.items()}, CHOICES)
