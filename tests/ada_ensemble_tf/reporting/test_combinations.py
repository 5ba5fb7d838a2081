import numpy as np
import pytest

from ada_ensemble_tf.reporting.combinations import (
    abbreviations,
    combination_paths,
    exit_depths,
    experts_in,
    frequency_clusters,
)

GATES = {
    "layer_1": np.array([[0.9, 0.1], [0.0, 1.0], [0.6, 0.4]]),
    "layer_2": np.array([[0.3, 0.7], [1.0, 0.0], [0.5, 0.5]]),
    "depth": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
}


def test_paths_are_the_experts_kept_up_to_the_exit():
    assert exit_depths(GATES).tolist() == [1, 2, 2]
    assert combination_paths(GATES).tolist() == [[3, -1], [2, 1], [3, 3]]
    assert experts_in(2, ("dense", "cross")) == ["cross"] and experts_in(3, ("dense", "cross")) == ["dense", "cross"]


def test_without_a_depth_gate_all_rows_go_to_the_end():
    gates = {place: values for place, values in GATES.items() if place != "depth"}
    assert exit_depths(gates).tolist() == [2, 2, 2]
    assert combination_paths(gates).tolist() == [[3, 3], [2, 1], [3, 3]]


def test_clusters_are_of_like_frequencies_the_most_frequent_first():
    assert frequency_clusters(np.array([5, 900, 6, 1000, 80, 4, 70])).tolist() == [2, 0, 2, 0, 1, 2, 1]
    assert frequency_clusters(np.array([7, 7, 7])).tolist() == [0, 0, 0]
    assert frequency_clusters(np.array([1, 1000])).tolist() == [1, 0]


def test_abbreviations_tell_names_apart():
    names = ["gated_dense", "gated_dnn", "cin", "cin_", "a"]
    assert abbreviations(names) == ["gated_de", "gated_dn", "cin", "cin_", "a"]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="one or more layers; received those of .'depth'."):
        combination_paths({"depth": GATES["depth"]})
    with pytest.raises(ValueError, match="received none"):
        combination_paths({place: values[:0] for place, values in GATES.items()})
