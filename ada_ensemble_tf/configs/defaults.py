"""The keys that every config has, with defaults that suit most data."""

from pathlib import Path
from typing import Any, Literal

from ml_collections import ConfigDict, FieldReference
from typing_extensions import NotRequired, TypedDict

from ada_ensemble_tf.configs.models import model_config
from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.optimizers import DEFAULTS
from data_pipelines.errors import UserError
from data_pipelines.json_files import as_type, load_user_json


def trainer() -> ConfigDict:
    """The keys for training; `datasets/<name>.py` adds `model` and what the data set needs."""
    return ConfigDict(
        {
            # Modules of your own that add experts, gates, models or optimisers, see `ada_ensemble_tf/plugins.py`.
            "plugins": (),
            "seed": 0,
            # Bit-equal reruns, at some cost in speed.
            "deterministic": False,
            # "bfloat16": matrix products and feature maps in bfloat16, everything else and the variables in float32.
            "precision": "float32",
            # Where to train. "auto": all GPUs of this machine, or all workers of the environment variable TF_CONFIG.
            # "none": one device. "mirrored": all devices of this machine, including CPU devices.
            "strategy": "auto",
            # Seconds that a worker waits for the others before it ends with a message. Must exceed the time to write a
            # checkpoint and the time until a lost worker is restarted.
            "worker_timeout": 1800.0,
            # Where embedding tables are. "replicated": whole on every device. "columns": each field's table on one
            # device or, if it is large, cut into slices of columns on several; for tables larger than a device.
            # "collectives" is the type in which they then send embeddings and their gradients, "float32" or "bfloat16".
            # Where weights and optimiser state of dense layers are. "replicated": whole on every device. "fsdp": cut
            # among all devices; a layer is gathered while it is computed. "hsdp": cut among the devices of each host.
            # Devices of a host for "hsdp": 0 takes those of each process.
            "sharding": {
                "tables": "replicated",
                "collectives": "float32",
                "dense": "replicated",
                "devices_per_host": 0,
            },
            # Rows per weight update, over all devices and machines.
            "batch_size": 4096,
            # Rows that each machine scores at once.
            "eval_batch_size": 8192,
            "max_epochs": 10.0,
            # Above 0: training ends after this many weight updates, if not earlier.
            "max_steps": 0,
            # Weight updates between evaluations; there is at least one evaluation per epoch.
            "eval_every": 2000,
            # The validation metric that chooses the kept checkpoint and stops training early: "auc", "logloss" or
            # "normalized_entropy". AUC ignores over-confidence: when AUC is best, LogLoss may be long past its best.
            "monitor": "auc",
            # Evaluations without a better value of this metric before training stops.
            "patience": 3,
            # The weights that are evaluated and kept are the mean of those at the last so many evaluations.
            "average_last": 1,
            # Above 0: they are a moving average of the weights, of which each weight update keeps this share; 0.995
            # remembers about 200 updates.
            "ema_momentum": 0.0,
            # What makes the kept model's predictions equal click rates, fitted on the validation rows and exported:
            # "none", "temperature" or "isotonic". A trained directory may be calibrated anew without training.
            "calibration": "none",
            # Weight updates between progress lines and TensorBoard points.
            "report_every": 100,
            # Above 0: a TensorBoard profile of this many weight updates, taken after the first report.
            "profile": 0,
            # "bilevel": gates learn on their own rows, alternating with the weights. "joint": everything learns on all
            # rows.
            "training": "bilevel",
            # t: weight updates after each gate update.
            "weight_steps": 4,
            # Above 0: second-order gate gradient with this virtual step size.
            "xi": 0.0,
            # Where the gates' rows come from: a share of "train", or of "validation" (then lost to early stopping).
            "gate_source": "train",
            "gate_share": 0.1,
            # The weights that bi-level gate updates see: "own", as they are, or "averaged", the moving average of
            # `ema_momentum`, by which the model is evaluated. The latter costs a pass over the tables each time.
            "gate_weights": "own",
            **{group: {**values, **optimizer_options()} for group, values in DEFAULTS.items()},
        }
    )


def optimizer_options() -> dict[str, Any]:
    """The keys that every optimiser has."""
    return {
        # Above 0 (None: off): the largest norm of all gradients of this optimiser's variables together.
        "global_clipnorm": FieldReference(None, field_type=object),
        # "constant", or "cosine" or "exponential" from the learning rate down to `final` times it. Steps are weight
        # updates, also for the gates; the decay follows the warm-up.
        "schedule": {"name": "constant", "warmup_steps": 0, "decay_steps": 0, "final": 0.01},
    }


