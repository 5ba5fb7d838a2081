"""Rows, weights, NumPy references and checks shared by the tests of models."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.models import MODELS, CTRModel
from ada_ensemble_tf.optimizers import GroupFtrl

# Fields: one column of rows 0 to 2, three columns of rows 3 to 5, and a value whose row is 7.
FIELDS = {"num_rows": 9, "num_fields": 3, "widths": (1, 3, 1), "value_rows": [(2, 7)]}
INPUTS = {
    "ids": tf.constant([[1, 4, -1, -1, 7], [2, 3, 5, -1, 8], [0, 3, 4, 5, 6]]),
    "values": tf.constant([[2.5], [0.0], [0.0]]),
}
# The same rows with one column per field and no floats.
PLAIN = {"num_rows": 9, "num_fields": 3}
PLAIN_INPUTS = tf.constant([[1, 4, 7], [2, 3, 8], [0, 5, 6], [1, 1, 8]])
LABELS = tf.constant([1.0, 0.0, 0.0])


def randomize(model: CTRModel, seed: int = 0) -> dict[str, np.ndarray]:
    """Sets all weights of a model to random values; returns them in float64 by path."""
    rng = np.random.default_rng(seed)
    values = {}
    for weight in model.weights:
        if weight.dtype != "float32":
            continue
        value = 0.5 * rng.normal(size=weight.shape)
        if weight.path.endswith("variance"):
            value = np.abs(value) + 0.1
        # The model's own weights, as against its layers', begin with its name.
        path = weight.path.removeprefix(f"{model.name}/")
        assert path not in values, f"two weights are called {path}"
        weight.assign(value)
        values[path] = np.array(weight, np.float64)
    return values


def fields_of(table: np.ndarray, inputs) -> np.ndarray:
    """`[B, F, D]`: what the rows of INPUTS or PLAIN_INPUTS read in `table`."""
    if inputs is PLAIN_INPUTS:
        return table[inputs.numpy()]
    first = [table[1], table[2], table[0]]
    second = [table[4], (table[3] + table[5]) / 2, (table[3] + table[4] + table[5]) / 3]
    third = [2.5 * table[7], table[8], table[6]]
    return np.stack([first, second, third], axis=1)


def reference_mlp(weights: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """The rectified MLP called `name` in inference, with batch normalisation where it has any."""
    layer = 1
    while f"{name}/dense_{layer}/kernel" in weights:
        x = x @ weights[f"{name}/dense_{layer}/kernel"] + weights[f"{name}/dense_{layer}/bias"]
        x = np.maximum(reference_normalization(weights, f"{name}/normalize_{layer}", x), 0.0)
        layer += 1
    assert layer > 1, f"there is no {name} in {sorted(weights)}"
    return x


def reference_normalization(weights: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """The batch normalisation called `name` in inference, or x where there is none."""
    if f"{name}/gamma" not in weights:
        return x
    scale = weights[f"{name}/gamma"] / np.sqrt(weights[f"{name}/moving_variance"] + 1e-3)
    return (x - weights[f"{name}/moving_mean"]) * scale + weights[f"{name}/beta"]


def reference_estimator(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The model's estimator."""
    return x @ weights["estimator/kernel"] + weights["estimator/bias"]


def assert_forward_is(model: CTRModel, reference, rtol: float = 1e-4) -> None:
    """Compares the logits of random weights with `reference(weights, fields of each table by its name)`."""
    weights = randomize(model)
    inputs = INPUTS if model.value_rows else PLAIN_INPUTS
    tables = {path.split("/")[0]: t for path, t in weights.items() if path.endswith("/table")}
    fields = {name: fields_of(t, inputs) for name, t in tables.items() if len(t) == model.num_rows}
    expected = reference(weights, fields)
    forward = model.forward(inputs)
    assert forward.logit.dtype == tf.float32 and forward.logit.shape == expected.shape
    np.testing.assert_allclose(forward.logit, expected, rtol, atol=1e-5)
    np.testing.assert_allclose(model(inputs), 1 / (1 + np.exp(-expected)), rtol, atol=1e-5)
    assert list(forward.tensors)[-1] == "logit"


