"""What AdaEnsemble's paper (arXiv 2301.08353) reports, beside what a comparison of these models gave.

python -m experiments.paper --data_set=criteo --table=runs/criteo_slice/table.csv

prints the comparison's rows with the AUC and LogLoss of the paper's table 1, which are of the full data, in Markdown.
"""

import csv
from pathlib import Path

from absl import flags

from data_pipelines.errors import DataError, run_main

DATA_SETS = ("criteo", "avazu", "ipinyou")
# By model: (test AUC, LogLoss) on each of DATA_SETS.
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

_DATA_SET = flags.DEFINE_enum("data_set", None, DATA_SETS, "Which of the paper's data sets.", required=True)
_TABLE = flags.DEFINE_string("table", None, "table.csv of python -m ada_ensemble_tf.compare.", required=True)


def expected(model: str, data_set: str) -> tuple[float, float] | None:
    """(test AUC, LogLoss) that the paper reports on the full data; None for models that it does not have."""
    return TABLE_1[model][DATA_SETS.index(data_set)] if model in TABLE_1 else None


def main(argv) -> None:
    """Prints the table."""
    del argv
    path = Path(_TABLE.value)
    if not path.exists():
        raise DataError(f"{path}: no such file; make it with python -m ada_ensemble_tf.compare --out={path.parent}")
    with path.open(newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    order = list(TABLE_1) + sorted(rows.keys() - TABLE_1.keys())
    print("| model | paper, full data: AUC | LogLoss | these rows: AUC | LogLoss |\n|---|---|---|---|---|")
    for label in order:
        if label not in rows:
            continue
        paper = expected(label, _DATA_SET.value)
        cells = [f"{value:.4f}" if value > 0.1 else f"{value:.6f}" for value in paper] if paper else ["", ""]
        done = rows[label]["auc_mean"]
        here = [f"{float(rows[label][f'{name}_mean']):.4f}" if done else "failed" for name in ("auc", "logloss")]
        print(f"| {label} | {' | '.join(cells + here)} |")


if __name__ == "__main__":
    run_main(main)
