import numpy as np
import pytest
from matplotlib.patches import PathPatch, Rectangle

from ada_ensemble_tf.reporting.alluvial import BLOCK, CLUSTER_COLORS, GAP, MOST_BLOCKS, alluvial_figure
from ada_ensemble_tf.reporting.figures import GREY, png, svg

GATES = {
    "layer_1": np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.0, 0.4], [0.7, 0.3, 0.0]]),
    "layer_2": np.array([[0.3, 0.7, 0.0], [1.0, 0.0, 0.0], [0.5, 0.4, 0.1], [1.0, 0.0, 0.0]]),
    "depth": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
}
EXPERTS = ("dense", "cross", "attention")
CHOICES = {"layer_1": EXPERTS, "layer_2": EXPERTS, "depth": ("exit_1", "exit_2")}


def test_blocks_are_shares_of_combinations_and_ribbons_the_rows_between():
    (axes,) = alluvial_figure(GATES, CHOICES).axes
    blocks = [(p.get_x(), p.get_y(), p.get_height()) for p in axes.patches if isinstance(p, Rectangle)]
    # Layer 1: three rows keep dense and cross, one dense and attention. Layer 2: two keep dense, one all, one exited.
    expected = [(0, 0, 0.75), (0, 0.75 + GAP, 0.25), (1, 0, 0.5), (1, 0.5 + GAP, 0.25), (1, 0.75 + 2 * GAP, 0.25)]
    assert blocks == [pytest.approx(one) for one in [*expected, (2, 0, 0.75)]]
    ribbons = [p.get_path().vertices for p in axes.patches if isinstance(p, PathPatch)]
    # (from x, top there, top at the other end, height)
    found = [(r[0][0], r[0][1], r[3][1], r[4][1] - r[3][1]) for r in ribbons]
    assert found == [
        pytest.approx((BLOCK, 0, 0, 0.5)),  # dense and cross to dense
        pytest.approx((BLOCK, 0.5, 0.75 + 2 * GAP, 0.25)),  # dense and cross to exit_1
        pytest.approx((BLOCK, 0.75 + GAP, 0.5 + GAP, 0.25)),  # dense and attention to all
        pytest.approx((1 + BLOCK, 0, 0, 0.5)),  # dense to exit_2
        pytest.approx((1 + BLOCK, 0.5 + GAP, 0.5, 0.25)),  # all to exit_2
    ]


def test_colours_tell_how_frequent_the_whole_path_is():
    (axes,) = alluvial_figure(GATES, CHOICES).axes
    # One path has two rows, the two others one each.
    frequent = [p.get_path().vertices[4][1] - p.get_path().vertices[3][1] > 0.3 for p in axes.patches[6:]]
    paints = ["#{:02x}{:02x}{:02x}".format(*(round(255 * v) for v in p.get_facecolor()[:3])) for p in axes.patches[6:]]
    drawn = [p for p in axes.patches if isinstance(p, PathPatch)]
    assert len(drawn) == 5 and set(paints) <= set(CLUSTER_COLORS[:2]) and any(frequent)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["1 path of 50.0%: 50.0% of rows", "2 paths of 25.0%: 50.0% of rows"]


def test_labels_tell_names_and_shares():
    figure = alluvial_figure(GATES, CHOICES)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"de+cr 75%", "de+at 25%", "de 50%", "all 25%", "exit_1 25%", "exit_2 75%"}
    assert figure.axes[0].get_xlabel() == "de dense, cr cross, at attention"
    assert png(figure).startswith(b"\x89PNG") and GREY in svg(figure, "a", "x")


def test_one_expert_a_row_has_its_whole_name_and_without_depth_gate_there_is_no_exit():
    gates = {"layer_1": np.eye(3)[[0, 0, 1, 2]], "layer_2": np.eye(3)[[1, 1, 1, 2]]}
    (axes,) = alluvial_figure(gates, CHOICES).axes
    assert "dense 50%" in {text.get_text() for text in axes.texts} and axes.get_xlabel() == ""
    assert not any("exit" in text.get_text() for text in axes.texts)


def test_rare_combinations_share_a_block():
    every = np.array([[bool(i >> j & 1) for j in range(4)] for i in range(1, 16)], float)
    gates = {"layer_1": np.repeat(every, np.arange(15, 0, -1), axis=0)}
    (axes,) = alluvial_figure(gates, {"layer_1": ("aa", "bb", "cc", "dd")}).axes
    assert sum(isinstance(p, Rectangle) for p in axes.patches) == MOST_BLOCKS
    # 15 combinations, of which the seven most frequent have blocks: 8 + 7 + .. + 1 of 120 rows are left.
    assert axes.texts[-1].get_text() == "8 others 30%"
