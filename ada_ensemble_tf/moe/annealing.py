"""The schedules of K, of the number of mixed exits and of the load weights."""

from collections.abc import Mapping
from typing import Any

from ada_ensemble_tf.arguments import ArgumentError, Positive
from ada_ensemble_tf.gates.schedule import EvenFall, Schedule, StepSchedule, linear_annealing, make_schedule


def annealing_schedules(
    num_experts: int,
    num_layers: int,
    k: int,
    anneal_steps: int,
    k_schedule: Mapping[str, Any] | None = None,
    depth_schedule: Mapping[str, Any] | None = None,
) -> tuple[StepSchedule, StepSchedule]:
    """Schedules of K and of the number of mixed exits (AdaEnsemble, arXiv 2301.08353, section 3.3.2).

    Args:
        num_experts: E, from which K falls.
        num_layers: L, from which the number of mixed exits falls to 1.
        k: the final K.
        anneal_steps: weight updates over which both fall evenly.
        k_schedule: replaces the even schedule of K; see `make_schedule`.
        depth_schedule: replaces the even schedule of the exits, likewise.

    Raises:
        ArgumentError: for a schedule that leaves [1, E] or [1, L], exits that do not end in 1, or too few steps.

    Example:
        >>> k, depth = annealing_schedules(num_experts=4, num_layers=2, k=2, anneal_steps=100)
        >>> k.values, depth.values
        ((4, 3, 2), (2, 1))
    """
    falls = max((num_experts - k) * (k_schedule is None), (num_layers - 1) * (depth_schedule is None))
    if 0 < anneal_steps < falls:
        each = "one for each value that K or the number of mixed exits takes on its way down"
        raise ArgumentError("anneal_steps", f"be 0 or last at least {falls} weight updates, {each}", anneal_steps)
    of_k = linear_annealing(num_experts, k, anneal_steps) if k_schedule is None else _counts("k_schedule", k_schedule)
    if max(of_k.values) > num_experts:
        raise ArgumentError("k_schedule", f"keep at most the {num_experts} experts", of_k.values)
    if depth_schedule is None:
        return of_k, linear_annealing(num_layers, 1, anneal_steps)
    of_depth = _counts("depth_schedule", depth_schedule)
    if max(of_depth.values) > num_layers or of_depth.final != 1:
        requirement = f"stay within {num_layers} layers and end in 1"
        raise ArgumentError("depth_schedule", requirement, of_depth.values)
    return of_k, of_depth


def _counts(argument: str, given: Mapping[str, Any]) -> StepSchedule:
    schedule = make_schedule(argument, given, Positive)
    if any(value % 1 for value in schedule.values):
        raise ArgumentError(argument, "have whole values", given)
    return StepSchedule([int(value) for value in schedule.values], schedule.boundaries)


def load_factor(anneal_steps: int, schedule: Mapping[str, Any] | None) -> Schedule | EvenFall | None:
    """The factor of the load weights by training step; None where they are constant.

    The paper weighs the balance of loads by a constant (AdaEnsemble, arXiv 2301.08353, equation 18), which then costs
    prediction wherever one expert is best for most rows.

    Args:
        anneal_steps: weight updates over which it falls evenly from 1 to 0; 0 for none.
        schedule: replaces the even fall; see `make_schedule`.

    Raises:
        ArgumentError: for a wrong schedule, or one together with `anneal_steps`.

    Example:
        >>> float(load_factor(anneal_steps=100, schedule=None)(25))
        0.75
    """
    if schedule is None:
        return EvenFall(anneal_steps) if anneal_steps else None
    if anneal_steps:
        raise ArgumentError("load_anneal_steps", "be 0 together with load_schedule", anneal_steps)
    return make_schedule("load_schedule", schedule)
