import numpy as np
import pytest

from ada_ensemble_tf.reporting.field_routing import (
    MOST_VALUES,
    field_information,
    field_information_figure,
    information,
    shares,
    top_values,
)

CLASSES = np.array([0, 0, 1, 1])
FOLLOWS = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.0, 0.3, 0.7], [0.0, 0.4, 0.6]])


def test_information_is_one_where_gates_follow_and_zero_where_they_do_not():
    assert information(FOLLOWS, CLASSES) == pytest.approx((1.0, 1.0))
    assert information(np.ones((4, 3)), CLASSES) == pytest.approx((0.0, 0.0))
    # The largest gate follows, while all are kept.
    assert information(FOLLOWS + 0.01, CLASSES) == pytest.approx((1.0, 0.0))


def test_information_by_hand():
    # One row of four goes astray: I = ln 2 - 3/4 H(1/3), over the mean of the entropies ln 2 and H(1/4).
    gates = np.eye(2)[[0, 0, 1, 0]]

    def entropy(p):
        return -p * np.log(p) - (1 - p) * np.log(1 - p)

    expected = (np.log(2) - 0.75 * entropy(1 / 3)) / ((np.log(2) + entropy(1 / 4)) / 2)
    assert information(gates, CLASSES)[0] == pytest.approx(expected)


def test_shares_by_hand():
    assert shares(FOLLOWS, np.array([0, 0, 0, 2]), 3)[[0, 2]].tolist() == [[2 / 3, 0, 1 / 3], [0, 0, 1]]
    assert np.isnan(shares(FOLLOWS, np.array([0, 0, 0, 2]), 3)[1]).all()


@pytest.fixture(scope="module")
def routed():
    """(gates, levels): layer 1 follows field "group", layer 2 nothing; rows of group 2 exit after layer 1."""
    rng = np.random.default_rng(1)
    group = rng.integers(0, 3, 600)
    gates = {
        "layer_1": np.eye(3)[group],
        "layer_2": np.eye(3)[rng.integers(0, 3, 600)],
        "depth": np.eye(2)[np.where(group == 2, 0, 1)],
    }
    return gates, {"group": group + 7, "noise": rng.integers(0, 400, 600)}


def test_a_field_that_gates_follow_stands_out_and_many_values_do_not(routed):
    found = {(one.field, one.place): one for one in field_information(*routed)}
    assert len(found) == 6
    assert found["group", "layer_1"].nmi == pytest.approx(1.0) and found["group", "layer_1"].chance < 0.02
    # With many values, chance alone gives much information; it is subtracted.
    assert found["noise", "layer_1"].nmi > 0.05 and found["noise", "layer_1"].excess < 0.03
    assert found["group", "layer_2"].excess < 0.02


def test_only_rows_that_reach_a_gate_count():
    """Layer 2 follows the field on the rows that reach it; rows that exited earlier would show the opposite."""
    group = np.array([0, 1] * 20 + [0, 1] * 20)
    late = np.arange(80) < 40
    choice = np.where(late, group, 0)
    gates = {"layer_1": np.eye(2)[group], "layer_2": np.eye(2)[choice], "depth": np.eye(2)[late.astype(int)]}
    found = {one.place: one.nmi for one in field_information(gates, {"group": group})}
    assert found["layer_2"] == pytest.approx(1.0) and found["depth"] == pytest.approx(0.0, abs=1e-9)


def test_rare_values_count_as_one():
    """Field values 0 .. 99 with falling counts; a gate that follows only the rare ones sees nothing of the field."""
    levels = np.repeat(np.arange(100), np.where(np.arange(100) < MOST_VALUES, 4, 2))
    rare = levels >= MOST_VALUES
    gates = {"layer_1": np.eye(2)[np.where(rare, levels % 2, 0)]}
    (one,) = field_information(gates, {"field": levels})
    known = np.where(rare, -1, levels)
    assert one.nmi == pytest.approx(information(gates["layer_1"], known)[0])


def test_top_values_by_hand():
    values = top_values(np.vstack([FOLLOWS, FOLLOWS[:1]]), np.array([5, 9, 9, 5, 5]), count=2)
    assert [(one.value, one.rows) for one in values] == [(5, 3), (9, 2)]
    assert values[0].shares == pytest.approx([2 / 3, 0, 1 / 3]) and values[1].shares.tolist() == [0.5, 0, 0.5]


def test_the_figure_has_the_strongest_field_first(routed):
    axes = field_information_figure(field_information(*routed)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["group", "noise"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["layer_1", "layer_2", "depth"]
