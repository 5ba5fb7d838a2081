"""Where configs are: a data set's name or a path on the command line becomes a Python file."""

import functools
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags.config_flags import ConfigFileFlagParser

from ada_ensemble_tf.configs.facts import Facts, described, made_for, reads_facts
from ada_ensemble_tf.configs.overrides import has_key, nearest, override
from data_pipelines.errors import UserError

_OVERRIDE = re.compile(r"--?(?:no)?config\.([\w.]+)")
_FOLDER = Path(__file__).parent / "datasets"


def names() -> list[str]:
    """The data sets whose configs are part of the package."""
    return sorted(file.stem for file in _FOLDER.glob("*.py") if file.stem != "__init__")


def config_file(place: str | Path) -> Path:
    """The Python file of a config that is given by name or by path.

    Args:
        place: a name, such as "criteo", or a path, such as "mine/clicks.py".

    Raises:
        UserError: if there is neither a config of this name nor such a file.

    Example:
        >>> config_file("criteo").name
        'criteo.py'
    """
    if str(place) in names():
        return _FOLDER / f"{place}.py"
    file = Path(place)
    if not file.is_file() or file.suffix != ".py":
        raise UserError(f"{place}: no such Python file; configs that need no file: {', '.join(names())}")
    return file


def function_of(file: Path, name: str) -> Callable[..., Any]:
    """A function of a Python file. Raises UserError where there is no such file or function."""
    if not callable(function := getattr(_load(file), name, None)):
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


class _Parser(ConfigFileFlagParser):
    """Parses NAME:MODEL as FILE.py:MODEL, and FILE.json:MODEL as what tuning found."""

    def parse(self, path: str) -> ConfigDict:
        place, colon, model = path.partition(":")
        if place.endswith(".json"):
            # Imported here because it imports TensorFlow, which commands that only draw pages do without.
            from ada_ensemble_tf.configs.defaults import tuned_config

            config = tuned_config(Path(place), model).lock()
        else:
            config = super().parse(f"{config_file(place)}{colon}{model}")
        # ml_collections takes overrides from here as well, but of an unknown key its error says little.
        for key in filter(None, map(_OVERRIDE.match, sys.argv[1:])):
            if not has_key(config, key[1]):
                raise UserError(f"unknown config key {key[1]!r}; {nearest(config, key[1])}")
        return config


def define_config(values: flags.FlagValues = flags.FLAGS) -> flags.FlagHolder[ConfigDict]:
    """Defines the required flag --config, by which a command reads a locked config, and --config.KEY=VALUE."""
    help_string = "NAME:MODEL, such as criteo:dcn_v2, FILE.py:MODEL, or FILE.json:MODEL of `tune --write`."
    holder = config_flags.DEFINE_config_file("config", help_string=help_string, flag_values=values)
    values["config"].parser = _Parser(name="config", lock_config=True)
    flags.mark_flag_as_required("config", values)
    return holder


def config_for(name: str, facts: Facts, values: flags.FlagValues = flags.FLAGS) -> ConfigDict:
    """The locked config of a flag of `define_config`, made for the prepared data.

    Without a config file that reads facts, it is the flag's value. With one, the command line's values for single keys
    are kept, and the values that training will use are printed, because neither file nor command line shows them.

    Args:
        name: the flag's.
        facts: about the prepared data.
        values: where the flag is.
    """
    place, colon, model = config_flags.get_config_filename(values[name]).partition(":")
    if place.endswith(".json") or not reads_facts(get_config := function_of(config_file(place), "get_config")):
        return values[name].value
    config = made_for(get_config, model, facts) if colon else get_config(facts=facts)
    override(config, config_flags.get_override_values(values[name]))
    print(described(config, facts), flush=True)
    return config.lock()
