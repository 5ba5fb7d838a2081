"""Lists of experts: names, options, classes and instances, the same for all layers or one list a layer."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import keras
from msgspec import Meta

from ada_ensemble_tf.arguments import ArgumentError, Check, constructor_parameters, plain
from ada_ensemble_tf.experts import EXPERTS, Expert, check_expert, make_expert

_FORMS = 'be names, mappings of a "name" and options, or experts'


@dataclasses.dataclass(frozen=True)
class ExpertsCheck(Check):
    """Checks experts and gives them their plain form.

    An expert is a name, such as "cin"; a mapping of a "name" and options, {"name": "cin", "feature_maps": [64]}; or a
    subclass or instance of `Expert`. An instance stands for its class and options: each layer makes its own expert. A
    class must be in `EXPERTS` or registered with Keras. The plain form is the name, or the mapping if it has options.
    """

    single: bool = False
    """Whether the argument is one expert instead of several."""
    by_layer: bool = False
    """Whether there may be a list for each layer in place of one list for all."""

    def check(self, argument: str, value: Any) -> None:
        """Raises ArgumentError for what is no expert, and for options that an expert lacks or that are out of range."""
        for experts in self._lists(argument, value):
            if not experts:
                raise ArgumentError(argument, "be one or more experts in each layer", value)
            specs = [spec_of(expert, argument) for expert in experts]
            for spec, label in zip(specs, labels(specs, argument), strict=True):
                name, options = _parts(spec)
                with named(label, argument):
                    check_expert(name, options)

    def plain(self, value: Any) -> Any:
        """The names and mappings."""
        if self.single:
            return spec_of(value)
        return [
            [spec_of(expert) for expert in each] if self.by_layer and _is_list(each) else spec_of(each)
            for each in value
        ]

    def _lists(self, argument: str, value: Any) -> Sequence[Sequence[Any]]:
        if self.single:
            return [[value]]
        if not self.by_layer or not any(map(_is_list, value)):
            return [value]
        if not all(map(_is_list, value)):
            raise ArgumentError(argument, "be one list for all layers, or a list for each layer, not a mixture", value)
        return value


OneExpert = Annotated[Any, ExpertsCheck(single=True)]
SomeExperts = Annotated[tuple[Any, ...], Meta(min_length=1, description="be one or more experts"), ExpertsCheck()]
LayersExperts = Annotated[
    tuple[Any, ...],
    Meta(min_length=1, description="be one or more experts, or a list of them for each layer"),
    ExpertsCheck(by_layer=True),
]


def spec_of(expert: Any, argument: str = "experts") -> str | dict[str, Any]:
    """The plain form of an expert: its name, or a mapping of "name" and options.

    Raises:
        ArgumentError: if it is no expert, or an instance that cannot be made anew.

    Example:
        >>> from ada_ensemble_tf.experts import CINExpert, CrossExpert
        >>> [spec_of(one) for one in ("dense", {"name": "dense"}, CrossExpert, CINExpert(3, feature_maps=[8]))]
        ['dense', 'dense', 'cross', {'name': 'cin', 'feature_maps': [8]}]
    """
    if isinstance(expert, Mapping):
        options = plain(expert)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise ArgumentError(argument, 'have a "name" in each mapping', expert)
        return {"name": name} | options if options else name
    if isinstance(expert, type) and issubclass(expert, Expert):
        return _name_of(expert, argument)
    if isinstance(expert, Expert):
        return _spec_of_instance(expert, argument)
    if not isinstance(expert, str):
        raise ArgumentError(argument, _FORMS, expert)
    return expert


def labels(experts: Sequence[Any], argument: str = "experts") -> tuple[str, ...]:
    """Names for the experts of a layer, no two the same: the second cross is cross_2.

    Example:
        >>> labels(["cross", "dense", {"name": "cross", "diag_scale": 0.1}])
        ('cross', 'dense', 'cross_2')
    """
    given: list[str] = []
    for expert in experts:
        # Keras separates the package of a registered class by ">", which no name of a layer may have.
        name = label = _parts(spec_of(expert, argument))[0].rpartition(">")[2]
        number = 1
        while label in given:
            number += 1
            label = f"{name}_{number}"
        given.append(label)
    return tuple(given)


def layer_lists(experts: Sequence[Any], num_layers: int) -> list[list[Any]]:
    """The experts of each layer.

    Raises:
        ArgumentError: if there is a list for each layer, but not as many lists as layers.

    Example:
        >>> layer_lists(("dense", "cross"), num_layers=2)
        [['dense', 'cross'], ['dense', 'cross']]
    """
    if not any(map(_is_list, experts)):
        return [list(experts)] * num_layers
    if len(experts) != num_layers:
        raise ArgumentError("experts", f"be one list, or one for each of the {num_layers} layers", experts)
    return [list(each) for each in experts]


def layer_sizes(experts: Sequence[Any]) -> list[int]:
    """How many experts the layers have, one number where all have the same list.

    Example:
        >>> layer_sizes(("dense", "cross")), layer_sizes((["dense", "cross"], ["cin"]))
        ([2], [2, 1])
    """
    return [len(each) for each in experts if _is_list(each)] or [len(experts)]


def make_listed(expert: Any, num_fields: int, layer_name: str) -> Expert:
    """An expert from any of the forms that a list may have.

    Raises:
        ArgumentError: if there is none, an option is wrong, or an instance has another number of fields.
    """
    if isinstance(expert, Expert) and expert.num_fields != num_fields:
        raise ArgumentError("num_fields", f"be {num_fields}", expert.num_fields)
    name, options = _parts(spec_of(expert))
    return make_expert(name, num_fields, layer_name, **options)


@contextlib.contextmanager
def named(label: str, argument: str = "experts") -> Iterator[None]:
    """Complaints about an expert inside this context name it, "experts.LABEL.OPTION"; that there is none, "experts"."""
    try:
        yield
    except ArgumentError as error:
        if error.argument == "name":
            raise error.given_as(argument, error.value) from None
        raise error.within(f"{argument}.{label}") from None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _parts(spec: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    return spec["name"], {option: value for option, value in spec.items() if option != "name"}


def _name_of(cls: type[Expert], argument: str) -> str:
    for name, registered in EXPERTS.items():
        if registered is cls:
            return name
    name = keras.saving.get_registered_name(cls)
    if keras.saving.get_registered_object(name) is not cls:
        requirement = "be in EXPERTS or registered with Keras (keras.saving.register_keras_serializable)"
        raise ArgumentError(argument, requirement, cls)
    return name


def _spec_of_instance(expert: Expert, argument: str) -> str | dict[str, Any]:
    if expert.built:
        raise ArgumentError(argument, "be experts that are not built, since each layer makes its own", expert)
    parameters, config = dict(constructor_parameters(type(expert), Expert)), expert.get_config()
    del parameters["num_fields"]
    if lacking := sorted(parameters.keys() - config.keys()):
        raise ArgumentError(argument, f"have {', '.join(lacking)} in what their get_config returns", expert)
    options = {name: plain(config[name]) for name, p in parameters.items() if plain(config[name]) != plain(p.default)}
    name = _name_of(type(expert), argument)
    return {"name": name} | options if options else name
