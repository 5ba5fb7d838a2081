"""Plans in words."""

from collections.abc import Iterator, Sequence

from ada_ensemble_tf.planning.plans import REFUSED, Memory, Plan, recommended
from ada_ensemble_tf.planning.traffic import KINDS, Mesh, Sent

UNITS = ("B", "kB", "MB", "GB", "TB")


def amount(size: float) -> str:
    """Bytes with three digits: 1.25 GB.

    Example:
        >>> amount(1_250_000_000)
        '1.25 GB'
    """
    place = 0
    while size >= 999.5 and place < len(UNITS) - 1:
        size, place = size / 1000.0, place + 1
    return f"{size:.3g} {UNITS[place]}"


def describe(plans: Sequence[Plan], mesh: Mesh, memory: float) -> Iterator[str]:
    """Lines with each plan's bytes, the one to take, and what training refuses.

    Args:
        plans: the simplest first.
        mesh: the devices.
        memory: bytes of a device.
    """
    width = max(len(plan.name) for plan in plans)
    yield "bytes on the fullest device:"
    yield f"  {'':{width}}  {''.join(f'{kind:>13}' for kind in (*Memory._fields, 'total'))}"
    for plan in plans:
        sizes = "".join(f"{amount(size):>13}" for size in (*plan.memory, plan.memory.total))
        yield f"  {plan.name:{width}}  {sizes}  {'fits' if plan.memory.total <= memory else 'does not fit'}"
    yield ""
    yield "bytes that a device sends in a step, inside its host + to other hosts:"
    yield f"  {'':{width}}  {''.join(f'{kind:>22}' for kind in (*KINDS, 'total'))}"
    for plan in plans:
        sent = [*(plan.traffic.by_kind.get(kind, Sent()) for kind in KINDS), plan.traffic.total]
        yield f"  {plan.name:{width}}  {''.join(f'{_pair(one):>22}' for one in sent)}"
    yield ""
    best = recommended(plans, memory)
    if best is None:
        least = min(plans, key=lambda plan: plan.memory.total)
        yield f"none fits: the least, {least.name}, needs {amount(least.memory.total)} of {amount(memory)} a device"
    else:
        yield f"recommended: {best.name}, the simplest that fits: {' '.join(_flags(best, mesh))}"
    for what, refused in REFUSED.items():
        yield f"{what}: training refuses {refused}."
    yield (
        "Not counted: TensorFlow itself, buffers of collectives, gradients between layers, statistics of normalisation "
        "that replicas exchange, and the gate updates of bi-level training. Sharded layers are computed twice a step."
    )
    if mesh.hosts > 1:
        yield "Rings are taken to run through hosts one after another, so that one device of each host sends across."


def _flags(plan: Plan, mesh: Mesh) -> Iterator[str]:
    if plan.tables == plan.dense == "replicated":
        yield "the default"
    if plan.tables != "replicated":
        yield f"--config.sharding.tables={plan.tables}"
    if plan.dense != "replicated":
        yield f"--config.sharding.dense={plan.dense}"
    if plan.dense == "hsdp":
        yield f"--config.sharding.devices_per_host={mesh.devices}"


def _pair(sent: Sent) -> str:
    return "-" if not any(sent) else f"{amount(sent.inside)} + {amount(sent.across)}"
