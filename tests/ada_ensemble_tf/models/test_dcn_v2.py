import numpy as np
import pytest
import tensorflow as tf
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    reference_estimator,
    reference_mlp,
    reference_normalization,
)

from ada_ensemble_tf.models import DCNV2
from ada_ensemble_tf.models.dcn_v2 import MatrixCross


def small_model(**arguments) -> DCNV2:
    return DCNV2(**({"dimension": 4, "num_layers": 2, "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("structure", ["stacked", "parallel"])
def test_forward_is_the_numpy_network(rows, rank, structure):
    def reference(weights, fields):
        x0 = x = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        for i in (1, 2):
            w = weights[f"cross_{i}/dense/kernel"]
            if rank:
                w = weights[f"cross_{i}/project/kernel"] @ w
            x = x0 * (x @ w + weights[f"cross_{i}/dense/bias"]) + x
        if structure == "stacked":
            return reference_estimator(weights, reference_mlp(weights, "mlp", x))
        return reference_estimator(weights, np.concatenate([x, reference_mlp(weights, "mlp", x0)], axis=1))

    assert_forward_is(small_model(**rows, rank=rank, structure=structure), reference)


def test_cross_by_hand():
    cross = MatrixCross()
    cross.build((None, 2), (None, 2))
    # Kernels multiply from the right: W = [[1, 2], [3, 4]] maps (3, 5) to (13, 29).
    cross.dense.kernel.assign([[1.0, 3.0], [2.0, 4.0]])
    cross.dense.bias.assign([1.0, -9.0])
    # (10, 2) * (14, 20) + (3, 5): the bias is inside of the product.
    np.testing.assert_allclose(cross(tf.constant([[10.0, 2.0]]), tf.constant([[3.0, 5.0]])), [[143.0, 45.0]])
    assert cross.flops() == 2 * 4 + 3 * 2


def test_flops_by_hand():
    full = 2 * (2 * 12 * 12 + 3 * 12)
    low_rank = 2 * (2 * 2 * 12 * 3 + 3 * 12)
    dense = 2 * (12 * 6 + 6 * 5 + 5)
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (full + dense)
    assert float(small_model(**PLAIN, rank=3).forward(PLAIN_INPUTS).flops) == 4 * (low_rank + dense)
    parallel = small_model(**FIELDS, structure="parallel")
    assert float(parallel.forward(INPUTS).flops) == 3 * (full + dense + 2 * 12)


@pytest.mark.parametrize("structure, rank, kernels", [("stacked", 0, 5), ("parallel", 2, 7)])
def test_what_every_model_does(tmp_path, structure, rank, kernels):
    check_model(lambda **arguments: small_model(**arguments, structure=structure, rank=rank), tmp_path, kernels)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"structure": "stack"}, r"structure must be 'stacked' or 'parallel'; received 'stack'"),
        ({"rank": -1}, "rank must be a whole number of at least 0; received -1"),
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
