import itertools

import numpy as np
import pytest
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    reference_estimator,
    reference_mlp,
)

from ada_ensemble_tf.models import DeepFM


def small_model(**arguments) -> DeepFM:
    return DeepFM(**({"dimension": 4, "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
def test_forward_is_the_sum_of_both_parts(rows):
    def reference(weights, fields):
        v = fields["embedding"]
        products = [(v[:, i] * v[:, j]).sum(axis=1) for i, j in itertools.combinations(range(3), 2)]
        y_fm = fields["level_weights"][:, :, 0].sum(axis=1) + np.sum(products, axis=0)
        return y_fm + reference_estimator(weights, reference_mlp(weights, "mlp", v.reshape(-1, 12)))

    assert_forward_is(small_model(**rows), reference)


def test_flops_by_hand():
    # Pairs: 3 * 4 sums, 12 squares and 12 sums of them; of 4 values a square, a difference and a sum.
    row = (12 + 24 + 12) + 2 * (12 * 6 + 6 * 5 + 5)
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (3 + row)
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 + 4 + 5 + 3 * row


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\); received 1.5"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
