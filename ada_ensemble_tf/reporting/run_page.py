"""The page of one trained model."""

from collections.abc import Sequence

import numpy as np

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import metric_intervals
from ada_ensemble_tf.reporting.alluvial import alluvial_figure
from ada_ensemble_tf.reporting.combinations import DEPTH, exit_depths
from ada_ensemble_tf.reporting.common_sections import (
    calibration_section,
    learning_curves_section,
    metrics_section,
    ranking_section,
    run_section,
    subtitle,
)
from ada_ensemble_tf.reporting.costs import cost_figure
from ada_ensemble_tf.reporting.evidence import Evidence
from ada_ensemble_tf.reporting.field_routing import field_information, field_information_figure, top_values
from ada_ensemble_tf.reporting.findings import Finding, find
from ada_ensemble_tf.reporting.gate_use import exit_figure, gate_use_figure
from ada_ensemble_tf.reporting.importance import REPEATS, importance_figure
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.reporting.slices import MIN_ROWS, Slice, worst_slices

FIGURE_FIELDS = 40
"""The most fields that a figure can show readably."""
TABLE_ROWS = 15
ROUTED_PAIRS = 4
"""Pairs of field and gate whose values are listed."""
MIN_VALUE_ROWS = 10
"""Values with fewer rows are not listed; their shares say nothing."""
_NOTHING = "No dead expert, collapsed gate, mis-calibration or out-of-vocabulary flood was found."


def run_page(evidence: Evidence) -> Page:
    """The report; sections that do not apply to the model are left out."""
    labels, probabilities = evidence.labels, evidence.probabilities
    intervals = metric_intervals(labels, probabilities, weights=evidence.weights)
    n = len(evidence.ids)
    slices = worst_slices(labels[:n], probabilities[:n], evidence.ids, evidence.columns)
    page = Page(f"{evidence.model}: {evidence.name}", subtitle(evidence))
    page.section("findings", "Findings")
    findings = find(evidence, intervals, slices)
    if all(one.severity == "good" for one in findings):
        findings.append(Finding("good", "none", _NOTHING))
    page.findings(findings)
    metrics_section(page, evidence, intervals)
    ranking_section(page, evidence)
    calibration_section(page, evidence, intervals["calibration"])
    learning_curves_section(page, evidence)
    _experts(page, evidence)
    _exits(page, evidence)
    _routing(page, evidence)
    _importance(page, evidence)
    _slices(page, evidence, slices)
    _vocabulary(page, evidence)
    _costs(page, evidence)
    if evidence.weights is not None:
        page.text("Metrics and their intervals weigh rows; all other figures and tables count every row once.")
    run_section(page, evidence)
    return page


def _experts(page: Page, evidence: Evidence) -> None:
    if not evidence.uses:
        return
    page.section("experts", "Which experts rows choose")
    if any(place != DEPTH for place in evidence.gates):
        text = (
            f"Ways of {len(evidence.ids):,} test rows: each column is a layer, its blocks the experts that rows keep "
            "together, ribbons the rows that go from one to the next, coloured by how frequent their whole path is; "
            "grey are the rows that exit after the layer before."
        )
        page.figure(alluvial_figure(evidence.gates, evidence.choices), "alluvial", text)
    if layers := [use for use in evidence.uses if use.place != DEPTH]:
        text = "Left, the share of rows whose largest gate is each expert; right, of those whose gate is not zero."
        page.figure(gate_use_figure(layers), "gate-use", text)
    rows = [
        [use.place, name, f"{use.rows:,}", f"{use.load[j]:.1%}", f"{use.routed[j]:.1%}", f"{use.weight[j]:.3f}"]
        for use in evidence.uses
        for j, name in enumerate(use.choices)
    ]
    page.table(["gate", "choice", "rows that reach it", "largest gate", "gate above 0", "mean gate"], rows, "", 2)


def _exits(page: Page, evidence: Evidence) -> None:
    if DEPTH not in evidence.gates:
        return
    page.section("exits", "Exit depths")
    layers, depths = evidence.gates[DEPTH].shape[1], exit_depths(evidence.gates)
    page.figure(exit_figure(depths, layers), "exit-depths", "Share of test rows that exit behind each layer.")
    rows = []
    for depth in range(1, layers + 1):
        there = np.flatnonzero(depths == depth)
        labels, p = evidence.labels[there], evidence.probabilities[there]
        if len(there):
            values = (metrics.auc(labels, p), metrics.logloss(labels, p), float(labels.mean()), float(p.mean()))
            rows.append([f"exit_{depth}", f"{len(there):,}", *(f"{value:.4f}" for value in values)])
    headings = ["", "rows", "AUC among them", "LogLoss", f"share of {evidence.positive}", "mean prediction"]
    page.table(headings, rows)


