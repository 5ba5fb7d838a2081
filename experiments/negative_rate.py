"""What a share of the negatives costs and saves:

python -m experiments.negative_rate --out=runs/negative_rate [--rows=1000000] [--rates=1,0.1] [--model=MODEL]

writes rows of eight fields whose levels have planted effects on the click's log-odds (about 4 % are clicked), prepares
them once with each --negative_rate, trains the model on each and prints, on the same full test rows, calibration, AUC
and LogLoss, with the rows and seconds of training and the largest difference between the scores of the model in Python
and of its export.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from absl import flags

from data_pipelines.errors import run_main
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.preparation import Options

LEVELS = (4, 10, 20, 50, 100, 200, 500, 1000)
_DEVIATION, _BASE = 0.4, -3.6


def write_rows(path: Path, rows: int) -> None:
    """Writes a CSV file of made-up rows."""
    rng = np.random.default_rng(0)
    logit, columns = np.full(rows, _BASE), {}
    for number, levels in enumerate(LEVELS):
        drawn = rng.integers(0, levels, rows)
        logit += rng.normal(0.0, _DEVIATION, levels)[drawn]
        columns[f"f{number}"] = drawn
    clicked = (rng.random(rows) < 1.0 / (1.0 + np.exp(-logit))).astype(np.int8)
    pl.DataFrame({"click": clicked, **columns}).write_csv(path)


def measured(data_dir: Path, workdir: Path, model_name: str, epochs: float) -> dict[str, float]:
    """Trains the model and returns its figures."""
    from ada_ensemble_tf.configs.defaults import config_for
    from ada_ensemble_tf.evaluation.scoring import Scorer
    from ada_ensemble_tf.serving.publish import export
    from ada_ensemble_tf.serving.session import ServingSession
    from ada_ensemble_tf.trained.workdir import Workdir
    from ada_ensemble_tf.training.run import train
    from data_pipelines.read.dataset import open_data
    from data_pipelines.read.inputs import named

    config, data = config_for(model_name), open_data(data_dir)
    config.max_epochs, config.batch_size = epochs, 512
    if model_name == "logistic_regression":
        # Few negatives leave few updates. An unfinished fit has too little spread, an overfitted one too much, and
        # corrected probabilities are convex in both.
        config.embedding_optimizer.learning_rate = flags.FLAGS.learning_rate
    start = time.monotonic()
    found = train(config, data, workdir)["test"]
    seconds = time.monotonic() - start
    directory = Workdir(workdir)
    model = directory.load_model()
    inputs, *_ = next(iter(data.evaluation("test", 4096)))
    folder = export(model, directory.schema(), workdir, workdir / "export")
    served = ServingSession(folder)("ids", {name: x.numpy() for name, x in named(inputs).items()})["ctr"]
    difference = float(np.abs(served - Scorer(model)(inputs)).max())
    return {
        "train rows": data.rows["train"],
        "seconds": seconds,
        "calibration": found["calibration"],
        "AUC": found["auc"],
        "LogLoss": found["logloss"],
        "export": difference,
    }


def main(argv: Sequence[str]) -> None:
    """Prints the table in Markdown."""
    del argv
    out, raw = Path(flags.FLAGS.out), Path(flags.FLAGS.out) / "rows.csv"
    out.mkdir(parents=True, exist_ok=True)
    if not raw.exists():
        write_rows(raw, flags.FLAGS.rows)
    fields = [{"name": f"f{number}", "kind": "categorical"} for number in range(len(LEVELS))]
    found = parse_schema({"label": "click", "fields": fields}, "the schema")
    rows = {}
    for text in flags.FLAGS.rates:
        data_dir = out / f"data-{text}"
        build(Options(*found, negative_rate=float(text)), [raw], data_dir)
        rows[text] = measured(data_dir, out / f"{flags.FLAGS.model}-{text}", flags.FLAGS.model, flags.FLAGS.epochs)
    names = list(next(iter(rows.values())))
    print(f"| share of negatives | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for text, figures in rows.items():
        print(f"| {text} | {' | '.join(f'{figures[name]:.6g}' for name in names)} |")


if __name__ == "__main__":
    flags.DEFINE_integer("rows", 1_000_000, "Rows.", lower_bound=1000)
    flags.DEFINE_string("out", None, "Where everything goes; finished steps are not repeated.", required=True)
    flags.DEFINE_list("rates", ["1", "0.1"], "Shares of the negatives of train.")
    flags.DEFINE_string("model", "logistic_regression", "The model.")
    flags.DEFINE_float("epochs", 3.0, "Epochs.", lower_bound=0.01)
    flags.DEFINE_float("learning_rate", 0.05, "Of the logistic regression.", lower_bound=0.0)
    run_main(main)