def check_model(make, tmp_path, kernels: int) -> None:
    """Checks what every model must do, for `make(**arguments)` with the rows' arguments in FIELDS or PLAIN.

    It is registered; starts at its initial logit; trains all its weights, also in a graph and on one row; l2 sees
    `kernels` kernels; it survives JSON and .keras; it takes the keys of its config; it refuses misspelt and wrong
    arguments.
    """
    model = make(**FIELDS, initial_logit=-1.0)
    assert type(model) is MODELS[model.name]
    biases = [float(v.numpy()) for v in model.weight_variables if v.shape == ()]
    assert biases == [-1.0]
    _check_training(model)
    assert sum(v.path.endswith("kernel") for v in model.weight_variables) == kernels
    if kernels:
        squares = sum((v.numpy() ** 2).sum() for v in model.weight_variables if v.path.endswith("kernel"))
        penalised = make(**FIELDS, l2=0.5)
        for to, value in zip(penalised.weights, model.get_weights(), strict=True):
            to.assign(value)
        term = penalised.objective(penalised.forward(INPUTS), LABELS)["l2"]
        np.testing.assert_allclose(term, 0.5 * squares, rtol=1e-5)
    _check_round_trips(model, tmp_path)
    defaults = config_for(model.name).model.to_dict()
    assert defaults.pop("name") == model.name
    # Epochs become steps once the data is known.
    defaults = {key: value for key, value in defaults.items() if not key.endswith("_epochs")}
    by_defaults = type(model)(**PLAIN, **defaults).get_config()
    assert {key: by_defaults[key] for key in defaults} == json.loads(json.dumps(defaults))
    plain = make(**PLAIN)
    assert type(model).from_config(plain.get_config()).input_signature == tf.TensorSpec([None, 3], tf.int32)
    for arguments, message in [
        (PLAIN | {"widths": (1, 2)}, r"widths must be those of num_fields=3 fields; received \[1, 2\]"),
        (PLAIN | {"dimension": 0}, "dimension must be a whole number of at least 1; received 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**arguments)
    with pytest.raises(TypeError, match="initial_logits"):
        make(**PLAIN, initial_logits=0.0)


def _check_training(model: CTRModel) -> None:
    randomize(model)
    for bias in model.weight_variables:
        # Away from the flat side of the ReLUs, so that every weight has a gradient.
        if bias.path.endswith(("bias", "beta")):
            bias.assign(np.abs(bias.numpy()) + 1.0)
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(model.objective(model.forward(INPUTS, training=True), LABELS).values()))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, f"no gradient for {variable.path}"
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()
    model.compile(GroupFtrl(0.05, l1=0.0, keep_initial=True), keras.optimizers.Adam(0.01))
    # One graph for batches of all sizes, as in training.
    of_any_size = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), (INPUTS, LABELS))
    step = tf.function(lambda inputs, labels: model.train_step((inputs, labels)), of_any_size, autograph=False)

    def log_loss() -> float:
        return float(losses.log_loss(LABELS, model.forward(INPUTS).logit))

    for _ in range(60):
        step(INPUTS, LABELS)
    assert log_loss() < 0.5
    one_row = tf.nest.map_structure(lambda x: x[:1], INPUTS)
    step(one_row, LABELS[:1])
    assert all(np.isfinite(v.numpy()).all() for v in model.weights)
    empty = tf.nest.map_structure(lambda x: x[:0], INPUTS)
    nothing = model.forward(empty)
    assert nothing.logit.shape == (0,) and float(nothing.flops) == 0.0


def _check_round_trips(model: CTRModel, tmp_path) -> None:
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
    config = json.loads(json.dumps(model.get_config()))
    assert type(model).from_config(config).get_config() == model.get_config()
    assert config["widths"] == [1, 3, 1] and config["value_rows"] == [[2, 7]]
