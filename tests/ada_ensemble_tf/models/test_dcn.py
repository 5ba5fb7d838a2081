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

from ada_ensemble_tf.models import DCN
from ada_ensemble_tf.models.dcn import VectorCross


def small_model(**arguments) -> DCN:
    return DCN(**({"dimension": 4, "num_layers": 2, "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("embedding_normalization", ["batch", "none"])
def test_forward_is_equations_3_to_5(rows, embedding_normalization):
    def reference(weights, fields):
        x0 = x = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        for i in (1, 2):
            w, b = weights[f"cross_{i}/kernel"][:, 0], weights[f"cross_{i}/bias"]
            # Row by row as the paper has it: x0 x_l^T w_l + b_l + x_l.
            x = np.stack([np.outer(a, c) @ w + b + c for a, c in zip(x0, x, strict=True)])
        return reference_estimator(weights, np.concatenate([x, reference_mlp(weights, "mlp", x0)], axis=1))

    assert_forward_is(small_model(**rows, embedding_normalization=embedding_normalization), reference)


def test_cross_by_hand():
    cross = VectorCross()
    cross.build((None, 2), (None, 2))
    cross.kernel.assign([[2.0], [-1.0]])
    cross.bias.assign([0.5, 0.25])
    # x . w = 2 * 3 - 5 = 1, so x0 + b + x.
    np.testing.assert_allclose(cross(tf.constant([[10.0, 20.0]]), tf.constant([[3.0, 5.0]])), [[13.5, 25.25]])
    assert cross.flops() == 2 * 2 + 2 + 2 + 2


def test_flops_by_hand():
    row = 2 * 5 * 12 + 2 * (12 * 6 + 6 * 5 + (12 + 5))
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * row
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 * row


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=2 + 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
        ({"embedding_normalization": "bach"}, "normalization must be 'batch', 'layer' or 'none'; received 'bach'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
