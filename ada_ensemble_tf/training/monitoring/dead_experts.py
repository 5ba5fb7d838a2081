"""How many experts get next to no rows, as the report counts them too."""

from collections.abc import Mapping, Sequence

from ada_ensemble_tf.reporting.alluvial import DEPTH
from ada_ensemble_tf.reporting.findings import is_dead, is_reached
from ada_ensemble_tf.reporting.gate_use import GateUse


def dead_in_use(uses: Sequence[GateUse]) -> dict[str, int]:
    """`<layer>/dead_experts` of all layers that rows reach: without rows a layer's gate shares out nothing."""
    all_rows = max((use.rows for use in uses), default=0)
    layers = [use for use in uses if use.place != DEPTH and is_reached(use.rows, all_rows)]
    return {f"{use.place}/dead_experts": sum(map(is_dead, use.routed, use.weight)) for use in layers}


def dead_in_reports(scalars: Mapping[str, float]) -> dict[str, int]:
    """The same from what `report_scalars` gives, or means of it; the router's probability is an expert's weight."""
    shares: dict[str, dict[str, list[float]]] = {}
    for name, value in scalars.items():
        place, what, _ = name.rsplit("/", 2) if name.count("/") > 1 else ("", "", "")
        if what in ("routed", "probability") and place != DEPTH:
            shares.setdefault(place, {}).setdefault(what, []).append(float(value))
    return {
        f"{place}/dead_experts": sum(map(is_dead, one["routed"], one["probability"]))
        for place, one in shares.items()
        if any(one["routed"])
    }
