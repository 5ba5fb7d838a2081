"""Prints the summary of `make train`: the models' test figures, the best possible ones, and what to open next.

python -m experiments.summary --run=runs/synthetic [--truth=runs/synthetic/train.txt.json]
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from ada_ensemble_tf.trained.run_files import load_results
from data_pipelines.errors import run_main
from data_pipelines.truth import load_truth


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    del argv
    run = Path(flags.FLAGS.run)
    rows = []
    for file in sorted(run.glob("*/metrics.json")):
        metrics = load_results(file.parent)
        if "test" not in metrics:
            continue
        rows.append(
            (file.parent.name, metrics["test"]["auc"], metrics["test"]["logloss"], metrics["flops_per_example"])
        )
    rows.sort(key=lambda row: row[1])
    best = None
    if flags.FLAGS.truth:
        truth = load_truth(flags.FLAGS.truth)
        best = truth["bayes_auc"]
        if best is not None:
            rows.append(("Bayes-optimal", best, truth["bayes_logloss"], None))
    print(f"\n{'':24}{'test AUC':>10}{'LogLoss':>10}{'MFLOPs':>10}" + (f"{'share of the way':>20}" if best else ""))
    for name, auc, logloss, flops in rows:
        cost = f"{flops / 1e6:.3f}" if flops else ""
        way = f"{(auc - 0.5) / (best - 0.5):.1%}" if best else ""
        print(f"{name:24}{auc:10.4f}{logloss:10.4f}{cost:>10}{way:>20}".rstrip())
    if best:
        print("share of the way: (AUC - 0.5) / (Bayes-optimal AUC - 0.5)")
    print(f"\nmetrics    {run}/ada_ensemble/metrics.json")
    versions = [path for path in (run / "ada_ensemble" / "export").iterdir() if path.name.isdigit()]
    print(f"SavedModel {max(versions, key=lambda path: int(path.name))}")
    print(f"dashboard  .venv/bin/tensorboard --logdir={run}")
    print(f"report     .venv/bin/python -m ada_ensemble_tf.report --workdir={run}/ada_ensemble")


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_string("run", None, "Directory with one working directory per model.", required=True)
    flags.DEFINE_string("truth", None, "File that the generator wrote next to the synthetic rows.")
    run_main(main)
