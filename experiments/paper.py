"""The figures of AdaEnsemble's paper (arXiv 2301.08353) next to those of comparisons of these models.

python -m experiments.paper --data_set=criteo --table=runs/criteo_slice/table.csv
python -m experiments.paper --study=paper_table2 --table=runs/frappe/table2/table.csv,runs/planted/table2/table.csv

print rows of comparisons in Markdown, with the AUC and LogLoss of the paper's table 1 or the figures of its study on
Criteo. The paper's figures are for the full data.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from ada_ensemble_tf.comparison.table import plus_minus
from data_pipelines.errors import UserError, run_main

DATA_SETS = ("criteo", "avazu", "ipinyou")
# (Test AUC, LogLoss) on each of DATA_SETS, by model.
TABLE_1 = {
    "logistic_regression": ((0.7924, 0.4577), (0.7533, 0.3952), (0.7692, 0.005605)),
    "factorization_machine": ((0.8030, 0.4487), (0.7652, 0.3889), (0.7737, 0.005576)),
    "dnn": ((0.8051, 0.4461), (0.7627, 0.3895), (0.7732, 0.005749)),
    "wide_and_deep": ((0.8062, 0.4451), (0.7637, 0.3889), (0.7763, 0.005589)),
    "deepfm": ((0.8069, 0.4445), (0.7665, 0.3879), (0.7749, 0.005609)),
    "deep_crossing": ((0.8068, 0.4456), (0.7628, 0.3891), (0.7706, 0.005657)),
    "dcn": ((0.8056, 0.4457), (0.7661, 0.3880), (0.7758, 0.005682)),
    "pnn": ((0.8083, 0.4433), (0.7663, 0.3882), (0.7783, 0.005584)),
    "xdeepfm": ((0.8077, 0.4439), (0.7668, 0.3878), (0.7772, 0.005664)),
    "autoint": ((0.8053, 0.4462), (0.7650, 0.3883), (0.7732, 0.005758)),
    "fibinet": ((0.8082, 0.4439), (0.7652, 0.3886), (0.7756, 0.005679)),
    "xdeepint": ((0.8111, 0.4408), (0.7672, 0.3876), (0.7790, 0.005567)),
    "dcn_v2": ((0.8086, 0.4433), (0.7662, 0.3882), (0.7765, 0.005593)),
    "ada_ensemble": ((0.8132, 0.4394), (0.7687, 0.3865), (0.7807, 0.005550)),
}
# (Test AUC, LogLoss, FLOPs per example) on Criteo, by study of `experiments.studies` and label; None if the paper
# prints no figure. Its figure 5 has curves without numbers.
STUDIES: dict[str, dict[str, tuple[float | None, ...]]] = {
    "paper_table2": {
        "sparse_k1": (0.8096, 0.4423, 2.26e6),
        "sparse_k2": (0.8121, 0.4400, 4.14e6),
        "sparse_k3": (0.8132, 0.4394, 6.02e6),
        "sparse_k4": (0.8133, 0.4393, 7.09e6),
        "dense_moe": (0.8133, 0.4392, 9.78e6),
        "ensemble": (0.8120, 0.4401, 12.15e6),
        "gated_dense_only": (0.8050, 0.4463, 3.71e6),
        "cross_only": (0.8086, 0.4433, 3.36e6),
        "polynomial_only": (0.8111, 0.4408, 3.32e6),
        "convolution_only": (0.8022, 0.4501, 1.11e6),
        "attention_only": (0.8051, 0.4465, 2.17e6),
    },
    "paper_table3": {
        # The AUC is that of the workshop's version of the paper; the later one leaves it out.
        "with_controller": (0.8132, 0.4394, 6.02e6),
        "without_controller": (0.8128, 0.4396, 8.58e6),
    },
    "paper_figure5": {f"depth_{depth}": (None, None, None) for depth in (1, 2, 3, 4)},
}


def expected(data_set: str) -> dict[str, tuple[float, float]]:
    """(Test AUC, LogLoss) that the paper's table 1 reports on a data set, by model."""
    return {model: figures[DATA_SETS.index(data_set)] for model, figures in TABLE_1.items()}


def read(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a comparison by label.

    Raises:
        UserError: if there is no such file.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; make it with python -m ada_ensemble_tf.compare --out={path.parent}")
    with path.open(newline="") as file:
        return {row["label"]: row for row in csv.DictReader(file)}


def figure(value: float | None) -> str:
    """Formats a figure of the paper for a cell; FLOPs in millions."""
    if value is None:
        return ""
    return f"{value / 1e6:.2f} M" if value > 1e3 else f"{value:.4f}" if value > 0.1 else f"{value:.6f}"


def found(row: dict[str, str] | None, columns: int) -> list[str]:
    """The cells for a comparison's row: AUC and LogLoss with deviations over seeds, and FLOPs as a third column."""
    if row is None or not row["auc_mean"]:
        return ["" if row is None else "failed"] * columns
    cells = [plus_minus(row, name, 4) for name in ("auc", "logloss")]
    if columns == 3:
        # The best possible prediction has no FLOPs.
        cells.append(f"{float(row['flops_per_example']) / 1e6:.3f} M" if row["flops_per_example"] else "")
    return cells


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    del argv
    paths = [Path(name) for name in flags.FLAGS.table or ()]
    tables = [read(path) for path in paths]
    paper: Mapping[str, tuple[float | None, ...]] = (
        STUDIES[flags.FLAGS.study] if flags.FLAGS.study else expected(flags.FLAGS.data_set)
    )
    names = ["AUC", "LogLoss", "FLOPs"][: 3 if flags.FLAGS.study else 2]
    columns = [f"{place}: {name}" for place in ("paper", *(path.parent for path in paths)) for name in names]
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (1 + len(columns)) + "|")
    present: set[str] = set().union(*tables)
    for label in [*(label for label in paper if label in present), *sorted(present - paper.keys())]:
        cells = [figure(value) for value in paper.get(label, (None,) * len(names))]
        for table in tables:
            cells += found(table.get(label), len(names))
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_enum("data_set", "criteo", DATA_SETS, "A data set of the paper's table 1.")
    flags.DEFINE_enum("study", None, list(STUDIES), "A study of the paper on Criteo, instead of table 1.")
    flags.DEFINE_list("table", None, "table.csv of python -m ada_ensemble_tf.compare; several: commas between.")
    flags.mark_flag_as_required("table")
    run_main(main)
