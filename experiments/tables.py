"""The default config, `--config=tabular`, on real tables beside gradient boosting:

python -m experiments.tables --data=DIR --out=runs/tables [--tables=NAME,..] [--models=MODEL,..] [--seeds=3]

DIR has a folder for each table, such as kdd2012/train.csv.gz, which are public and not part of this repository. Every
table is prepared, compared by `ada_ensemble_tf.compare` and fitted by `experiments.gradient_boosting`, each in its
folder below --out. What is there already is not done again. All tables come with one seed before any with the others.
With --summary_only, only the table of what is there is printed.
"""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from ada_ensemble_tf.comparison.runs import PROBABILITIES
from ada_ensemble_tf.comparison.significance import LEVEL, against_best
from ada_ensemble_tf.trained.run_files import load_results
from data_pipelines.errors import UserError, run_main
from data_pipelines.read.preparation import load_complete

BASELINE = "logistic_regression"
BOOSTING = "gradient_boosting"


@dataclasses.dataclass(frozen=True)
class RawTable:
    """A table: its raw file below --data, and what `prepare` is told besides."""

    raw: str
    options: tuple[str, ...]


def _tabular(name: str) -> RawTable:
    return RawTable(f"{name}/train.csv.gz", ("--dataset=tabular", f"--schema=experiments/schemas/{name}.json"))


TABLES = {
    "kdd2012": _tabular("kdd2012"),
    "frappe": RawTable("frappe/frappe.csv", ("--dataset=tabular", "--schema=experiments/frappe_schema.json")),
    "avazu_hour": RawTable("avazu_hour/train.csv.gz", ("--dataset=avazu",)),
    "ml_tag": _tabular("ml_tag"),
    "nycflights13": _tabular("nycflights13"),
    "movielens_1m": _tabular("movielens_1m"),
    "census_income_kdd": _tabular("census_income_kdd"),
    "avazu_days": RawTable("avazu_days/train.csv.gz", ("--dataset=avazu", "--split_by=hour")),
    "criteo": RawTable("criteo/train.txt", ("--dataset=criteo",)),
}
"""By name, in the order in which they are done."""


def steps(name: str, data: Path, out: Path, models: Sequence[str], seeds: int) -> list[list[str]]:
    """The commands for one table that are not done yet."""
    table, folder = TABLES[name], out / name
    raw, data_dir, boosted = data / table.raw, folder / "data", folder / f"{BOOSTING}.json"
    commands = []
    if not data_dir.exists():
        prepare = [*table.options, f"--raw={raw}", f"--data_dir={data_dir}", "--min_count=2"]
        commands.append(["data_pipelines.prepare", *prepare])
    done = [folder / "compare" / model / f"seed_{seed}" / "run.json" for model in models for seed in range(seeds)]
    if not all(file.exists() for file in done):
        compare = ["--config=tabular", f"--models={','.join(models)}", f"--seeds={seeds}"]
        compare += [f"--data_dir={data_dir}", f"--out={folder / 'compare'}"]
        commands.append(["ada_ensemble_tf.compare", *compare])
    if not boosted.exists() or len(json.loads(boosted.read_text())) < seeds:
        boost = [f"--data_dir={data_dir}", f"--raw={raw}", f"--seeds={seeds}", f"--out={boosted}"]
        commands.append(["experiments.gradient_boosting", *boost])
    return commands


def summary(out: Path, models: Sequence[str], seeds: int) -> str:
    """A table in Markdown of what is done: test AUC and LogLoss, and the verdict on each model against the baseline."""
    lines = ["| table | model | AUC | LogLoss | calibration | seeds | AUC - LR | p DeLong (Holm) | |", "|---" * 9 + "|"]
    for name in TABLES:
        folder = out / name
        if not (folder / "data").exists():
            continue
        _, preparation = load_complete(folder / "data")
        lines += _of_table(f"{name}, {sum(preparation.rows.values()):,} rows", folder, models, seeds)
    return "\n".join(lines)


def _of_table(title: str, folder: Path, models: Sequence[str], seeds: int) -> list[str]:
    runs = {
        model: {seed: run for seed in range(seeds) if (run := folder / "compare" / model / f"seed_{seed}").exists()}
        for model in models
    }
    done = {model: {s: run for s, run in found.items() if (run / "run.json").exists()} for model, found in runs.items()}
    done = {model: found for model, found in done.items() if found}
    verdicts = {}
    if BASELINE in done:
        files = {model: {seed: run / PROBABILITIES for seed, run in found.items()} for model, found in done.items()}
        verdicts = against_best(files, folder / "compare" / "test_labels.npy", BASELINE)
    tests = {model: [load_results(run)["test"] for run in found.values()] for model, found in done.items()}
    if (boosted := folder / f"{BOOSTING}.json").exists():
        tests[BOOSTING] = [one["test"] for one in json.loads(boosted.read_text())]
    lines = []
    for model, figures in sorted(tests.items(), key=lambda item: -np.mean([one["auc"] for one in item[1]])):
        cells = [_spread([one[key] for one in figures], 4) for key in ("auc", "logloss")]
        cells += [_spread([one["calibration"] for one in figures], 3), str(len(figures)), "", "", ""]
        if (verdict := verdicts.get(model)) is not None and verdict.p_delong_holm is not None:
            beyond = verdict.p_delong_holm < LEVEL
            said = "≈" if not beyond else ">" if verdict.difference > 0 else "<"
            cells[4:] = [f"{verdict.difference:+.4f}", f"{verdict.p_delong_holm:.2g}", said]
        lines.append(f"| {title} | `{model}` | {' | '.join(cells)} |")
        title = ""
    return lines


def _spread(values: Sequence[float], digits: int) -> str:
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def main(argv: Sequence[str]) -> None:
    """Does what is not done, then prints the summary."""
    del argv
    given = flags.FLAGS
    out, failed = Path(given.out), []
    if unknown := [name for name in given.tables if name not in TABLES]:
        raise UserError(f"--tables: there is no table {unknown[0]!r}; there are {', '.join(TABLES)}")
    if BASELINE not in given.models:
        raise UserError(
            f"--models={','.join(given.models)}: {BASELINE}, with which all are compared, must be among them"
        )
    if not given.summary_only:
        for seeds in sorted({1, given.seeds}):
            for name in given.tables:
                for module, *arguments in steps(name, Path(given.data), out, given.models, seeds):
                    print("python -m", module, *arguments, flush=True)
                    if subprocess.run([sys.executable, "-m", module, *arguments]).returncode:
                        failed.append(f"{name}: {module}")
                        break
    print(summary(out, given.models, given.seeds))
    if failed:
        raise UserError(f"failed: {'; '.join(failed)}; see above")


if __name__ == "__main__":
    flags.DEFINE_string("data", "../shared/data", "The folder of the raw tables.")
    flags.DEFINE_string("out", None, "Where everything goes.", required=True)
    flags.DEFINE_list("tables", list(TABLES), "Which tables, in which order.")
    flags.DEFINE_list("models", [BASELINE, "dnn", "dcn_v2", "ada_ensemble"], "Which models.")
    flags.DEFINE_integer("seeds", 3, "Seeds of each.", lower_bound=1)
    flags.DEFINE_bool("summary_only", False, "Print what is there, and do nothing.")
    run_main(main)
