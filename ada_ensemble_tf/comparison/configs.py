"""The configs of what is compared, from config files and studies."""

import functools
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from ada_ensemble_tf.configs.files import config_file
from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.trained import config_ranges
from ada_ensemble_tf.trained.run_files import flat
from data_pipelines.errors import UserError
from data_pipelines.json_files import canonical_json

Variants = dict[str, tuple[str, dict[str, Any]]]
"""By label: a model, and the values by which its config differs from the data set's."""


def make_config(place: str | Path, model: str, values: Mapping[str, Any]) -> ConfigDict:
    """The locked config of a model, with other values for some keys; `config_file` says what `place` may be.

    Raises:
        UserError: for an unknown model, key or file, or a value of the wrong type or out of range.
    """
    get_config = _function(config_file(place), "get_config")
    try:
        config = get_config(model)
        override(config, values)
        config_ranges.check_config(config.to_dict())
    except ValueError as error:
        raise UserError(f"{place}: {error}") from error
    return config.lock()


def load_study(place: str) -> Variants:
    """The variants of a study `FILE.py:NAME`, checked.

    Raises:
        UserError: if there is no such study, or it is not what `experiments/studies.py` says a study is.
    """
    file, colon, name = place.rpartition(":")
    if not colon:
        raise UserError(f"--study is written FILE.py:NAME; received {place!r}")
    study = _function(Path(file), name)()
    if not isinstance(study, dict) or not study:
        raise UserError(f"{place}: a study returns a dictionary by label; received {study!r}")
    for label, variant in study.items():
        check_label(label)
        match variant:
            case (str(), dict()):
                continue
        raise UserError(f"{place}: {label!r} should be (model, {{key: value}}); received {variant!r}")
    return study


def check_label(label: str) -> None:
    """Raises UserError for a label that cannot name a folder."""
    if not isinstance(label, str) or not label.strip() or "/" in label or label.startswith("."):
        raise UserError(f"a label names a folder: no '/', no leading '.', not empty; received {label!r}")


def config_hash(config: Mapping[str, Any]) -> str:
    """8 hex digits that differ between configs, whatever their seeds."""
    values = {key: value for key, value in flat(config).items() if key != "seed"}
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:8]


def _function(file: Path, name: str):
    module = _load(file)
    if not callable(function := getattr(module, name, None)):
        raise UserError(f"{file}: there is no function {name!r}")
    return function


@functools.cache
def _load(file: Path) -> ModuleType:
    if not file.is_file() or file.suffix != ".py":
        raise UserError(f"{file}: no such Python file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None, "a file called .py has both"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
