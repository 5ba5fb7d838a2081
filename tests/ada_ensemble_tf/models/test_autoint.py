import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip
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

from ada_ensemble_tf.models import AutoInt
from ada_ensemble_tf.models.autoint import InteractingLayer

X = np.random.default_rng(3).normal(size=(4, 3, 2)).astype("float32")


def small_model(**arguments) -> AutoInt:
    return AutoInt(**({"dimension": 4, "num_layers": 2, "attention_size": 6} | arguments))


def looped_layer(weights: dict, name: str, fields: np.ndarray, heads: int, scaled: bool) -> np.ndarray:
    """A row, a head and a field at a time."""
    query, key, value, residual = (weights[f"{name}{part}/kernel"] for part in ("query", "key", "value", "residual"))
    size = query.shape[1] // heads
    outputs = []
    for row in fields.astype(float):
        output = row @ residual
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for m in range(len(row)):
                scores = np.array([(row[m] @ query[:, part]) @ (e @ key[:, part]) for e in row])
                shares = np.exp(scores / np.sqrt(size) if scaled else scores)
                shares /= shares.sum()
                output[m, part] += sum(shares[k] * (row[k] @ value[:, part]) for k in range(len(row)))
        outputs.append(np.maximum(output, 0))
    return np.array(outputs)


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("hidden_units", [(), (6, 5)], ids=["plain", "with dense layers"])
@pytest.mark.parametrize("heads, scaled", [(2, False), (3, True)])
def test_forward_is_the_numpy_network(rows, hidden_units, heads, scaled):
    def reference(weights, fields):
        x0 = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        x = x0.reshape(-1, 3, 4)
        for i in (1, 2):
            x = looped_layer(weights, f"interaction_{i}/", x, heads, scaled)
        features = x.reshape(-1, 18)
        if hidden_units:
            features = np.concatenate([features, reference_mlp(weights, "mlp", x0)], axis=1)
        return reference_estimator(weights, features)

    assert_forward_is(small_model(**rows, hidden_units=hidden_units, heads=heads, scaled=scaled), reference)


def test_layer_by_hand():
    layer = InteractingLayer(attention_size=2, heads=2)
    layer.build((None, 2, 2))
    layer.query.kernel.assign([[np.log(3.0), 0.0], [0.0, 0.0]])
    layer.key.kernel.assign([[1.0, 5.0], [0.0, 5.0]])
    layer.value.kernel.assign([[4.0, 0.0], [8.0, 2.0]])
    layer.residual.kernel.assign([[1.0, -3.0], [0.0, 0.5]])
    # Fields (1, 0) and (0, 1). Head 1 has scores (log 3, 0) for the first and (0, 0) for the second, so shares
    # (3/4, 1/4) and halves, of values 4 and 8; head 2 has halves of values 0 and 2. Plus (1, -3) and (0, 0.5).
    np.testing.assert_allclose(layer(tf.constant([[[1.0, 0.0], [0.0, 1.0]]])), [[[6.0, 0.0], [6.0, 1.5]]], rtol=1e-6)
    # Four projections of 2 x 2 for 2 fields; scores and sums of 2 x 2 pairs and 2 values.
    assert layer.flops() == 2 * (4 * 2 * 4 + 2 * 4 * 2)


def test_layer_gradients_zero_rows_and_round_trips():
    def built() -> InteractingLayer:
        layer = InteractingLayer(4, 2, scaled=True)
        layer.build((None, 3, 2))
        return layer

    with float64_layers():
        layer = built()
        random_weights(layer)
        check_gradients(layer, X.astype("float64"))
    layer = built()
    check_zero_rows(layer, X)
    before, after = round_trip(layer, X)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(layer).get_config() == layer.get_config()


def test_flops_by_hand():
    # Four projections of 3 fields, then scores and sums of 9 pairs, from size 4 and from size 6.
    row = 2 * (4 * 3 * 4 * 6 + 2 * 9 * 6) + 2 * (4 * 3 * 6 * 6 + 2 * 9 * 6) + 2 * 18
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * row
    dense = 2 * (12 * 6 + 6 * 5 + 5)
    assert float(small_model(**FIELDS, hidden_units=(6, 5)).forward(INPUTS).flops) == 3 * (row + dense)


@pytest.mark.parametrize("hidden_units, kernels", [((), 9), ((6, 5), 11)])
def test_what_every_model_does(tmp_path, hidden_units, kernels):
    check_model(lambda **arguments: small_model(**arguments, hidden_units=hidden_units), tmp_path, kernels)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"heads": 4}, "attention_size must be a multiple of heads=4; received 6"),
        ({"heads": 0}, "heads must be a whole number of at least 1; received 0"),
        ({"hidden_units": (4, 0)}, r"hidden_units must be whole numbers of at least 1; received \[4, 0\]"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