def _routing(page: Page, evidence: Evidence) -> None:
    starts = {field: where.ids.start for field, where in evidence.columns.items()}
    single = [field for field, where in evidence.columns.items() if where.ids.stop - where.ids.start == 1]
    if not evidence.gates or not single:
        return
    page.section("routing", "Which fields and values route where")
    levels = {field: evidence.ids[:, starts[field]] for field in single}
    found = field_information(evidence.gates, levels)
    best = {field: max(one.excess for one in found if one.field == field) for field in single}
    shown = set(sorted(single, key=lambda field: -best[field])[:FIGURE_FIELDS])
    text = (
        "Normalised mutual information of each field's values with the largest gate (0: no relation, 1: one to one), "
        "less what values in random order have. Rows that exited earlier do not count; of a field the 50 most frequent "
        f"values are told apart. {len(shown)} of {len(evidence.columns)} fields, none of several values a row."
    )
    page.figure(field_information_figure([one for one in found if one.field in shown]), "field-routing", text)
    for one in sorted(found, key=lambda one: -one.excess)[:ROUTED_PAIRS]:
        gates, ids = evidence.gates[one.place], levels[one.field]
        if one.place != DEPTH:
            layer = [place for place in evidence.gates if place != DEPTH].index(one.place) + 1
            reached = exit_depths(evidence.gates) >= layer
            gates, ids = gates[reached], ids[reached]
        rows = [
            [evidence.value_name(one.field, top.value), f"{top.rows:,}", *(f"{share:.0%}" for share in top.shares)]
            for top in top_values(gates, ids)
            if top.rows >= MIN_VALUE_ROWS
        ]
        title = f"{one.field} at {one.place}: NMI {one.nmi:.3f}, by chance {one.chance:.3f}; its most frequent values"
        page.table([one.field, "rows", *evidence.choices[one.place]], rows, title)


def _importance(page: Page, evidence: Evidence) -> None:
    if not evidence.importance:
        return
    page.section("importance", "Permutation importance")
    text = (
        f"What is lost when a field's values are exchanged between test rows; bars are means over {REPEATS} random "
        "orders, thin lines their range. Fields that say the same stand in for each other: each then looks unimportant."
    )
    page.figure(importance_figure(evidence.importance[:FIGURE_FIELDS]), "importance", text)


def _slices(page: Page, evidence: Evidence, slices: Sequence[Slice]) -> None:
    if not slices:
        return
    page.section("slices", "Worst slices")
    rows = [
        [
            one.field, evidence.value_name(one.field, one.id), f"{one.rows:,}", f"{one.clicks:,}", f"{one.logloss:.4f}",
            f"{one.base_logloss:.4f}", f"{one.difference:+.4f}", f"{one.low:+.4f} to {one.high:+.4f}",
            f"{one.calibration:.3f}",
        ]
        for one in slices[:TABLE_ROWS]
    ]  # fmt: skip
    headings = [
        "field",
        "value",
        "rows",
        evidence.positive,
        "LogLoss",
        "of its own share",
        "difference",
        "95 % interval",
    ]
    text = (
        f"The worst of {len(slices):,} slices of {MIN_ROWS} rows or more by field value: where LogLoss is least below "
        f"that of predicting the slice's own share of {evidence.positive} for all of it. "
        "Above 0 a constant would do better. Ordered by "
        "the interval's lower end; of many intervals some miss by chance."
    )
    page.table([*headings, "calibration"], rows, text, 2)


def _vocabulary(page: Page, evidence: Evidence) -> None:
    if not evidence.coverage:
        return
    page.section("vocabulary", "Out-of-vocabulary values")
    splits = list(evidence.coverage[0].shares)
    rows = [[one.field, *(f"{one.shares[split]:.2%}" for split in splits)] for one in evidence.coverage[:TABLE_ROWS]]
    text = f"Share of values without a row of their own, of up to {TABLE_ROWS} fields, by falling share of test."
    page.table(["field", *splits], rows, text)


def _costs(page: Page, evidence: Evidence) -> None:
    if not evidence.costs:
        return
    page.section("costs", "FLOPs, AUC and latency")
    if len(evidence.costs) > 1:
        text = (
            f"The model as routed, and with all rows leaving at one exit, on {len(evidence.ids):,} test rows. Exits "
            "were trained on the rows that the depth gate sends them, so on all rows each may do worse than on its own."
        )
        page.figure(cost_figure(evidence.costs), "costs", text)
    batches = sorted({one.batch for one in evidence.latencies})
    times = {(one.label, one.batch): f"{one.median:.2f} ({one.ninth_decile:.2f})" for one in evidence.latencies}
    rows = [
        [cost.label, f"{cost.flops:,.0f}", f"{cost.auc.value:.5f}", *(times.get((cost.label, b), "") for b in batches)]
        for cost in evidence.costs
    ]
    text = (
        f"Latency was measured while this page was written, on {evidence.machine}: milliseconds a call, median (ninth "
        "decile), of the model's graph with ids as input, taken by turns. It says more by its ratios than by its size."
    )
    page.table(["", "FLOPs an example", "AUC", *(f"ms, batch {batch}" for batch in batches)], rows, text)
