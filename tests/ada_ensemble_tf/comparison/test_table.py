import csv
import io

import numpy as np
import pytest
from made_up_results import made_up_results

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.runs import PROBABILITIES, Run
from ada_ensemble_tf.comparison.table import Table
from data_pipelines.json_files import save_json

LABELS = np.array([0, 1, 0, 1, 1, 0] * 20, np.float32)


def finished(folder, label: str, seed: int, quality: float, correlation: dict) -> Run:
    """A run with the files of a finished one."""
    folder = folder / label / f"seed_{seed}"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed).normal(size=len(LABELS))
    save_array(folder / PROBABILITIES, (1 / (1 + np.exp(-(quality * LABELS + noise)))).astype(np.float32))
    test = {"auc": 0.7 + quality / 100, "logloss": 0.5, "normalized_entropy": 0.9, "calibration": 1.0}
    metrics = {
        "test": test, "parameters": 10, "flops_per_example": 20.0, "examples_per_second": 30.0, "best_step": 40,
        "versions": {"tensorflow": "2.21"}, "expert_correlation": correlation,
    }  # fmt: skip
    save_json(folder / "metrics.json", made_up_results(**metrics))
    save_json(folder / "run.json", {"jobs": 1})
    return Run(label, {"model": {"name": label}, "seed": seed}, folder, folder)


@pytest.fixture
def make_table(tmp_path):
    save_array(tmp_path / "labels.npy", LABELS)
    return lambda runs: Table(runs, {}, {"command": "compare"}, tmp_path / "labels.npy")


def test_correlation_is_a_column_where_a_model_has_experts(tmp_path, make_table):
    alike = [{"layer_1": {"absolute": 0.9}, "all": {"absolute": value}} for value in (0.5, 0.7)]
    runs = [finished(tmp_path, "mixture", seed, 2.0, alike[seed]) for seed in (0, 1)]
    runs += [finished(tmp_path, "plain", seed, 1.0, {}) for seed in (0, 1)]
    table = make_table(runs)
    lines = table.markdown(table.rows()).splitlines()
    assert next(line for line in lines if line.startswith("|  | AUC")).endswith("| mark | expert correlation |")
    assert next(line for line in lines if line.startswith("| mixture")).endswith("| best | 0.600 |")
    assert next(line for line in lines if line.startswith("| plain")).endswith("|  |")
    written = {row["label"]: row for row in csv.DictReader(io.StringIO(table.csv(table.rows())))}
    assert float(written["mixture"]["expert_correlation"]) == pytest.approx(0.6)
    assert written["plain"]["expert_correlation"] == ""


def test_no_column_where_none_has(tmp_path, make_table):
    table = make_table([finished(tmp_path, "plain", seed, 1.0, {}) for seed in (0, 1)])
    assert "expert correlation" not in table.markdown(table.rows())
