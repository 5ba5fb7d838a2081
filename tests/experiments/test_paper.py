"""The paper's settings and its table."""

import pytest
from command_line import error_of, run

from ada_ensemble_tf.models import MODELS
from experiments import avazu, criteo, ipinyou
from experiments.paper import TABLE_1, expected

ADAPTIVE = ("ada_ensemble", "dense_moe", "single_expert", "ensemble")


@pytest.mark.parametrize("dataset", [criteo, avazu, ipinyou])
@pytest.mark.parametrize("model", sorted(MODELS))
def test_settings_of_section_4_1_4(dataset, model):
    config = dataset.get_config(model)
    assert (config.batch_size, config.eval_every) == (4096, 2000)
    assert config.model.get("dimension", 16) == 16
    assert config.model.get("l2", 1e-4) == 1e-4
    assert (config.weight_optimizer.name, config.weight_optimizer.learning_rate) == ("adam", 1e-3)
    if model in ("logistic_regression", "factorization_machine"):
        assert config.embedding_optimizer.name == "ftrl"
        assert 1e-2 <= config.embedding_optimizer.learning_rate <= 1e-1
    else:
        assert config.embedding_optimizer.name == ("group_ftrl" if model in ADAPTIVE else "adam")


def test_table_1():
    assert TABLE_1.keys() <= MODELS.keys() and len(TABLE_1) == 14
    assert expected("xdeepint", "avazu") == (0.7672, 0.3876)
    assert expected("logistic_regression", "ipinyou") == (0.7692, 0.005605)
    assert expected("dhen", "criteo") is None
    for column in range(3):
        best = max(TABLE_1, key=lambda model: TABLE_1[model][column][0])
        assert best == "ada_ensemble"


def test_printed_beside_a_comparison(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("label,auc_mean,logloss_mean\ndhen,0.71,0.5\ndnn,,\nlogistic_regression,0.7,0.51\n")
    printed = run("experiments.paper", "--data_set=criteo", f"--table={table}").splitlines()
    assert printed[2:] == [
        "| logistic_regression | 0.7924 | 0.4577 | 0.7000 | 0.5100 |",
        "| dnn | 0.8051 | 0.4461 | failed | failed |",
        "| dhen |  |  | 0.7100 | 0.5000 |",
    ]


def test_missing_table_says_how_to_make_it(tmp_path):
    error = error_of("experiments.paper", "--data_set=criteo", f"--table={tmp_path}/table.csv")
    assert "no such file; make it with python -m ada_ensemble_tf.compare" in error
