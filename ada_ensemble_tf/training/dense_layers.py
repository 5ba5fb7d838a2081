"""Trainings whose devices share the weights of dense layers: what they need, and what they refuse."""

from ml_collections import ConfigDict

from ada_ensemble_tf.devices.dense_shards import DenseSharding
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.models import CTRModel
from data_pipelines.errors import UserError

OPTIMIZERS = ("adam", "ftrl", "grda", "sparse_adagrad", "sparse_adam")
"""Those that update each number of a weight by itself."""


def make_dense_sharding(config: ConfigDict, distribution: Distribution) -> DenseSharding | None:
    """How the replicas share dense layers; None if `config.sharding.dense` is "replicated".

    Makes the mesh of the replicas.

    Raises:
        UserError: if there is one device, the devices cannot be split into hosts, or the config asks for something that
            sharded layers do not support.
    """
    kind = config.sharding.dense
    if kind == "replicated":
        return None
    key, replicas = f"config.sharding.dense={kind!r}", distribution.replicas
    if replicas == 1:
        raise UserError(
            f"{key} needs several devices, but there is one: start several workers (TF_CONFIG) or set "
            "config.strategy='mirrored' on a machine with several, or leave 'replicated'"
        )
    devices = config.sharding.devices_per_host or distribution.local_replicas
    if replicas % devices:
        raise UserError(
            f"config.sharding.devices_per_host={devices} does not divide the {replicas} devices: choose a divisor, or "
            f"0 for the {distribution.local_replicas} of each process"
        )
    if kind == "hsdp" and devices == 1:
        raise UserError(
            f"{key} cuts layers among the devices of a host, but a host has one: set config.sharding.devices_per_host "
            "if there are more, or use 'fsdp'"
        )
    _check_optimizer(config, key)
    if config.average_last > 1:
        raise UserError(f"{key} does not support config.average_last={config.average_last}: set it to 1")
    if config.ema_momentum > 0.0:
        raise UserError(f"{key} does not support config.ema_momentum={config.ema_momentum}: set it to 0")
    return DenseSharding(distribution.make_mesh(replicas // devices), kind)


def _check_optimizer(config: ConfigDict, key: str) -> None:
    """Raises UserError for an optimiser of weights that reads more of a weight than the number that it updates."""
    optimizer = config.weight_optimizer
    if optimizer.name not in OPTIMIZERS:
        raise UserError(
            f"{key} needs an optimizer that updates each number by itself: config.weight_optimizer.name should be one "
            f"of {', '.join(OPTIMIZERS)}; got {optimizer.name!r}"
        )
    for option, value in (("slot_dtype", "float32"), ("catch_up", False)):
        if optimizer.get(option, value) != value:
            raise UserError(f"{key} needs config.weight_optimizer.{option}={value!r}")


def refuse_undividable(model: CTRModel, config: ConfigDict) -> None:
    """Raises UserError for a model that does not support sharded layers."""
    if config.sharding.dense != "replicated" and model.stages():
        raise UserError(
            f"config.sharding.dense={config.sharding.dense!r} does not support models that train in stages, as "
            f"{config.model.name} does: leave 'replicated'"
        )
