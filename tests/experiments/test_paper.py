"""The paper's settings and its table."""

import pytest
from command_line import error_of, run

from ada_ensemble_tf.models import MODELS
from experiments import studies
from experiments.paper import STUDIES, TABLE_1, expected


def test_table_1():
    assert TABLE_1.keys() <= MODELS.keys() and len(TABLE_1) == 14
    assert expected("avazu")["xdeepint"] == (0.7672, 0.3876)
    assert expected("ipinyou")["logistic_regression"] == (0.7692, 0.005605)
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


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_studies_have_the_papers_rows(name):
    assert STUDIES[name].keys() == getattr(studies, name)().keys()


def test_a_study_beside_several_comparisons(tmp_path):
    header = "label,auc_mean,auc_std,logloss_mean,logloss_std,flops_per_example\n"
    rows_of = {
        "a": "with_controller,0.9,0.01,0.3,0.02,250000\nbest,1,,0,,\n",
        "b": "without_controller,0.8,,0.4,,1500000\n",
    }
    for place, rows in rows_of.items():
        (tmp_path / place).mkdir()
        (tmp_path / place / "table.csv").write_text(header + rows)
    tables = ",".join(str(tmp_path / place / "table.csv") for place in "ab")
    printed = run("experiments.paper", "--study=paper_table3", f"--table={tables}").splitlines()
    assert printed[0].count("FLOPs") == 3
    assert printed[2:] == [
        "| with_controller | 0.8132 | 0.4394 | 6.02 M | 0.9000 ± 0.0100 | 0.3000 ± 0.0200 | 0.250 M |  |  |  |",
        "| without_controller | 0.8128 | 0.4396 | 8.58 M |  |  |  | 0.8000 | 0.4000 | 1.500 M |",
        "| best |  |  |  | 1.0000 | 0.0000 |  |  |  |  |",
    ]


def test_missing_table_says_how_to_make_it(tmp_path):
    error = error_of("experiments.paper", "--data_set=criteo", f"--table={tmp_path}/table.csv")
    assert "no such file; make it with python -m ada_ensemble_tf.compare" in error
