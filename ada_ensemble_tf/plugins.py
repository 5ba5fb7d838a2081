"""Modules of the user's own that add experts, gates, models or optimisers to the registries.

A plugin is a module that, when it is imported, registers its classes with Keras and adds them by name:

    @keras.saving.register_keras_serializable(package="my_package")
    class Halving(Expert):
        ...

    EXPERTS["halving"] = Halving

`config.plugins = ("my_package.experts",)` imports it before names are looked up. Working directories and `.keras` files
remember the plugins of their models. They do not import them: a file that came from elsewhere must not say what to
import. The reader names them in the environment variable ADA_ENSEMBLE_PLUGINS, or imports them in Python.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from data_pipelines.errors import UserError

T = TypeVar("T")
VARIABLE = "ADA_ENSEMBLE_PLUGINS"
"""The environment variable with the names of plugins that files may need, separated by commas."""
_OWN = ("ada_ensemble_tf", "keras", "tensorflow", "builtins", "__main__")
_REGISTRIES: list[dict[str, Any]] = []
_ORIGIN: dict[type, str] = {}
"""The plugin that added a class."""


def registry(entries: dict[str, T]) -> dict[str, T]:
    """The same dictionary, as one that plugins may add to."""
    _REGISTRIES.append(entries)
    return entries


def load_plugins(names: Sequence[str], source: str = "config.plugins") -> None:
    """Imports plugins, by the dotted names of their modules; `source` says in messages who named them.

    Raises:
        UserError: if a module cannot be imported, or takes a name that is in use; the message names it.
    """
    for name in names:
        before = [dict(entries) for entries in _REGISTRIES]
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(
                f"{source}: plugin {name!r} is missing ({error}); install it, or add its folder to PYTHONPATH"
            ) from error
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{source}: plugin {name!r} fails: {type(error).__name__}: {reason}") from error
        for entries, old in zip(_REGISTRIES, before, strict=False):
            _check_kept(source, name, entries, old)
            _ORIGIN.update({cls: name for key, cls in entries.items() if key not in old})


def allow_plugins(names: Sequence[str], place: str) -> None:
    """Makes sure that the plugins that a file needs are there; imports those that the environment variable allows.

    Args:
        names: the plugins.
        place: the file, for the message.

    Raises:
        UserError: if one has not been imported and the environment variable does not name it, or if it is missing.
    """
    allowed = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    load_plugins([name for name in names if name in allowed], VARIABLE)
    missing = [name for name in names if name not in sys.modules]
    if missing:
        raise UserError(
            f"{place}: its model needs the plugin {missing[0]}, which is not imported; if you trust it, set "
            f"{VARIABLE}={','.join(names)} in the environment, or import it in Python before"
        )


def plugins_of(objects: Iterable[Any]) -> list[str]:
    """The plugins that the classes of objects are from, sorted; none for the classes of this package and of Keras."""
    modules = {_ORIGIN.get(type(one), type(one).__module__) for one in objects}
    return sorted(name for name in modules if name.split(".")[0] not in _OWN)


def _check_kept(source: str, name: str, entries: dict[str, Any], old: Mapping[str, Any]) -> None:
    for key, before in old.items():
        if entries.get(key) is not before:
            # As if the plugin had not been imported.
            entries.clear()
            entries.update(old)
            sys.modules.pop(name, None)
            raise UserError(
                f"{source}: plugin {name!r} takes the name {key!r}, which {before.__module__} has; give its "
                "class another name"
            )
