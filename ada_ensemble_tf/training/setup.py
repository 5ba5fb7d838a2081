"""From a config to a compiled model."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.arguments import ArgumentError, Weight, check_argument
from ada_ensemble_tf.keras_private import is_scheduled
from ada_ensemble_tf.layers.precision import PRECISIONS, layers_of
from ada_ensemble_tf.models import CTRModel, model_class, model_inputs
from ada_ensemble_tf.optimizers import make_optimizer
from ada_ensemble_tf.optimizers.defaults import DEFAULTS
from ada_ensemble_tf.optimizers.registry import OPTIMIZERS as REGISTERED
from ada_ensemble_tf.optimizers.registry import arguments_of
from ada_ensemble_tf.training.vectors import start_from_vectors
from ada_ensemble_tf.updates.grouped import OPTIMIZERS
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData

logger = logging.getLogger(__name__)


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seeds Python, NumPy and TensorFlow; with `deterministic`, also makes every TensorFlow op bit-reproducible."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def build_model(config: ConfigDict, data: PreparedData) -> CTRModel:
    """Builds the model that `config.model` describes, for the fields and base rate of `data`.

    With `config.precision` "bfloat16" it multiplies matrices and stores feature maps in bfloat16, see
    `layers.precision`; its variables are float32. The precision is part of the model's config, so evaluation,
    prediction and export compute as training did and give the scores that were measured.

    The config gives arguments that a model counts in weight updates, `X_steps`, in epochs, as `config.model.X_epochs`;
    see `CTRModel.epochs`.

    Raises:
        UserError: if a value does not fit.
    """
    if config.precision not in PRECISIONS:
        raise UserError(f"config.precision: must be one of {', '.join(PRECISIONS)}; received {config.precision!r}")
    arguments = config.model.to_dict()
    rate = data.positives["train"] / data.rows["train"]
    in_epochs = {}
    try:
        cls = model_class(arguments.pop("name"))
        for steps in cls.epochs:
            epochs = steps.replace("_steps", "_epochs")
            in_epochs[steps] = epochs, arguments.pop(epochs)
            arguments[steps] = _steps(*in_epochs[steps], data.rows["train"] / config.batch_size)
        with layers_of(PRECISIONS[config.precision]):
            model = cls(
                **model_inputs(data.schema),
                initial_logit=math.log(rate / (1.0 - rate)),
                logit_shift=math.log(data.negative_rate),
                **arguments,
            )
    except ArgumentError as error:
        said = error.given_as(*in_epochs[error.argument]) if error.argument in in_epochs else error
        raise UserError(f"config.model.{said}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model: {error}") from error
    start_from_vectors(model, data)
    return model


def model_from(arguments: Mapping[str, Any], name: str) -> CTRModel:
    """The model of a name with the arguments that model.json has. UserError: they are of another version."""
    try:
        return model_class(name).from_config(arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"model.json: no model of this version of the code: {error}; train anew") from error


def _steps(key: str, epochs: Any, updates_an_epoch: float) -> Any:
    """The number of weight updates in a number of epochs, or in each of several."""
    if isinstance(epochs, list | tuple):
        return [_steps(key, each, updates_an_epoch) for each in epochs]
    check_argument(key, epochs, Weight)
    return math.ceil(epochs * updates_an_epoch)


def _in_calls(schedule: Mapping[str, Any], weight_steps: int) -> dict[str, Any]:
    """A schedule's arguments with steps counted in updates of which each comes with `weight_steps` weight updates."""
    in_steps = ("warmup_steps", "decay_steps")
    return {key: math.ceil(value / weight_steps) if key in in_steps else value for key, value in schedule.items()}


def make_optimizers(config: ConfigDict) -> dict[str, keras.optimizers.Optimizer]:
    """The optimisers that `config` describes, by group.

    Raises:
        UserError: if an optimiser is unknown, does not have an argument, or a value does not fit.
    """
    optimizers: dict[str, keras.optimizers.Optimizer] = {}
    for part in OPTIMIZERS:
        arguments = _without_others(part, config[part].to_dict())
        try:
            if part == "gate_optimizer" and config.training == "bilevel":
                # Schedules count weight updates, and there are t of them to a gate update.
                arguments["schedule"] = _in_calls(arguments.get("schedule", {}), config.weight_steps)
            if config.ema_momentum:
                # A gate update comes with t weight updates, and both averages should look back equally far.
                gates_alone = part == "gate_optimizer" and config.training == "bilevel"
                momentum = config.ema_momentum ** (config.weight_steps if gates_alone else 1)
                arguments |= {"use_ema": True, "ema_momentum": momentum}
            # One seed for the run; only row-sparse optimisers round by chance.
            optimizers[part] = make_optimizer(rounding_seed=config.seed, **arguments)
        except ValueError as error:
            raise UserError(f"config.{part}: {error}") from error
    return optimizers


def _without_others(part: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those of the default optimiser that another one does not have, which are told."""
    others = [
        key
        for key in DEFAULTS[part]
        if arguments["name"] in REGISTERED and key not in arguments_of(arguments["name"]) and key in arguments
    ]
    if others:
        logger.info("config.%s: %s has no %s: left out", part, arguments["name"], ", ".join(others))
    return {key: value for key, value in arguments.items() if key not in others}


def check_gate_updates(config: ConfigDict, replicas: int) -> None:
    """Raises UserError for a form of the gate update that so many devices, or joint training, do not support."""
    if config.xi and replicas > 1:
        raise UserError(f"config.xi={config.xi}: the second-order gate update needs one device; set config.xi to 0")
    if config.gate_weights == "averaged" and config.training == "joint":
        raise UserError(
            "config.gate_weights='averaged' is for gate updates, which config.training='joint' does not make: set "
            "config.gate_weights to 'own', or config.training to 'bilevel'"
        )
    if config.gate_weights == "averaged" and replicas > 1:
        raise UserError("config.gate_weights='averaged' needs one device: set config.gate_weights to 'own'")


def compile_model(model: CTRModel, config: ConfigDict) -> None:
    """Compiles the model with the optimisers that `config` describes.

    Raises:
        UserError: as `make_optimizers`; if a learning rate has two schedules; or if an optimiser, xi or averaging does
            not go with 16-bit tables.
    """
    optimizers = make_optimizers(config)
    for part in OPTIMIZERS:
        if part != "gate_optimizer" and model.stages() and is_scheduled(optimizers[part]):
            raise UserError(
                f"config.{part}.schedule: {config.model.name} trains in stages, which set this learning rate; "
                "leave schedule.name 'constant' and schedule.warmup_steps 0"
            )
    if config.average_last > 1 and config.ema_momentum:
        raise UserError(
            f"config.average_last={config.average_last} and config.ema_momentum={config.ema_momentum}: both average "
            "weights, choose one: average_last 1 or ema_momentum 0"
        )
    averaging = {"average_last": (config.average_last, 1), "ema_momentum": (config.ema_momentum, 0.0)}
    for key, (value, off) in averaging.items():
        if value != off and config.model.get("table_dtype", "float32") != "float32":
            raise UserError(
                f"config.{key}={value}: a mean of weights needs float32 tables; set it to {off}, or "
                "config.model.table_dtype to float32"
            )
    try:
        model.compile(**optimizers, xi=config.xi, gate_weights=config.gate_weights)
    except ValueError as error:
        raise UserError(f"config: {error}") from error
