import itertools

import numpy as np
import pytest
import tensorflow as tf
from model_checks import FIELDS, INPUTS, PLAIN, PLAIN_INPUTS, assert_forward_is, check_model

from ada_ensemble_tf.models import FactorizationMachine
from ada_ensemble_tf.models.factorization_machine import pairwise_term


def small_model(**arguments) -> FactorizationMachine:
    return FactorizationMachine(**({"dimension": 4} | arguments))


def pairs(v: np.ndarray) -> np.ndarray:
    """The pairwise term as equation 1 has it: pair by pair."""
    return sum((v[:, i] * v[:, j]).sum(axis=1) for i, j in itertools.combinations(range(v.shape[1]), 2))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
def test_forward_is_equation_1(rows):
    def reference(weights, fields):
        return weights["bias"] + fields["level_weights"][:, :, 0].sum(axis=1) + pairs(fields["embedding"])

    assert_forward_is(small_model(**rows), reference)


def test_pairwise_term_by_hand():
    # <(1, 2), (3, 4)> = 11; of three: <a, b> + <a, c> + <b, c> = 11 + 1 + 3.
    assert float(pairwise_term(tf.constant([[1.0, 2.0, 3.0, 4.0]]), 2)[0]) == 11.0
    assert float(pairwise_term(tf.constant([[1.0, 2.0, 3.0, 4.0, 1.0, 0.0]]), 3)[0]) == 15.0
    assert float(pairwise_term(tf.constant([[1.0, 2.0]]), 1)[0]) == 0.0


def test_flops_by_hand():
    # A row: 3 weights; 3 * 4 sums, 12 squares and 12 sums of them; of 4 values a square, a difference and a sum.
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (3 + 12 + 24 + 12)
    # Rows of 3, 4 and 5 ids.
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 + 4 + 5 + 3 * (12 + 24 + 12)


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=0)


def test_both_tables_are_the_embedding_optimisers():
    model = small_model(**PLAIN)
    assert [v.shape for v in model.embedding_variables] == [(9, 1), (9, 4)]
    assert [v.name for v in model.weight_variables] == ["bias"]
