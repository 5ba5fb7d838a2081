"""The sections of a model's page that any model has: figures of quality, curves, and what the run was."""

import json

import numpy as np

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import Interval
from ada_ensemble_tf.reporting import calibration
from ada_ensemble_tf.reporting.baselines import BASE_RATE
from ada_ensemble_tf.reporting.evidence import Evidence
from ada_ensemble_tf.reporting.learning_curves import learning_curves_figure
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.reporting.ranking import ranking_figure
from ada_ensemble_tf.reporting.reliability import reliability_figure
from ada_ensemble_tf.trained.run_files import calibration_line, flat

_METRICS = {"auc": "AUC", "logloss": "LogLoss", "normalized_entropy": "NE", "calibration": "calibration"}


def subtitle(evidence: Evidence) -> str:
    """The line below the title: how many rows, what is positive, when it was trained."""
    labels = evidence.labels
    share = f"{float(np.mean(labels)):.2%}".rstrip("%")
    line = f"{len(labels):,} test rows, of which {int(labels.sum()):,} have {evidence.positive}: {share} %"
    return f"{line}. Trained {evidence.facts['trained']}" if "trained" in evidence.facts else line


def metrics_section(page: Page, evidence: Evidence, intervals: dict[str, Interval]) -> None:
    """Metrics with intervals, beside those of the baselines."""
    page.section("metrics", "Metrics")
    others = [metrics.all_metrics(evidence.labels, one.probabilities, evidence.weights) for one in evidence.baselines]
    rows = []
    for name, one in intervals.items():
        digits = 4 if name == "calibration" else 5
        cells = [f"{end:.{digits}f}" for end in (*one, *(other[name] for other in others))]
        rows.append([_METRICS[name], *cells])
    rows.append(["FLOPs an example, as routed", f"{evidence.flops:,.0f}", *[""] * (2 + len(others))])
    text = (
        "On the whole test split, with 95 % intervals over the choice of rows: AUC by DeLong, the others by bootstrap. "
        f"Calibration is mean prediction over the share of {evidence.positive}; NE is LogLoss over the entropy of that "
        "share. "
    )
    if base := next((one for one in evidence.baselines if one.name == BASE_RATE), None):
        text += f"The base rate predicts {base.where}. "
    if named := [f"{one.name} is {one.where}" for one in evidence.baselines if one.name != BASE_RATE]:
        text += f"{'; '.join(named)}; Findings says whether the difference is beyond noise."
    headings = ["", "this model", "from", "to", *(one.name for one in evidence.baselines)]
    page.table(headings, rows, text)


def ranking_section(page: Page, evidence: Evidence) -> None:
    """ROC and precision-recall curves; nothing where all rows have one label."""
    if len(np.unique(evidence.labels)) < 2:
        return
    page.section("ranking", "ROC and precision")
    models = {evidence.model: evidence.probabilities}
    models |= {one.name: one.probabilities for one in evidence.baselines if one.name not in (BASE_RATE, evidence.model)}
    text = (
        f"Each point is a threshold on the prediction. Left: the share of rows with {evidence.positive} that are above "
        "it, against the share of the others. Right: how many of the rows above it are right. The dotted lines are "
        "what predictions at random give."
    )
    page.figure(ranking_figure(evidence.labels, models, evidence.weights), "ranking", text)


def calibration_section(page: Page, evidence: Evidence, found: Interval) -> None:
    """What the calibration says, in words and as a diagram."""
    page.section("calibration", "Calibration")
    page.text(
        f"Mean prediction over the share of {evidence.positive} is {calibration.in_numbers(found)}: "
        f"{calibration.verdict(found)}."
    )
    text = (
        f"Share of {evidence.positive} in groups of equally many test rows by rising prediction, with Wilson's 95 % "
        "intervals, and beside it how many rows have which prediction. Points above the dashed line are predicted too "
        f"low. Calibration, fitted on validation rows: {calibration_line(evidence.results)}."
    )
    page.figure(reliability_figure(evidence.labels, evidence.probabilities), "reliability", text)


def learning_curves_section(page: Page, evidence: Evidence) -> None:
    """Learning curves, where training left them."""
    if not evidence.training and not evidence.validation:
        return
    page.section("curves", "Learning curves")
    figure = learning_curves_figure(evidence.training, evidence.validation, evidence.results.get("best_step"))
    page.figure(figure, "learning-curves", "LogLoss and validation AUC over weight updates, as TensorBoard has them.")


def run_section(page: Page, evidence: Evidence) -> None:
    """How the model was trained: facts, the command, the config."""
    page.section("run", "The run")
    page.table(["", ""], list(evidence.facts.items()), text_columns=2)
    if evidence.command:
        page.text("The command:")
        page.code(evidence.command)
    if evidence.changed:
        text = (
            "Config keys whose value is not the model's default, whether the data set's config or the command set it."
        )
        page.table(["key", "value", "default"], evidence.changed, text, text_columns=3)
    if config := evidence.results.get("config"):
        lines = [f"{key} = {json.dumps(value)}" for key, value in sorted(flat(config).items())]
        page.details(f"The whole config, {len(lines)} keys", "\n".join(lines))
