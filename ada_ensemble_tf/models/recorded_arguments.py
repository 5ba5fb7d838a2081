"""Constructors whose arguments are checked and recorded, so that no model needs a `get_config`."""

import inspect
from collections.abc import Mapping
from types import NoneType
from typing import Any, TypeVar

import keras

from ada_ensemble_tf.arguments import check_arguments, constructor_parameters, plain_argument

Recorded = TypeVar("Recorded", bound="RecordedArguments")

_PLAIN = (bool, int, float, str, list, dict, NoneType)


class RecordedArguments:
    """Checks a constructor's arguments against its annotations, and records them, before `__init__` runs.

    A class whose constructor has `**kwargs` takes the arguments of its base class as well. All are keyword-only.

    Raises:
        ArgumentError: if an argument is out of its range. The message names it.
        TypeError: if the constructor has no such argument.
    """

    def __new__(cls, **arguments: Any):
        """Checks and records the arguments, defaults included."""
        parameters = constructor_parameters(cls, RecordedArguments)
        if unknown := sorted(arguments.keys() - parameters.keys()):
            raise TypeError(f"{cls.__name__} has no argument {', '.join(unknown)}; it has {', '.join(parameters)}")
        check_arguments(parameters, arguments)
        model = super().__new__(cls)
        defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
        # Past Keras' tracking of attributes, which is for layers and variables.
        vars(model)["_arguments"] = {
            name: plain_argument(value, parameters[name].annotation) for name, value in (defaults | arguments).items()
        }
        return model

    def recorded_arguments(self) -> dict[str, Any]:
        """The arguments, with layers and other objects of Keras as their configs."""
        return {name: _serialized(value) for name, value in vars(self)["_arguments"].items()}

    @classmethod
    def from_recorded(cls: type[Recorded], arguments: Mapping[str, Any]) -> Recorded:
        """Makes the object again from the result of `recorded_arguments`.

        Raises:
            ValueError: for an object of a class that is not registered.
        """
        return cls(**{name: _deserialized(value) for name, value in arguments.items()})


def _serialized(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else keras.saving.serialize_keras_object(value)


def _deserialized(value: Any) -> Any:
    is_object = isinstance(value, Mapping) and "class_name" in value
    if not is_object:
        return value
    # Never by its module's name: a config that came from elsewhere must not say what to import.
    cls = keras.saving.get_registered_object(value.get("registered_name"))
    if cls is None:
        raise ValueError(f"there is no class {value.get('registered_name')!r}")
    return cls.from_config(value["config"])