def config_for(model: str) -> ConfigDict:
    """The trainer's keys, with the model's own keys as `config.model`.

    Raises:
        ValueError: for a model without a config.
    """
    config = trainer()
    config.model = model_config(model)
    if model == "logistic_regression":
        # One weight per level: FTRL-Proximal, with a lower learning rate than normalised embeddings need.
        config.embedding_optimizer.name = "ftrl"
        config.embedding_optimizer.learning_rate = 0.02
        config.embedding_optimizer.l2 = 0.0
    if model == "factorization_machine":
        # Also FTRL; its factors keep the prior on rare rows, because factors memorise rare rows more easily than
        # weights do.
        config.embedding_optimizer.name = "ftrl"
        config.embedding_optimizer.learning_rate = 0.05
    return config


def apply_tuned(config: ConfigDict, file: Path) -> ConfigDict:
    """Sets the values that were tuned for the config's model on a data set, if there are any, and returns the config.

    The command line can still override these keys.

    Args:
        config: a complete config, ready for a data set's `get_config` to return.
        file: what `python -m ada_ensemble_tf.tune --write=FILE` wrote; it need not exist.

    Raises:
        UserError: the file is malformed or has a key that the model no longer has; the message names file and key.
    """
    tuned = load_tuned(file)
    if config.model.name in tuned:
        try:
            override(config, tuned[config.model.name]["values"])
        except ValueError as error:
            raise UserError(f"{file}: {error}") from error
    return config


TUNED_BY: dict[str, Literal["validation_auc", "validation_logloss", "validation_normalized_entropy"]] = {
    "auc": "validation_auc",
    "logloss": "validation_logloss",
    "normalized_entropy": "validation_normalized_entropy",
}
"""By `config.monitor`: the key of `Tuned` that has the best trial's metric."""


class Tuned(TypedDict):
    """The best of a model's trials: values by config key, what they are of, and the whole config of that trial.

    It has the validation metric that `config.monitor` named, and no other.
    """

    values: dict[str, Any]
    validation_auc: NotRequired[float]
    validation_logloss: NotRequired[float]
    validation_normalized_entropy: NotRequired[float]
    trials: NotRequired[int]
    failed: NotRequired[int]
    fingerprint: NotRequired[str]
    config: NotRequired[dict[str, Any]]


def load_tuned(file: Path) -> dict[str, Tuned]:
    """Reads tuned values by model; none where there is no file. Raises UserError where it is malformed."""
    way_out = "mend it, or delete it and tune again"
    return as_type(load_user_json(file, way_out), dict[str, Tuned], str(file), way_out) if file.is_file() else {}


def tuned_config(file: Path, model: str) -> ConfigDict:
    """The config of a model's best trial.

    Args:
        file: what `python -m ada_ensemble_tf.tune --write=FILE` wrote.
        model: the model's name; "" for the only one in the file.

    Raises:
        UserError: there is no such file, it is malformed, it lacks the model or its config, or the config has a key
            that there no longer is.
    """
    tuned = load_tuned(file)
    if not tuned:
        raise UserError(f"{file}: no file of tuned values; python -m ada_ensemble_tf.tune --write={file} makes one")
    name = model or next(iter(tuned))
    if name not in tuned or (not model and len(tuned) > 1):
        raise UserError(f"{file}: tuned are {', '.join(sorted(tuned))}; write {file}:MODEL")
    if "config" not in tuned[name]:
        raise UserError(f"{file}: {name} has no config, only the tuned values; tune again with --write")
    config = config_for(name)
    _replace(config, tuned[name]["config"], f"{file}: {name}")
    return config


def _replace(config: ConfigDict, values: dict[str, Any], where: str) -> None:
    """Gives a config these values and no others."""
    optimizer = "name" in values and "learning_rate" in values
    for key in [key for key in config if key not in values]:
        del config[key]
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(config.get(key), ConfigDict):
            _replace(config[key], value, where)
        elif key in config or optimizer:
            # Each optimiser has keys of its own.
            config[key] = tuple(value) if isinstance(value, list) else value
        else:
            raise UserError(f"{where}: there no longer is a config key {key!r}; tune again")
