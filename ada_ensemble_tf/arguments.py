"""What constructor arguments may be: types that carry their range, the check against them, and what docstrings say.

A constructor declares each argument once: its default in the signature, its range in the annotation, its sentence in
the docstring. Config keys, `get_config` and the table of keys derive from these.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import numpy as np
from msgspec import Meta

_FINITE = sys.float_info.max

Count = Annotated[int, Meta(ge=1, description="be a whole number of at least 1")]
CountOrZero = Annotated[int, Meta(ge=0, description="be a whole number of at least 0")]
Counts = Annotated[tuple[Count, ...], Meta(description="be whole numbers of at least 1")]
CountsOrZeros = Annotated[tuple[CountOrZero, ...], Meta(description="be whole numbers of at least 0")]
SomeCounts = Annotated[tuple[Count, ...], Meta(min_length=1, description="be one or more whole numbers of at least 1")]
Number = Annotated[float, Meta(ge=-_FINITE, le=_FINITE, description="be a finite number")]
Positive = Annotated[float, Meta(gt=0.0, le=_FINITE, description="be a finite number above 0")]
Weight = Annotated[float, Meta(ge=0.0, le=_FINITE, description="be a finite number of at least 0")]
Share = Annotated[float, Meta(ge=0.0, lt=1.0, description="lie in [0, 1)")]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0, description="lie in [0, 1]")]
Shares = Annotated[tuple[Positive, ...], Meta(description="be finite numbers above 0")]
Names = Annotated[tuple[str, ...], Meta(min_length=1, description="be one or more names")]
Normalization = Literal["batch", "layer", "none"]
LayerNormalization = Literal["batch", "layer", "none", "pre"]


class Check:
    """In an annotation, `Annotated[TYPE, CHECK]`: what its type does not say about an argument."""

    def check(self, argument: str, value: Any) -> None:
        """Checks a value of the annotation's type. Raises ArgumentError."""
        raise NotImplementedError

    def plain(self, value: Any) -> Any:
        """A checked value as a model's config has it."""
        return plain(value)


@dataclasses.dataclass(frozen=True)
class Among(Check):
    """In an annotation of text or texts, `Annotated[str, Among(EXPERTS)]`: each must be one of these names."""

    names: Collection[str]
    """A registry, which may grow later."""
    once: bool = False
    """Whether each may be given once only."""

    def __hash__(self) -> int:
        return id(self.names)

    def check(self, argument: str, value: str | Sequence[str] | None) -> None:
        """Checks the names that an argument gives.

        Raises:
            ArgumentError: for the first name that is not known, or for names given twice.
        """
        given = [value] if isinstance(value, str) else list(value or ())
        for name in given:
            if name not in self.names:
                raise ArgumentError(argument, f"be among {', '.join(sorted(self.names))}", name)
        if self.once and len(set(given)) != len(given):
            raise ArgumentError(argument, "be different names", given)


_DESCRIPTIONS = {
    bool: "be True or False",
    int: "be a whole number",
    float: "be a number",
    str: "be text",
    NoneType: "be None",
    Mapping: "map names to values",
}


class ArgumentError(ValueError):
    """An argument out of its range.

    Args:
        argument: its name, with dots where it is one of another's options.
        requirement: what it must do, as in "must `requirement`".
        value: what it is.
    """

    def __init__(self, argument: str, requirement: str, value: Any):
        super().__init__(f"{argument} must {requirement}; received {plain(value)!r}")
        self.argument, self.requirement, self.value = argument, requirement, value

    def within(self, argument: str) -> "ArgumentError":
        """The same complaint about an option of `argument`."""
        return ArgumentError(f"{argument}.{self.argument}", self.requirement, self.value)

    def given_as(self, argument: str, value: Any) -> "ArgumentError":
        """The same complaint about the `argument` and `value` that this one was computed from."""
        return ArgumentError(argument, self.requirement, value)


def check_arguments(parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> None:
    """Checks arguments against the annotations of a constructor's parameters.

    Raises:
        ArgumentError: for a value that its annotation does not allow.
    """
    for name, value in arguments.items():
        check_argument(name, value, parameters[name].annotation)


def check_argument(name: str, value: Any, annotation: Any) -> None:
    """Checks one argument.

    Raises:
        ArgumentError: if the annotation does not allow the value.
    """
    try:
        msgspec.convert(plain(value), annotation)
    except msgspec.ValidationError:
        raise ArgumentError(name, _describe(annotation), value) from None
    for known in _checks(annotation, value):
        known.check(name, value)


def plain_argument(value: Any, annotation: Any) -> Any:
    """A checked argument as a model's config has it: plain values, which JSON can hold, wherever there are any."""
    return next((known.plain(value) for known in _checks(annotation, value)), plain(value))


def _checks(annotation: Any, value: Any) -> list[Check]:
    if value is None and allows_none(annotation):
        return []
    kinds = (annotation, *(get_args(annotation) if allows_none(annotation) else ()))
    return [known for kind in kinds for known in getattr(kind, "__metadata__", ()) if isinstance(known, Check)]


def constructor_parameters(cls: type, root: type) -> Mapping[str, inspect.Parameter]:
    """The parameters of a constructor by name, and for its `**kwargs` those of the base class's.

    Args:
        cls: the class; parameters in its attribute `withheld` are left out.
        root: the base class at which this ends: its own `**kwargs` are not followed.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or not issubclass(base, root):
            continue
        own = dict(inspect.signature(base.__init__).parameters)
        del own["self"]
        named = {name: p for name, p in own.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        parameters = named | parameters
        if len(named) == len(own):
            break
    return {name: p for name, p in parameters.items() if name not in getattr(cls, "withheld", ())}


def allows_none(annotation: Any) -> bool:
    """Whether an annotation has None among its types."""
    return NoneType in get_args(annotation)


def plain(value: Any) -> Any:
    """Tuples and arrays as lists, NumPy's numbers as Python's, mappings as dictionaries, all else as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value


def sentences(documented: type) -> dict[str, str]:
    """What the section "Args:" of a class's docstring says, by argument; several that share a sentence all have it."""
    block = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", inspect.getdoc(documented) or "", re.MULTILINE)
    said: dict[str, str] = {}
    for entry in re.split(r"^ {4}(?=\S)", block.group(1) if block else "", flags=re.MULTILINE):
        names, colon, sentence = entry.partition(":")
        if colon:
            said |= {name.strip(): " ".join(sentence.split()) for name in names.split(",")}
    return said


def _describe(annotation: Any) -> str:
    kind = get_origin(annotation)
    if kind is Annotated:
        described = [str(meta.description) for meta in annotation.__metadata__ if isinstance(meta, Meta)]
        return described[0] if described else _describe(get_args(annotation)[0])
    if kind is Literal:
        *first, last = map(repr, get_args(annotation))
        return f"be {', '.join(first)} or {last}"
    if allows_none(annotation):
        return ", or ".join(_describe(allowed) for allowed in get_args(annotation))
    return _DESCRIPTIONS.get(kind or annotation, f"be of the type {getattr(annotation, '__name__', annotation)}")
