"""The examples in docstrings give what they show; every layer, expert, gate, optimiser and model has one."""

import doctest
import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

PACKAGES = ("devices", "layers", "experts", "gates", "moe", "dhen", "optimizers", "losses", "models", "evaluation")
"""Packages of `ada_ensemble_tf` whose examples run."""

DISPATCHERS = ("SparseDispatcher", "DenseDispatcher")

GLOBALS = {"tf": tf, "keras": keras, "np": np}
"""Names that examples use without importing them, in addition to their own module's names."""


def modules() -> list[str]:
    """The packages and the modules in them, by dotted name."""
    names = []
    for package in PACKAGES:
        found = importlib.import_module(f"ada_ensemble_tf.{package}")
        names += [found.__name__, *(f"{found.__name__}.{one.name}" for one in pkgutil.iter_modules(found.__path__))]
    return names


def public_classes() -> list[type]:
    """The classes that users make: those that Keras can save and load, and the dispatchers."""
    found = {}
    for module in map(importlib.import_module, modules()):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            own = cls.__module__ == module.__name__
            if own and (name in DISPATCHERS or keras.saving.get_registered_name(cls) != name):
                found[name] = cls
    return list(found.values())


@pytest.mark.parametrize("name", modules())
def test_examples_give_what_they_show(name):
    assert doctest.testmod(importlib.import_module(name), extraglobs=GLOBALS).failed == 0


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_public_class_has_an_example(cls):
    assert doctest.DocTestParser().get_examples(cls.__doc__), f"{cls.__name__} needs an example in its docstring"


def test_registered_classes_are_among_those_that_need_an_example():
    from ada_ensemble_tf.dhen import MODULES
    from ada_ensemble_tf.experts import EXPERTS
    from ada_ensemble_tf.gates import GATES
    from ada_ensemble_tf.models import MODELS
    from ada_ensemble_tf.optimizers import OPTIMIZERS

    ours = [*EXPERTS.values(), *GATES.values(), *MODULES.values(), *MODELS.values(), *OPTIMIZERS.values()]
    assert {cls for cls in ours if cls.__module__.startswith("ada_ensemble_tf.")} <= set(public_classes())
