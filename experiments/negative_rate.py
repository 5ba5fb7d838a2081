"""What a share of the negatives costs and saves:

python -m experiments.negative_rate --out=runs/negative_rate [--rows=1000000] [--rates=1,0.1] [--seeds=3]
    [--calibration=isotonic]

writes rows of eight fields whose levels have planted effects on the click's log-odds (about 4 % are clicked), prepares
them once with each --negative_rate and seed, trains the model on each and prints, on the same full test rows,
calibration, AUC and LogLoss, with the rows and seconds of training and the largest difference between the scores of the
model in Python and of its export. Then it prints how each rate differs from the first on these rows.

A seed decides the split, the negatives that are kept and the order of rows. All rates train alike: until the validation
LogLoss, of full rows, has not fallen for --patience evaluations, four an epoch. An unfinished fit has too little spread
and an overfitted one too much; corrected probabilities are convex in the logit, so both would look like a wrong rate.
--calibration fits what is left on the validation rows. A second run with it and the same --out trains nothing again.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from absl import flags

from data_pipelines.errors import UserError, run_main
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


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a training found.

    Attributes:
        figures: by the name of their column.
        labels: of the test rows `[N]`.
        scores: likewise, the click probabilities.
    """

    figures: dict[str, float]
    labels: np.ndarray
    scores: np.ndarray


def measured(data_dir: Path, workdir: Path, model_name: str, seed: int) -> Measured:
    """Trains the model and returns what it found."""
    from ada_ensemble_tf.configs.defaults import config_for
    from ada_ensemble_tf.evaluation.scoring import Scorer
    from ada_ensemble_tf.serving.publish import export
    from ada_ensemble_tf.serving.session import ServingSession
    from ada_ensemble_tf.trained.workdir import Workdir
    from ada_ensemble_tf.training.run import train
    from data_pipelines.read.dataset import open_data
    from data_pipelines.read.inputs import named

    config, data = config_for(model_name), open_data(data_dir)
    config.update({"seed": seed, "batch_size": 512, "max_epochs": flags.FLAGS.epochs, "monitor": "logloss"})
    config.calibration = flags.FLAGS.calibration
    config.update({"patience": flags.FLAGS.patience, "eval_every": max(1, data.rows["train"] // 512 // 4)})
    if model_name == "logistic_regression":
        config.embedding_optimizer.learning_rate = flags.FLAGS.learning_rate
        config.embedding_optimizer.l2 = flags.FLAGS.l2
    start = time.monotonic()
    found = train(config, data, workdir)["test"]
    seconds = time.monotonic() - start
    directory = Workdir(workdir)
    model = directory.load_model()
    inputs, *_ = next(iter(data.evaluation("test", 4096)))
    folder = export(model, directory.schema(), workdir, workdir / "export")
    served = ServingSession(folder)("ids", {name: x.numpy() for name, x in named(inputs).items()})["ctr"]
    difference = float(np.abs(served - Scorer(model)(inputs)).max())
    scored = Scorer(model).score(data.evaluation("test", 8192))
    figures = {
        "train rows": data.rows["train"],
        "seconds": seconds,
        "calibration": found["calibration"],
        "AUC": found["auc"],
        "LogLoss": found["logloss"],
        "export": difference,
    }
    return Measured(figures, scored.labels, scored.probabilities)


def differences(first: Sequence[Measured], others: Sequence[Measured]) -> str:
    """How trainings of another rate differ from those of the first, seed by seed, as one line."""
    from ada_ensemble_tf.evaluation.delong import delong

    for one, other in zip(first, others, strict=True):
        if not np.array_equal(one.labels, other.labels):
            raise UserError("the test rows of the rates differ; choose another --out")
    ratios = [o.figures["calibration"] / f.figures["calibration"] for f, o in zip(first, others, strict=True)]
    tests = [delong(f.labels, o.scores, f.scores) for f, o in zip(first, others, strict=True)]
    apart = ", ".join(f"{test.auc - test.other_auc:+.4f} (p {test.p:.2g})" for test in tests)
    return f"calibration, by seed: {', '.join(f'{ratio:.4f}' for ratio in ratios)} of the first's; AUC {apart}"


def _cell(values: Sequence[float]) -> str:
    return f"{np.mean(values):.6g}" + (f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else "")


def main(argv: Sequence[str]) -> None:
    """Prints the table in Markdown."""
    del argv
    out, raw = Path(flags.FLAGS.out), Path(flags.FLAGS.out) / "rows.csv"
    out.mkdir(parents=True, exist_ok=True)
    if not raw.exists():
        write_rows(raw, flags.FLAGS.rows)
    fields = [{"name": f"f{number}", "kind": "categorical"} for number in range(len(LEVELS))]
    form = parse_schema({"label": "click", "fields": fields}, "the schema")
    found: dict[str, list[Measured]] = {}
    for text in flags.FLAGS.rates:
        for seed in range(flags.FLAGS.seeds):
            data_dir = out / f"data-{text}-{seed}"
            build(Options(*form, negative_rate=float(text), seed=seed), [raw], data_dir)
            run = out / f"{flags.FLAGS.model}-{text}-{seed}"
            found.setdefault(text, []).append(measured(data_dir, run, flags.FLAGS.model, seed))
    names = list(next(iter(found.values()))[0].figures)
    print(f"| share of negatives | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for text, runs in found.items():
        print(f"| {text} | {' | '.join(_cell([one.figures[name] for one in runs]) for name in names)} |")
    first, *others = found
    for text in others:
        print(f"{text} against {first}: {differences(found[first], found[text])}")


if __name__ == "__main__":
    flags.DEFINE_integer("rows", 1_000_000, "Rows.", lower_bound=1000)
    flags.DEFINE_string("out", None, "Where everything goes; finished steps are not repeated.", required=True)
    flags.DEFINE_list("rates", ["1", "0.1"], "Shares of the negatives of train.")
    flags.DEFINE_string("model", "logistic_regression", "The model.")
    flags.DEFINE_integer("seeds", 3, "Seeds of each.", lower_bound=1)
    flags.DEFINE_float("epochs", 10.0, "Epochs at most.", lower_bound=0.01)
    flags.DEFINE_enum("calibration", "none", ["none", "temperature", "isotonic"], "As config.calibration, of each.")
    flags.DEFINE_integer("patience", 6, "Evaluations without a lower validation LogLoss.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 0.1, "Of the logistic regression.", lower_bound=0.0)
    flags.DEFINE_float("l2", 0.0, "Of the logistic regression's weights.", lower_bound=0.0)
    run_main(main)
