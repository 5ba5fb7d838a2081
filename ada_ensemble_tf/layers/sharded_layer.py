"""Layers whose weights the replicas can share: whole weights are there only while a layer is computed."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import dense_sharding, dense_shards_of, whole_weights
from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.recomputing import is_recomputed, recomputed, weights_to_gather, with_whole_weights

_building = threading.local()


class ShardableLayer(keras.layers.Layer):
    """A layer whose weights the replicas share if it is built within `devices.dense_shards.sharded_layers`.

    The outermost such layer shares the weights of all layers within it, except of those with `keeps_weights_whole`.
    Each weight is cut flat, see `DenseShards`. A call gathers the weights, all in one exchange, when its input is
    there; the backward pass gathers them again and computes the layer again, see `recomputed`. So a call keeps only its
    inputs, and the whole weights are freed after both passes.

    Weights that a method other than `call` reads are there within `gathered_weights`.
    """

    keeps_weights_whole = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _sharding(cls.build)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_recomputed(self):
            return recomputed(self)(*args, **kwargs)
        return super().__call__(*args, **kwargs)


@contextlib.contextmanager
def gathered_weights(layer: keras.layers.Layer) -> Iterator[None]:
    """Within the block, the weights of a layer are whole; without gradients. Changes nothing if they always are."""
    variables = weights_to_gather(layer)
    if not variables:
        yield
        return
    shards = [shards for v in variables if (shards := dense_shards_of(v)) is not None]
    parts = [tf.convert_to_tensor(one.part(v)) for v, one in zip(variables, shards, strict=True)]
    whole = keras.StatelessScope(list(zip(variables, whole_weights(parts, shards), strict=True)))
    with with_whole_weights(variables), whole:
        yield


def sum_of_squares(weights: Sequence[keras.Variable]) -> tf.Tensor:
    """The sum of the squares of weights, of which the replicas may share some; the gradients are of all of them."""
    shared = [(v, shards) for v in weights if (shards := dense_shards_of(v)) is not None]
    whole = [tf.convert_to_tensor(v) for v in weights if dense_shards_of(v) is None]
    sums = [tf.reduce_sum(tf.square(w)) for w in whole]
    if shared:
        parts = [tf.convert_to_tensor(shards.part(v)) for v, shards in shared]
        own = tf.add_n([tf.reduce_sum(tf.square(part)) for part in parts])
        sums.append(shared[0][1].mesh.all_reduce(own, shared[0][1].group))
    return tf.add_n(sums)


def _sharding(build: Callable[..., None]) -> Callable[..., None]:
    """A layer's `build` that shards its weights at the end, unless it is called within that of another layer."""

    @functools.wraps(build)
    def built(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> None:
        if dense_sharding() is None or getattr(_building, "inside", False):
            build(layer, *args, **kwargs)
            return
        _building.inside = True
        try:
            build(layer, *args, **kwargs)
        finally:
            _building.inside = False
        _shard(layer)

    return built


def _shard(layer: keras.layers.Layer) -> None:
    """Has the current sharding cut the weights of a layer."""
    sharding = dense_sharding()
    whole = {
        id(v) for inner in all_layers(layer) if getattr(inner, "keeps_weights_whole", False) for v in inner.variables
    }
    weights = [v for v in layer.trainable_variables if id(v) not in whole and len(v.shape)]
    if sharding is not None and weights:
        sharding.cut(layer.name, weights)
