"""Trainings whose devices share the embedding tables: what they need, and what they refuse."""

import logging

from ml_collections import ConfigDict

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.devices.sharding import Sharding
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.optimizers import OPTIMIZERS, RowSparseOptimizer
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData

logger = logging.getLogger(__name__)

_KEY = "config.sharding.tables='columns'"


def make_sharding(config: ConfigDict, data: PreparedData, distribution: Distribution) -> Sharding | None:
    """How the replicas share the tables; None if `config.sharding.tables` is "replicated".

    Raises:
        UserError: if there is one device, or the config asks for something that shared tables do not support.
    """
    exchanged = config.sharding.collectives
    if config.sharding.tables == "replicated":
        if exchanged != "float32":
            raise UserError(
                f"config.sharding.collectives={exchanged!r} is for tables that devices share: leave 'float32', or set "
                "config.sharding.tables='columns'"
            )
        return None
    if distribution.replicas == 1:
        raise UserError(
            f"{_KEY} needs several devices, but there is one: start several workers (TF_CONFIG) or set "
            "config.strategy='mirrored' on a machine with several, or leave 'replicated'"
        )
    name = config.embedding_optimizer.name
    if not issubclass(OPTIMIZERS.get(name, RowSparseOptimizer), RowSparseOptimizer):
        sparse = sorted(one for one, kind in OPTIMIZERS.items() if issubclass(kind, RowSparseOptimizer))
        raise UserError(
            f"{_KEY} needs an optimizer that updates rows: config.embedding_optimizer.name should be one of "
            f"{', '.join(sparse)}; got {name!r}"
        )
    if config.embedding_optimizer.get("slot_dtype", "float32") != "float32":
        raise UserError(f"{_KEY} needs config.embedding_optimizer.slot_dtype='float32'")
    if config.model.get("table_dtype", None) not in (None, "float32"):
        raise UserError(f"{_KEY} needs config.model.table_dtype='float32'")
    if linked := [field.name for field in data.schema.fields if field.shared_with]:
        raise UserError(f"{_KEY} does not support fields that share rows, such as {linked[0]}: leave 'replicated'")
    if known := [field.name for field in data.schema.fields if field.vector_width]:
        raise UserError(f"{_KEY} does not support pre-trained vectors, such as those of {known[0]}: leave 'replicated'")
    if config.average_last > 1:
        raise UserError(f"{_KEY} does not support config.average_last={config.average_last}: set it to 1")
    if config.ema_momentum > 0.0:
        raise UserError(f"{_KEY} does not support config.ema_momentum={config.ema_momentum}: set it to 0")
    fields = data.schema.fields
    return Sharding(
        distribution.mesh or distribution.make_mesh(),
        [field.size for field in fields],
        [field.width for field in fields],
        exchanged,
    )


def refuse_unshardable(model: CTRModel, config: ConfigDict) -> None:
    """Raises UserError for a model that does not support shared tables."""
    if config.sharding.tables != "replicated" and model.stages():
        raise UserError(
            f"{_KEY} does not support models that train in stages, as {config.model.name} does: leave 'replicated'"
        )


def log_placements(sharding: Sharding, data: PreparedData) -> None:
    """Prints which device has which columns of which field's table."""
    names = [field.name for field in data.schema.fields]
    for table, placement in sharding.placements.items():
        for line in placement.describe(names):
            logger.info("table %s: %s", table, line)
