import pytest
from hparams_table import hparams_table

from ada_ensemble_tf.comparison.comparing import plan
from ada_ensemble_tf.comparison.hparams import write_hparams

RESULTS = {"best_step": 30, "validation": {"auc": 0.75, "logloss": 0.5, "rows": 9}}


def test_rows_of_different_values_make_one_table(tmp_path):
    write_hparams(tmp_path / "a", {"seed": 0, "rate": 0.5, "experts": ["dense", "cross"], "fast": True}, RESULTS)
    write_hparams(tmp_path / "b", {"seed": 1, "l1": 2}, RESULTS | {"test": {"auc": 0.7, "logloss": 0.625}})
    columns, rows = hparams_table(tmp_path)
    assert columns == {"validation/auc", "validation/logloss", "test/auc", "test/logloss"}
    assert rows["a"][0] == {"seed": 0, "rate": 0.5, "experts": "['dense', 'cross']", "fast": True}
    assert rows["a"][1] == {"validation/auc": 0.75, "validation/logloss": 0.5}
    assert rows["b"][0] == {"seed": 1, "l1": 2} and rows["b"][1]["test/auc"] == pytest.approx(0.7)


def test_the_plan_of_a_comparison_tells_its_runs_apart(tmp_path):
    rate = "embedding_optimizer.learning_rate"
    variants = {
        "slow": ("logistic_regression", {rate: 0.01}),
        "as_it_is": ("logistic_regression", {}),
        "deep": ("dnn", {"model.dropout": 0.5}),
    }
    runs = plan("experiments/criteo.py", variants, {"batch_size": 64}, 2, tmp_path, tmp_path / "out")
    hparams = {(run.label, run.seed): run.hparams for run in runs}
    assert hparams["slow", 1] == {"label": "slow", "model": "logistic_regression", "seed": 1, rate: 0.01}
    default = next(run for run in runs if run.label == "as_it_is").config["embedding_optimizer"]["learning_rate"]
    assert hparams["as_it_is", 0][rate] == default != 0.01
    assert hparams["deep", 0]["model.dropout"] == 0.5 and "model.dropout" not in hparams["slow", 0]
