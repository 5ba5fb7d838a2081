"""What a training run's files hold; read without TensorFlow."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from typing_extensions import NotRequired, TypedDict

from ada_ensemble_tf.trained import config_ranges
from data_pipelines.checksums import Checksums, way_out_of
from data_pipelines.errors import UserError
from data_pipelines.json_files import as_type, load_json

CONFIG_FILE = "train_config.json"
"""Not config.json: by a file of that name Keras takes a directory for a model that Keras saved."""
_FORMER_CONFIG_FILE = "config.json"

Figures = dict[str, float | None]
"""Figures by name; None where there is none."""


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """model.json: the model's name and constructor arguments."""

    model: str
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class DataFile:
    """data.json: where the prepared data was, and its fingerprint."""

    data_dir: str
    fingerprint: str


class _Metrics(TypedDict):
    auc: float | None
    logloss: float | None
    normalized_entropy: float | None
    calibration: float | None


class _CalibrationError(TypedDict):
    before: float
    after: float


class _Calibration(TypedDict):
    kind: str
    expected_calibration_error: dict[str, _CalibrationError]


class _Results(TypedDict):
    validation: _Metrics
    test: NotRequired[_Metrics]
    flops_per_example: float | None
    parameters: int
    examples_per_second: float | None
    best_step: int
    calibrated: NotRequired[_Calibration]
    expert_correlation: dict[str, Figures]
    config: dict[str, Any]
    data_fingerprint: str
    versions: dict[str, str]
    command: NotRequired[str]


class _Config(TypedDict):
    eval_batch_size: Annotated[int, msgspec.Meta(ge=1)]
    model: dict[str, Any]


def load_results(folder: Path, way_out: str | None = None) -> dict[str, Any]:
    """What metrics.json of a working directory holds. Raises UserError where it is missing, damaged or malformed."""
    path = Path(folder) / "metrics.json"
    way_out = way_out or f"delete {path} and give the training command again: it evaluates the trained model anew"
    value = load_json(path, way_out=way_out)
    as_type(value, _Results, str(path), way_out, closed=False)
    return value


def load_config(folder: Path) -> dict[str, Any]:
    """The config of a working directory. Raises UserError where it is missing, damaged or malformed."""
    refuse_other_version(folder)
    path = Path(folder) / CONFIG_FILE
    config = load_json(path, dict[str, Any])
    as_type(config, _Config, str(path), closed=False)
    try:
        config_ranges.check_config(config)
    except UserError as error:
        raise UserError(f"{path}: {error}; {way_out_of(folder)}") from None
    return config


def calibration_line(results: Mapping[str, Any]) -> str:
    """The calibration and its expected calibration error before and after, in words; "none" without one."""
    if "calibrated" not in results:
        return "none"
    found = results["calibrated"]
    errors = [
        f"{split} {error['before']:.5f} before, {error['after']:.5f} after"
        for split, error in found["expected_calibration_error"].items()
    ]
    return f"{found['kind']}; expected calibration error: {'; '.join(errors)}"


def refuse_other_version(folder: Path) -> None:
    """Raises UserError where an earlier version of this code made a working directory."""
    names = {_FORMER_CONFIG_FILE, "data.json", CONFIG_FILE}
    if {name for name in names if (Path(folder) / name).exists()} == {_FORMER_CONFIG_FILE, "data.json"}:
        raise UserError(
            f"{folder}: a training directory of another version of this code; train again in another --workdir"
        )


def load_data_file(folder: Path) -> DataFile:
    """data.json of a working directory. Raises UserError where it is missing, damaged or malformed."""
    return load_json(Path(folder) / "data.json", DataFile)


def is_trained(folder: Path) -> bool:
    """Whether a checkpoint has been saved in a working directory."""
    return Checksums(Path(folder) / "checkpoints" / "last").exists


def difference(
    before: Mapping[str, Any],
    known: str,
    config: Mapping[str, Any],
    fingerprint: str,
    may_change: tuple[str, ...] = (),
) -> str | None:
    """How a run differs from the one that is asked for; None where it is the same.

    Args:
        before: the run's config.
        known: fingerprint of the data it was trained on.
        config: what is asked for.
        fingerprint: of the data there are now.
        may_change: config keys that may have another value.
    """
    there, asked = flat(before), flat(config)
    # Other keys differ as well then, because they are other models' defaults.
    if (one := there.get("model.name")) != (other := asked.get("model.name")):
        return f"a training of another model, {one!r}, not of {other!r}"
    for key in sorted(there.keys() | asked.keys()):
        if there.get(key) != asked.get(key) and key not in may_change:
            return f"trained with config.{key}={there.get(key)!r}, now {asked.get(key)!r}"
    if known != fingerprint:
        return f"trained on data with fingerprint {known}, which now is {fingerprint}"
    return None


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values by dotted key, as JSON has them: lists instead of tuples."""
    return {key: json.loads(json.dumps(value)) for key, value in config_ranges.flat(config).items()}
