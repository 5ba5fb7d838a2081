"""Counts experts that get hardly any rows, in the same way as the report."""

from collections.abc import Mapping, Sequence

from ada_ensemble_tf.reporting.combinations import DEPTH
from ada_ensemble_tf.reporting.findings import is_dead, is_reached
from ada_ensemble_tf.reporting.gate_use import GateUse


def dead_in_use(uses: Sequence[GateUse]) -> dict[str, int]:
    """`<layer>/dead_experts` for all layers that rows reach; a layer without rows has no shares to judge by."""
    all_rows = max((use.rows for use in uses), default=0)
    layers = [use for use in uses if use.place != DEPTH and is_reached(use.rows, all_rows)]
    return {f"{use.place}/dead_experts": sum(map(is_dead, use.routed, use.weight)) for use in layers}


def dead_in_reports(scalars: Mapping[str, float]) -> dict[str, int]:
    """The same from the output of `report_scalars` or means of it; the router's probability is an expert's weight."""
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
