"""The configs of what is compared, from config files and studies."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ada_ensemble_tf.configs.facts import Facts, made_for, reads_facts
from ada_ensemble_tf.configs.files import config_file, function_of
from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.trained import config_ranges
from ada_ensemble_tf.trained.run_files import flat
from data_pipelines.errors import UserError
from data_pipelines.json_files import canonical_json

Variants = dict[str, tuple[str, dict[str, Any]]]
"""By label: a model, and the values by which its config differs from the data set's."""


def facts_for(place: str | Path, data_dir: str | Path) -> Facts | None:
    """The facts about prepared data that a config goes by; None for a config that goes by none.

    Raises:
        UserError: there is no such config, or the directory is not complete.
    """
    return Facts.load(data_dir) if reads_facts(function_of(config_file(place), "get_config")) else None


def make_config(place: str | Path, model: str, values: Mapping[str, Any], facts: Facts | None = None) -> ConfigDict:
    """The locked config of a model, with other values for some keys; `config_file` says what `place` may be.

    A config that goes by the prepared data is made for it, as far as `facts` are given.

    Raises:
        UserError: for an unknown model, key or file, or a value of the wrong type or out of range.
    """
    get_config = function_of(config_file(place), "get_config")
    try:
        config = made_for(get_config, model, facts)
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
    study = function_of(Path(file), name)()
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
