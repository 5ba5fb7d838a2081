"""Gates by name. A new one: its file, its line in GATES, its test."""

from typing import Any

from ada_ensemble_tf.arguments import Among, ArgumentError, constructor_parameters
from ada_ensemble_tf.gates.base import Gate
from ada_ensemble_tf.gates.dselect_k import DSelectKGate
from ada_ensemble_tf.gates.gumbel_threshold import GumbelThresholdGate
from ada_ensemble_tf.gates.gumbel_top_k import GumbelTopKGate
from ada_ensemble_tf.gates.noisy_cosine import NoisyCosineGate
from ada_ensemble_tf.gates.noisy_top_k import NoisyTopKGate
from ada_ensemble_tf.gates.prior import prior_shares
from ada_ensemble_tf.gates.report import GateReport, gate_report
from ada_ensemble_tf.plugins import registry

GATES: dict[str, type[Gate]] = registry(
    {
        "noisy_cosine": NoisyCosineGate,
        "noisy_top_k": NoisyTopKGate,
        "gumbel_top_k": GumbelTopKGate,
        "gumbel_threshold": GumbelThresholdGate,
        "dselect_k": DSelectKGate,
    }
)

_NO_OPTIONS = frozenset(("num_choices", "seed"))


def gate_options(name: str) -> list[str]:
    """The options of the gate registered as `name`: its constructor's arguments other than size and seed.

    Raises:
        ArgumentError: if there is no such gate.

    Example:
        >>> gate_options("noisy_cosine")[:3]
        ['reduction', 'hidden_size', 'noise']
    """
    Among(GATES).check("name", name)
    return [argument for argument in constructor_parameters(GATES[name], Gate) if argument not in _NO_OPTIONS]


def shared_options() -> dict[str, Any]:
    """The options that all gates have, with their defaults."""
    return {name: p.default for name, p in constructor_parameters(Gate, Gate).items() if name not in _NO_OPTIONS}


def make_gate(name: str, num_choices: int, seed: int | None = None, layer_name: str = "gate", **options: Any) -> Gate:
    """The gate registered as `name`, over `num_choices` choices.

    Args:
        name: one of `GATES`.
        num_choices: E.
        seed: the seed of its noise.
        layer_name: the layer's name.
        **options: any of `gate_options(name)`.

    Raises:
        ArgumentError: if there is no such gate, it does not have an option, or an option is out of its range.

    Example:
        >>> gates, report = make_gate("noisy_top_k", num_choices=4, noise=0.0)(tf.ones([2, 12]), k=1)
        >>> gates.shape
        TensorShape([2, 4])
    """
    known = gate_options(name)
    if unknown := sorted(options.keys() - set(known)):
        requirement = f"be left out: gate {name!r} has no option {unknown[0]}; it has {', '.join(known)}"
        raise ArgumentError(unknown[0], requirement, options[unknown[0]])
    return GATES[name](num_choices, seed=seed, name=layer_name, **options)


__all__ = ["GATES", "Gate", "GateReport", "gate_options", "gate_report", "make_gate", "prior_shares"] + sorted(
    cls.__name__ for cls in GATES.values()
)
