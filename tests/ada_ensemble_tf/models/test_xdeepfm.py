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
    reference_normalization,
)

from ada_ensemble_tf.models import XDeepFM


def small_model(**arguments) -> XDeepFM:
    return XDeepFM(**({"dimension": 4, "feature_maps": (5, 2), "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_forward_is_the_numpy_network(rows, normalization):
    def reference(weights, fields):
        flat = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        x0 = maps = flat.reshape(-1, 3, 4)
        parts = []
        for k, size in ((1, 5), (2, 2)):
            kernel = weights[f"cin/dense_{k}/kernel"].reshape(maps.shape[1], 3, size)
            maps = np.einsum("bid,bjd,ijh->bhd", maps, x0, kernel) + weights[f"cin/dense_{k}/bias"][:, None]
            parts.append(maps.sum(axis=2))
        parts.append(reference_mlp(weights, "mlp", flat))
        linear = fields["level_weights"][:, :, 0].sum(axis=1)
        return linear + reference_estimator(weights, np.concatenate(parts, axis=1))

    assert_forward_is(small_model(**rows, embedding_normalization=normalization), reference)


def test_flops_by_hand():
    # Of each of 4 values: the products of maps and fields, their sums for 5 and for 2 maps, and the pooling.
    interactions = 4 * (9 + 2 * 9 * 5 + 5) + 4 * (15 + 2 * 15 * 2 + 2)
    row = interactions + 2 * (12 * 6 + 6 * 5 + 5 + 7)
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (3 + row)
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 + 4 + 5 + 3 * row


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"feature_maps": ()}, r"feature_maps must be one or more whole numbers of at least 1; received \[\]"),
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
        ({"embedding_normalization": "bach"}, "normalization must be 'batch', 'layer' or 'none'; received 'bach'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
