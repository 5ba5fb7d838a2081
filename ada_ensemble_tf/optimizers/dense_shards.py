"""Gradients of weights that replicas share (`devices.dense_shards`), and the optimiser's state beside them."""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import DenseShards
from ada_ensemble_tf.devices.own_values import variable_of_each
from ada_ensemble_tf.keras_private import GradientsAndVariables


class SlotsOfWeights:
    """What an optimiser needs to keep state beside weights that replicas share."""

    name: str
    _track_variable: Callable[..., None]

    def slot_of_weight(
        self, shards: DenseShards, name: str, dtype: str, initializer: str | keras.initializers.Initializer
    ) -> keras.Variable:
        """Makes a number of state for each number of a replica's part of a weight."""
        with keras.name_scope(self.name, caller=self):
            slot = variable_of_each(name, (shards.size,), dtype, initializer)
        slot.dense_shards = shards
        self._track_variable(slot)
        return slot


def start_slots(
    shards: DenseShards,
    variable: keras.Variable,
    slots: Mapping[str, keras.Variable],
    started: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
) -> None:
    """Gives the slots of a shared weight the values that depend on it, number by number."""
    for local, part in enumerate(shards.parts(variable)):
        for name, value in started(tf.convert_to_tensor(part)).items():
            shards.parts(slots[name])[local].assign(value)


def summed_with_shards(
    gradients: GradientsAndVariables,
    shards: Sequence[DenseShards | None],
    summed: Callable[[GradientsAndVariables], GradientsAndVariables],
) -> GradientsAndVariables:
    """The gradients summed over all replicas: those of whole variables by `summed`, and a replica's parts of others.

    The backward pass has summed parts over the group that shares a weight. Where each host has all of it, parts are
    summed over the hosts in one exchange.

    Args:
        gradients: of this replica.
        shards: how the replicas share each variable; None for a whole one.
        summed: of gradients of whole variables.
    """
    pairs = list(zip(gradients, shards, strict=True))
    others = iter(summed([pair for pair, one in pairs if one is None]) if None in shards else ())
    own = [(gradient, one) for (gradient, _), one in pairs if one is not None]
    parts = iter(_over_hosts([gradient for gradient, _ in own], [one for _, one in own]))
    return [next(others) if one is None else (next(parts), variable) for (_, variable), one in pairs]


def _over_hosts(parts: Sequence[tf.Tensor], shards: Sequence[DenseShards]) -> list[tf.Tensor]:
    if not shards or shards[0].group == "world" or shards[0].mesh.hosts == 1:
        return list(parts)
    total = shards[0].mesh.all_reduce(tf.concat(list(parts), axis=0), "slot")
    return tf.split(total, [one.size for one in shards])
