"""The allowed values of the trainer's config keys; the defaults are in `ada_ensemble_tf/configs/defaults.py`.

A model's constructor declares the allowed values of its own keys.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from data_pipelines.errors import UserError
from data_pipelines.ranges import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Allowed, OneOf, Range, check_each, check_range


class Monitored(NamedTuple):
    """A validation metric that can choose the kept checkpoint."""

    written: str
    """Its name in messages."""
    sign: float
    """1 if a larger value is better, -1 if a smaller one is."""


MONITORED = {
    "auc": Monitored("AUC", 1.0),
    "logloss": Monitored("LogLoss", -1.0),
    "normalized_entropy": Monitored("normalized entropy", -1.0),
}
"""The values of `config.monitor`."""

_ROWS = Range(1, 2**31 - 1, whole=True)
_EPOCHS = Range(0.0, 1e9, above=True)
_CLIPPING = Range(0.0, above=True, optional=True)
_DECAY = Range(0.0, 1.0, below=True)

RANGES: dict[str, Allowed] = {
    "seed": Range(0, 2**32 - 1, whole=True),
    "precision": OneOf(("float32", "bfloat16")),
    "strategy": OneOf(("auto", "none", "mirrored")),
    "worker_timeout": POSITIVE,
    "sharding.tables": OneOf(("replicated", "columns")),
    "sharding.collectives": OneOf(("float32", "bfloat16")),
    "sharding.dense": OneOf(("replicated", "fsdp", "hsdp")),
    "sharding.devices_per_host": Range(0, whole=True),
    "batch_size": _ROWS,
    "eval_batch_size": _ROWS,
    "max_epochs": _EPOCHS,
    "max_steps": Range(0, whole=True),
    "eval_every": COUNT,
    "monitor": OneOf(MONITORED),
    "patience": COUNT,
    "average_last": COUNT,
    "ema_momentum": _DECAY,
    "calibration": OneOf(("none", "temperature", "isotonic")),
    "report_every": COUNT,
    "profile": Range(0, whole=True),
    "training": OneOf(("bilevel", "joint")),
    "weight_steps": _ROWS,
    "xi": NOT_NEGATIVE,
    "gate_source": OneOf(("train", "validation")),
    "gate_share": SHARE,
    "gate_weights": OneOf(("own", "averaged")),
    "model.anneal_epochs": Range(0.0, 1e9),
    "model.stage_epochs": Range(0.0, 1e9),
}
"""Allowed values by dotted key."""
SEVERAL = ("model.stage_epochs",)
"""The keys among these that hold several numbers."""
OPTIMIZERS = ("embedding_optimizer", "weight_optimizer", "gate_optimizer")
OPTIMIZER_RANGES: dict[str, Allowed] = {
    "learning_rate": POSITIVE,
    "beta": NOT_NEGATIVE,
    "l1": NOT_NEGATIVE,
    "l2": NOT_NEGATIVE,
    "beta_1": _DECAY,
    "beta_2": _DECAY,
    "epsilon": POSITIVE,
    "initial_accumulator": NOT_NEGATIVE,
    "c": NOT_NEGATIVE,
    "mu": Range(0.0, 1.0),
    "weight_decay": Range(0.0, optional=True),
    "slot_dtype": OneOf(("float32", "bfloat16")),
    "slots_on": OneOf(("device", "host")),
    "clipnorm": _CLIPPING,
    "clipvalue": _CLIPPING,
    "global_clipnorm": _CLIPPING,
    "schedule.warmup_steps": Range(0, whole=True),
    "schedule.decay_steps": Range(0, whole=True),
    "schedule.final": Range(0.0, 1.0, above=True),
}
"""Allowed values of optimiser arguments; each optimiser checks which arguments it takes."""


def check_config(config: Mapping[str, Any]) -> None:
    """Checks that the values of all keys are in range.

    Args:
        config: a config as nested dictionaries; missing keys are skipped.

    Raises:
        UserError: if a value is out of range; names key, value and range.
    """
    _check_plugins(config.get("plugins", ()))
    for key, value in flat(config).items():
        part, _, argument = key.partition(".")
        allowed = OPTIMIZER_RANGES.get(argument) if part in OPTIMIZERS else RANGES.get(key)
        if allowed is not None:
            check = check_each if key in SEVERAL else check_range
            check(f"config.{key}", value, allowed)


def _check_plugins(names: Any) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise UserError(
            f"config.plugins should be a tuple of modules' names, such as ('my_package.experts',); got {names!r}"
        )


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by dotted key."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return values
