from pathlib import Path

import numpy as np
import pytest
from made_up_results import made_up_results

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.delong import delong
from ada_ensemble_tf.reporting.baselines import difference, logloss_difference, simple_model_beside
from data_pipelines.json_files import save_json


def test_the_difference_is_that_of_the_metrics_with_delongs_interval():
    rng = np.random.default_rng(3)
    p = rng.random(900)
    y, other = (rng.random(900) < p).astype(np.float64), np.clip(p + rng.normal(0, 0.1, 900), 0.01, 0.99)
    found, tested = difference(y, p, other), delong(y, p, other)
    assert found.auc.value == pytest.approx(metrics.auc(y, p) - metrics.auc(y, other))
    assert found.auc.high - found.auc.value == pytest.approx(1.959964 * tested.standard_error)
    assert found.logloss.value == pytest.approx(metrics.logloss(y, p) - metrics.logloss(y, other))
    # Independent draws of the rows: the interval's half width is 1.96 standard deviations of their means.
    losses = [metrics.logloss(y[i : i + 1], p[i : i + 1]) - metrics.logloss(y[i : i + 1], other[i : i + 1])
              for i in range(900)]  # fmt: skip
    drawn = rng.choice(losses, (4000, 900)).mean(axis=1).std()
    assert found.logloss.high - found.logloss.value == pytest.approx(1.96 * drawn, rel=0.05)
    assert not (found.better and found.worse)


def test_a_row_of_weight_two_counts_twice():
    y, p, q = np.array([1.0, 0.0, 1.0]), np.array([0.7, 0.2, 0.4]), np.array([0.6, 0.3, 0.5])
    weighted = logloss_difference(y, p, q, np.array([1.0, 1.0, 2.0]))
    twice = np.array([0, 1, 2, 2])
    assert weighted.value == pytest.approx(logloss_difference(y[twice], p[twice], q[twice]).value)


def test_rows_of_one_label_have_no_difference_of_auc():
    found = difference(np.ones(3), np.array([0.5, 0.6, 0.7]), np.array([0.1, 0.2, 0.3]))
    assert np.isnan(found.auc.value) and found.logloss.value < 0.0 and found.better


def made_up_run(folder, model="logistic_regression", fingerprint="0123", done=True):
    folder.mkdir(parents=True)
    save_json(folder / "model.json", {"model": model, "arguments": {}})
    save_json(folder / "data.json", {"data_dir": "data", "fingerprint": fingerprint})
    if done:
        save_json(folder / "metrics.json", made_up_results())
    return folder


def test_a_logistic_regression_of_the_same_data_is_found_beside_a_model(tmp_path):
    mine = made_up_run(tmp_path / "ada", "ada_ensemble")
    made_up_run(tmp_path / "a", fingerprint="other")
    made_up_run(tmp_path / "b", "dnn")
    made_up_run(tmp_path / "c", done=False)
    damaged = made_up_run(tmp_path / "d")
    (damaged / "model.json").write_text("{")
    assert simple_model_beside(mine, "0123") is None
    beside = made_up_run(tmp_path / "lr")
    assert simple_model_beside(mine, "0123") == beside
    assert simple_model_beside(beside, "0123") is None


def test_a_neighbour_is_named_as_its_model_is(tmp_path, monkeypatch):
    made_up_run(tmp_path / "runs" / "ada", "ada_ensemble")
    beside = made_up_run(tmp_path / "runs" / "lr")
    monkeypatch.chdir(tmp_path)
    assert simple_model_beside(Path("runs/ada"), "0123") == Path("runs/lr")
    monkeypatch.chdir(tmp_path / "runs")
    assert simple_model_beside(Path("ada"), "0123") == Path("lr")
    monkeypatch.chdir(tmp_path / "runs" / "ada")
    assert simple_model_beside(Path("."), "0123") == beside


def test_in_a_comparison_it_is_the_one_of_the_same_seed(tmp_path):
    mine = made_up_run(tmp_path / "dnn" / "seed_1", "dnn")
    made_up_run(tmp_path / "lr" / "seed_0")
    same = made_up_run(tmp_path / "lr" / "seed_1")
    assert simple_model_beside(mine, "0123") == same
