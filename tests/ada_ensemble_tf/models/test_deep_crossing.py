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

from ada_ensemble_tf.models import DeepCrossing


def small_model(**arguments) -> DeepCrossing:
    return DeepCrossing(**({"dimension": 4, "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_forward_is_the_numpy_network(rows, normalization):
    def reference(weights, fields):
        x = np.maximum(fields["embedding"].reshape(-1, 12) + weights["embedding_bias"], 0.0)
        for unit in ("unit_1", "unit_2"):
            inner = reference_mlp(weights, f"{unit}/inner", x)
            x = np.maximum(inner @ weights[f"{unit}/outer/kernel"] + weights[f"{unit}/outer/bias"] + x, 0.0)
        return reference_estimator(weights, x)

    assert_forward_is(small_model(**rows, normalization=normalization), reference)


def test_flops_by_hand():
    # The embedding's bias; two products, the residual; the estimator.
    row = 12 + (2 * 2 * 12 * 6 + 12) + (2 * 2 * 12 * 5 + 12) + 2 * 12
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * row
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 * row


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_units": ()}, r"hidden_units must be one or more whole numbers of at least 1; received \[\]"),
        ({"hidden_units": (4, 0)}, r"hidden_units must be one or more whole numbers of at least 1; received \[4, 0\]"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\); received 1.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
