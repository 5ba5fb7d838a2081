"""Checks shared by the tests of layers."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


def first_output(outputs) -> tf.Tensor:
    """The first tensor of what a layer returned: itself, or the first of its tuple."""
    return keras.tree.flatten(outputs)[0]


def random_weights(layer: keras.layers.Layer, seed: int = 0) -> dict[str, np.ndarray]:
    """Sets all weights of a built layer, biases too, to random values; returns them by path in the layer."""
    rng = np.random.default_rng(seed)
    values = {}
    for weight in layer.weights:
        path = weight.path.split("/", 1)[1]
        assert path not in values, f"two weights are called {path}"
        values[path] = rng.normal(size=weight.shape).astype(weight.dtype)
        if path.endswith("variance"):
            values[path] = np.abs(values[path]) + 0.1
        weight.assign(values[path])
    return values


def round_trip(layer: keras.layers.Layer, *arrays: np.ndarray, **call_kwargs) -> tuple[np.ndarray, np.ndarray]:
    """Saves a functional model around `layer` as .keras and loads it.

    Returns:
        The layer's output for `arrays` before saving and after loading; the first of a tuple.
    """
    inputs = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in arrays]
    model = keras.Model(inputs, first_output(layer(*inputs, **call_kwargs)))
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    return np.asarray(model(tensors)), np.asarray(loaded(tensors))


def config_round_trip(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer made from the serialised configuration of `layer`."""
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))


@contextlib.contextmanager
def float64_layers() -> Iterator[None]:
    """Within it, layers are made in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def numeric_gradient(function: Callable[[np.ndarray], float], value: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient of `function` at `value` by central differences."""
    gradient = np.zeros(value.shape, np.float64)
    for place in np.ndindex(value.shape):
        moved = [value.copy(), value.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        # The actual steps in the precision of `value`.
        width = float(moved[0][place]) - float(moved[1][place])
        gradient[place] = (float(function(moved[0])) - float(function(moved[1]))) / width
    return gradient


def check_gradients(
    layer: keras.layers.Layer,
    *arrays: np.ndarray,
    step: float = 1e-6,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    **call_kwargs,
) -> None:
    """Compares all gradients of a random weighted sum of the layer's output with central differences.

    These are the gradients with respect to each floating-point input and each trainable weight. Defaults are for
    float64.
    """
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    shape = first_output(layer(*tensors, **call_kwargs)).shape
    weighting = np.random.default_rng(99).normal(size=shape)

    @tf.function(autograph=False)
    def loss(*inputs) -> tf.Tensor:
        output = first_output(layer(*inputs, **call_kwargs))
        return tf.reduce_sum(tf.cast(output, tf.float64) * weighting)

    places = [i for i, array in enumerate(arrays) if np.issubdtype(array.dtype, np.floating)]
    variables = layer.trainable_variables
    sources = [tensors[i] for i in places] + [variable.value for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch([tensors[i] for i in places])
        value = loss(*tensors)
    gradients = tape.gradient(value, sources, unconnected_gradients="zero")
    gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]

    for i, gradient in zip(places, gradients[: len(places)], strict=True):
        numeric = numeric_gradient(lambda a, i=i: loss(*tensors[:i], a, *tensors[i + 1 :]), arrays[i], step)
        np.testing.assert_allclose(gradient, numeric, rtol, atol, err_msg=f"gradient by input {i}")
    for variable, gradient in zip(variables, gradients[len(places) :], strict=True):
        start = np.array(variable)

        def loss_at(weights, variable=variable):
            variable.assign(weights)
            return loss(*tensors)

        numeric = numeric_gradient(loss_at, start, step)
        variable.assign(start)
        np.testing.assert_allclose(gradient, numeric, rtol, atol, err_msg=f"gradient by {variable.path}")


def check_zero_rows(layer: keras.layers.Layer, *arrays: np.ndarray, **call_kwargs) -> None:
    """Feeds no rows, eagerly and in a graph: the output has none, and all gradients are finite.

    Args:
        layer: a built layer.
        *arrays: inputs of some rows; only their shapes and types are used.
        **call_kwargs: for the layer's call.
    """
    empty = [tf.convert_to_tensor(array[:0]) for array in arrays]
    width = first_output(layer(*[tf.convert_to_tensor(array) for array in arrays], **call_kwargs)).shape[1:]
    variables = [variable.value for variable in layer.trainable_variables]

    def output_and_gradients(*inputs):
        watched = [x for x in inputs if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            output = first_output(layer(*inputs, **call_kwargs))
            total = tf.reduce_sum(output)
        gradients = tape.gradient(total, watched + variables, unconnected_gradients="zero")
        return output, [tf.convert_to_tensor(gradient) for gradient in gradients]

    signature = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in arrays]
    graph = tf.function(output_and_gradients, input_signature=signature, autograph=False)
    for mode, function in (("eager", output_and_gradients), ("graph", graph)):
        output, gradients = function(*empty)
        assert output.shape == (0, *width), f"{mode}: {output.shape}"
        for gradient in gradients:
            assert np.isfinite(gradient).all(), f"{mode}: {gradient}"
