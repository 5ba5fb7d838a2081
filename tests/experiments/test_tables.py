"""The comparison of the default config on real tables: what is left to do, and the table of what is done."""

import json

import numpy as np
import pytest
from made_up_results import FIGURES, made_up_results

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.runs import PROBABILITIES
from data_pipelines.formats.tabular import read_schema_file
from data_pipelines.json_files import save_json
from experiments import tables

MODELS = ["logistic_regression", "dnn"]


def run(out, table: str, model: str, auc: float, probabilities: np.ndarray) -> None:
    """What a finished run leaves."""
    folder = out / table / "compare" / model / "seed_0"
    folder.mkdir(parents=True)
    save_json(folder / "metrics.json", made_up_results(test=FIGURES | {"auc": auc}))
    save_array(folder / PROBABILITIES, probabilities.astype(np.float32))
    save_json(folder / "run.json", {"jobs": 1})


def test_only_what_is_missing_is_done(tmp_path):
    out, data = tmp_path / "out", tmp_path / "data"
    commands = tables.steps("kdd2012", data, out, MODELS, 1)
    assert [command[0] for command in commands] == [
        "data_pipelines.prepare",
        "ada_ensemble_tf.compare",
        "experiments.gradient_boosting",
    ]
    assert f"--raw={data}/kdd2012/train.csv.gz" in commands[0] and "--models=logistic_regression,dnn" in commands[1]
    (out / "kdd2012" / "data").mkdir(parents=True)
    run(out, "kdd2012", "dnn", 0.7, np.ones(1))
    save_json(out / "kdd2012" / "gradient_boosting.json", [{}])
    assert [command[0] for command in tables.steps("kdd2012", data, out, MODELS, 1)] == ["ada_ensemble_tf.compare"]
    run(out, "kdd2012", "logistic_regression", 0.7, np.ones(1))
    assert not tables.steps("kdd2012", data, out, MODELS, 1)
    left = [command[0] for command in tables.steps("kdd2012", data, out, MODELS, 2)]
    assert left == ["ada_ensemble_tf.compare", "experiments.gradient_boosting"]


@pytest.mark.parametrize(("noise", "said"), [(0.3, "<"), (0.0, "≈")])
def test_the_summary_says_who_loses_beyond_noise(prepared_criteo, tmp_path, noise, said):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000).astype(np.uint8)
    good = np.clip(0.3 + 0.4 * labels + rng.normal(0.0, 0.3, 2000), 0.0, 1.0)
    other = np.clip(good + noise * rng.normal(0.0, 2.0, 2000) + 1e-3 * rng.random(2000), 0.0, 1.0)
    (tmp_path / "criteo").mkdir()
    (tmp_path / "criteo" / "data").symlink_to(prepared_criteo)
    run(tmp_path, "criteo", "logistic_regression", 0.8, good)
    run(tmp_path, "criteo", "dnn", 0.7, other)
    save_array(tmp_path / "criteo" / "compare" / "test_labels.npy", labels)
    boosted = [{"test": FIGURES | {"auc": auc}} for auc in (0.74, 0.76)]
    (tmp_path / "criteo" / "gradient_boosting.json").write_text(json.dumps(boosted))
    lines = tables.summary(tmp_path, MODELS, 1).splitlines()[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["`logistic_regression`", "`gradient_boosting`", "`dnn`"]
    assert lines[0].startswith("| criteo, 3,000 rows | `logistic_regression` | 0.8000 | 0.5000 | 1.000 | 1 |")
    assert lines[1].startswith("|  | `gradient_boosting` | 0.7500 ± 0.0141 | 0.5000 ± 0.0000 | 1.000 ± 0.000 | 2 |")
    assert lines[2].endswith(f"| {said} |")


def test_every_schema_of_the_tables_can_be_read():
    files = [option.removeprefix("--schema=") for table in tables.TABLES.values() for option in table.options[1:]]
    schemas = [file for file in files if file.endswith(".json")]
    assert len(schemas) == 6 and all(read_schema_file(file)[1] for file in schemas)
