import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.updates.finite import FiniteCheck

GOOD = tf.constant([[1.0, -2.0]])


def bad(value: float) -> tf.Tensor:
    return tf.constant([0.0, value, 1.0])


def test_all_finite_gives_minus_one():
    check = FiniteCheck()
    place = check.first_bad("weights", {"a": GOOD, "b": tf.zeros((0, 3)), "c": tf.constant(2.0)})
    assert place.dtype == tf.int32 and place.shape == ()
    assert int(place) == -1
    assert check.names == ["weights: a", "weights: b", "weights: c"]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_the_first_bad_of_several_is_named(value):
    check = FiniteCheck()
    place = check.first_bad("weights", {"a": GOOD, "b": bad(value), "c": GOOD, "d": bad(np.nan)})
    assert check.names[int(place)] == "weights: b"


def test_infinities_of_both_signs_do_not_cancel():
    assert int(FiniteCheck().first_bad("weights", {"a": tf.constant([np.inf, -np.inf])})) == 0


def test_none_is_passed_over():
    check = FiniteCheck()
    place = check.first_bad("weights", {"a": None, "b": GOOD, "c": None, "d": bad(np.inf)})
    assert check.names == ["weights: b", "weights: d"]
    assert check.names[int(place)] == "weights: d"


@pytest.mark.parametrize("tensors", [{}, {"a": None}])
def test_nothing_to_check_is_finite(tensors):
    assert int(FiniteCheck().first_bad("weights", tensors)) == -1


def test_sparse_gradients_are_checked_by_their_values():
    check = FiniteCheck()
    rows = tf.constant([5, 5, 1])
    good, wrong = (tf.IndexedSlices(values, rows) for values in (tf.ones(3), bad(np.nan)))
    assert int(check.first_bad("weights", {"good": good})) == -1
    assert check.names[int(check.first_bad("weights", {"good": good, "wrong": wrong}))] == "weights: wrong"


def test_large_finite_values_are_not_flagged():
    """Their sum would be infinite in float32."""
    large = tf.constant([3e38, 3e38])
    assert np.isinf(tf.reduce_sum(large))
    assert int(FiniteCheck().first_bad("weights", {"a": large, "b": -large})) == -1


def test_stages_share_the_list_of_names():
    check = FiniteCheck()
    check.first_bad("weights", {"a": GOOD, "b": GOOD})
    place = check.first_bad("gates", {"a": GOOD, "b": bad(np.nan)})
    assert check.names == ["weights: a", "weights: b", "gates: a", "gates: b"]
    assert int(place) == 3
    # In a second call, names in another order keep their places.
    assert int(check.first_bad("weights", {"b": bad(np.nan), "a": GOOD})) == 1
    assert len(check.names) == 4


def test_what_reaches_no_outcome_is_let_be():
    check = FiniteCheck()
    assert int(check.first_bad_if("weights", {"a": bad(np.nan)}, {"loss": GOOD, "none": None})) == -1
    place = check.first_bad_if("weights", {"a": GOOD, "b": bad(np.nan)}, {"loss": bad(np.inf), "gradient": GOOD})
    assert check.names[int(place)] == "weights: b"
    assert check.names[int(check.first_bad_if("weights", {"a": GOOD}, {"loss": bad(np.inf)}))] == "weights: loss"


@pytest.mark.parametrize("compiled", [False, True])
def test_in_a_graph_the_check_is_not_optimised_away(compiled):
    check = FiniteCheck()

    @tf.function(jit_compile=compiled, autograph=False)
    def first_bad(x, y):
        return check.first_bad("weights", {"x": x, "y": y, "sum": x + y})

    finite = tf.constant([3e38, -1.0])
    assert int(first_bad(finite, tf.zeros(2))) == -1
    for value in (np.inf, np.nan):
        place = first_bad(finite, tf.constant([0.0, value]))
        assert check.names[int(place)] == "weights: y"
    # Both are finite, their sum is not.
    assert check.names[int(first_bad(finite, finite))] == "weights: sum"
    assert check.names == ["weights: x", "weights: y", "weights: sum"]
