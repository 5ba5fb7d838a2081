"""A comparison in the form of DHEN's tables 1 to 3 (arXiv 2203.11014): relative differences of Normalized Entropy.

python -m ada_ensemble_tf.compare --config=criteo --study=experiments/studies.py:dhen_table1 --data_dir=DIR --out=OUT
python -m experiments.normalized_entropy --study=dhen_table1 --out=OUT

prints a table in Markdown: FLOPs an example, the paper's differences on its own industrial data, the differences on
validation rows after shares of the training, and that on test rows. A difference is NE / NE of the baseline - 1, and
the baseline is the study's first label. NE is LogLoss over the entropy of the click rate, so on the same rows both have
the same differences. Data with floats (`prepare --dataset=criteo --numeric=value`) are what DHEN's modules read.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from ada_ensemble_tf.reporting.learning_curves import Curve, read_curves
from data_pipelines.errors import UserError, run_main
from experiments.paper import figure, read

# NE differences in percent by label, after rising numbers of examples; the first label is the baseline.
PAPER: dict[str, dict[str, tuple[float, ...]]] = {
    "dhen_table1": {
        "dcn": (),
        "attention": (0.036, 0.026, -1.044),
        "cnn": (-1.441, -1.535, -1.534),
        "linear": (-1.461, -1.546, -1.538),
        "dcn_linear": (-0.002, -0.004, -0.004),
        "attention_linear": (-1.363, -1.537, -1.576),
        "attention_cnn": (0.024, -1.270, -1.508),
    },
    "dhen_table2": {
        "dlrm": (),
        "dhen_2": (-0.0315, -0.134, -0.176),
        "dhen_4": (-0.071, -0.197, -0.255),
        "dhen_8": (-0.068, -0.208, -0.273),
    },
    "dhen_table3": {
        "dlrm": (),
        "moe_4": (-0.06,),
        "dhen_2": (-0.11,),
        "moe_8": (-0.09,),
        "dhen_4": (-0.21,),
        "moe_16": (-0.10,),
        "dhen_6": (-0.26,),
    },
}
SHARES = (0.25, 0.5, 1.0)
"""Shares of the shortest training after which validation rows are compared."""


def at_shares(curves: Mapping[str, Sequence[Curve]], baseline: str) -> dict[str, list[float]]:
    """Differences in percent from the baseline at `SHARES` of the steps that all trainings have, by label.

    A label's value is the mean over its seeds, each at its last evaluation up to that step; NaN before the first.
    """
    last = min(curve.steps[-1] for ones in curves.values() for curve in ones)
    means = {}
    for label, ones in curves.items():
        means[label] = np.array([np.mean([_value_at(curve, share * last) for curve in ones]) for share in SHARES])
    return {label: (100.0 * (mean / means[baseline] - 1.0)).tolist() for label, mean in means.items()}


def _value_at(curve: Curve, step: float) -> float:
    place = int(np.searchsorted(curve.steps, step, side="right")) - 1
    return float(curve.values[place]) if place >= 0 else math.nan


def lines(study: str, rows: Mapping[str, Mapping[str, str]], curves: Mapping[str, Sequence[Curve]]) -> list[str]:
    """The table's lines.

    Args:
        study: a key of `PAPER`.
        rows: those of table.csv by label.
        curves: each seed's validation LogLoss by label; may be empty.

    Raises:
        UserError: the baseline has no result.
    """
    paper = PAPER[study]
    baseline = next(iter(paper))
    base = rows.get(baseline, {}).get("normalized_entropy_mean")
    if not base:
        raise UserError(f"{study}: its baseline {baseline!r} has no result yet; finish the comparison")
    found = at_shares(curves, baseline) if curves else {}
    headings = ["", "FLOPs", "paper", *(f"validation, {share:.0%} of training" for share in SHARES if found), "test"]
    table = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    for label in (label for label in paper if label in rows):
        mean = rows[label]["normalized_entropy_mean"]
        cells = [figure(float(rows[label]["flops_per_example"])) if mean else "failed"]
        cells.append("baseline" if label == baseline else " ".join(f"{value:+.3g} %" for value in paper[label]))
        if found:
            cells += map(_percent, found.get(label, [math.nan] * len(SHARES)))
        cells.append(_percent(100.0 * (float(mean) / float(base) - 1.0) if mean else math.nan))
        table.append(f"| {label} | " + " | ".join(cells) + " |")
    return table


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.3f} %"


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    del argv
    out, curves = Path(flags.FLAGS.out), {}
    for label in PAPER[flags.FLAGS.study]:
        folders = sorted(out.glob(f"{label}/seed_*/tensorboard/validation"))
        ones = [found["metrics/logloss"] for found in map(read_curves, folders) if "metrics/logloss" in found]
        if ones:
            curves[label] = ones
    print("\n".join(lines(flags.FLAGS.study, read(out / "table.csv"), curves)))


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_enum("study", None, list(PAPER), "A study of experiments/studies.py.", required=True)
    flags.DEFINE_string("out", None, "The --out of ada_ensemble_tf.compare.", required=True)
    run_main(main)
