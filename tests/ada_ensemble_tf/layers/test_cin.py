import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.layers.cin import CompressedInteractionNetwork

X = np.random.default_rng(3).normal(size=(4, 6)).astype("float32")


def built(num_fields: int = 3, feature_maps=(4, 2, 3), width: int = 6) -> CompressedInteractionNetwork:
    cin = CompressedInteractionNetwork(num_fields, feature_maps)
    cin.build((None, width))
    return cin


def looped_cin(weights: dict, x: np.ndarray, num_fields: int, layers: int) -> np.ndarray:
    """A row, a map and a pair at a time."""
    outputs = []
    for row in x.astype(float):
        x0 = row.reshape(num_fields, -1)
        maps, pooled = list(x0), []
        for k in range(1, layers + 1):
            kernel, bias = weights[f"dense_{k}/kernel"], weights[f"dense_{k}/bias"]
            kernel = kernel.reshape(len(maps), num_fields, -1)
            maps = [
                bias[h] + sum(kernel[i, j, h] * maps[i] * x0[j] for i in range(len(maps)) for j in range(num_fields))
                for h in range(kernel.shape[2])
            ]
            pooled += [m.sum() for m in maps]
        outputs.append(pooled)
    return np.array(outputs)


def test_by_hand():
    cin = built(2, (1, 2), width=4)
    first, second = cin.dense_layers
    # Over the pairs (1, 1), (1, 2), (2, 1), (2, 2) of fields; then over (map 1, field 1), (map 1, field 2).
    first.kernel.assign([[0.0], [2.0], [1.0], [1.0]])
    first.bias.assign([0.5])
    second.kernel.assign([[1.0, 0.0], [0.0, -1.0]])
    second.bias.assign([0.0, 10.0])
    # Fields (1, 2) and (3, -4): the products are (1, 4), (3, -8), (3, -8), (9, 16), so the map is
    # (2 * 3 + 3 + 9 + .5, 2 * -8 - 8 + 16 + .5) = (18.5, -7.5); then times field 1 and times field 2 negated.
    expected = [[11.0, 18.5 - 15.0, -55.5 - 30.0 + 20.0]]
    np.testing.assert_allclose(cin(tf.constant([[1.0, 2.0, 3.0, -4.0]])), expected)


@pytest.mark.parametrize(("num_fields", "feature_maps"), [(3, (4, 2, 3)), (2, (5,)), (1, (2, 2)), (6, (3, 1))])
def test_agrees_with_loops(num_fields, feature_maps):
    cin = built(num_fields, feature_maps)
    weights = random_weights(cin)
    expected = looped_cin(weights, X, num_fields, len(feature_maps))
    assert cin.compute_output_shape((4, 6)) == expected.shape
    np.testing.assert_allclose(cin(X), expected, rtol=1e-4, atol=1e-4)


def test_flops_by_hand():
    # F = 3, D = 2: 9, 12 and 6 products for 4, 2 and 3 maps.
    assert built().flops() == 2 * (9 + 2 * 9 * 4 + 4) + 2 * (12 + 2 * 12 * 2 + 2) + 2 * (6 + 2 * 6 * 3 + 3)


def test_gradients_zero_rows_and_round_trips():
    with float64_layers():
        cin = built()
        random_weights(cin)
        check_gradients(cin, X.astype("float64"))
    cin = built()
    random_weights(cin)
    check_zero_rows(cin, X)
    before, after = round_trip(cin, X)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(cin).get_config() == cin.get_config()
    assert sum(v.path.endswith("kernel") for v in cin.trainable_variables) == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_fields": 0}, "num_fields must be at least 1; received 0"),
        ({"feature_maps": ()}, r"feature_maps must be one or more positive sizes; received \[\]"),
        ({"feature_maps": (4, 0)}, r"feature_maps must be one or more positive sizes; received \[4, 0\]"),
        ({"num_fields": 4}, "the width M of x must be a multiple of num_fields; received M=6 and num_fields=4"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        built(**arguments)
