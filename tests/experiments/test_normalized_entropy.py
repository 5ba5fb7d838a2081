import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.models import MODELS
from ada_ensemble_tf.reporting.learning_curves import Curve
from data_pipelines.errors import UserError
from experiments import studies
from experiments.normalized_entropy import PAPER, at_shares, lines

STEPS = np.array([100, 200, 300])


@pytest.mark.parametrize("name", sorted(PAPER))
def test_studies_have_the_papers_rows(name):
    assert PAPER[name].keys() == getattr(studies, name)().keys()


def test_differences_at_shares_of_the_shortest_training_by_hand():
    curves = {
        "dlrm": [Curve(STEPS, np.array([0.5, 0.4, 0.4])), Curve(STEPS, np.array([0.7, 0.6, 0.6]))],
        "moe_4": [Curve(STEPS[:2], np.array([0.57, 0.495]))],
    }
    # The shortest has 200 steps: nothing by step 50, then 0.57 against 0.6 and 0.495 against 0.5.
    found = at_shares(curves, "dlrm")
    np.testing.assert_allclose(found["moe_4"], [np.nan, -5.0, -1.0])
    np.testing.assert_allclose(found["dlrm"], [np.nan, 0.0, 0.0])


def test_the_table():
    row = {"normalized_entropy_mean": "0.8", "flops_per_example": "2e6"}
    rows = {"dlrm": row, "moe_4": row | {"normalized_entropy_mean": "0.792"}, "dhen_2": dict.fromkeys(row, "")}
    curve = [Curve(STEPS, np.array([0.5, 0.5, 0.5]))]
    table = lines("dhen_table3", rows, {"dlrm": curve, "moe_4": curve})
    assert table[2:] == [
        "| dlrm | 2.00 M | baseline |  | +0.000 % | +0.000 % | +0.000 % |",
        "| moe_4 | 2.00 M | -0.06 % |  | +0.000 % | +0.000 % | -1.000 % |",
        "| dhen_2 | failed | -0.11 % |  |  |  |  |",
    ]
    assert lines("dhen_table3", rows, {})[2] == "| dlrm | 2.00 M | baseline | +0.000 % |"
    with pytest.raises(UserError, match="dhen_table3: its baseline 'dlrm' has no result yet"):
        lines("dhen_table3", {"moe_4": row}, {})


def test_experts_and_layers_of_table_3_cost_what_the_study_says():
    flops = {}
    for label, (model, values) in studies.dhen_table3().items():
        arguments = {key.removeprefix("model."): value for key, value in values.items()}
        one = MODELS[model](num_rows=2, num_fields=39, **arguments)
        flops[label] = float(one.forward(tf.zeros([1, 39], tf.int32)).flops)
    assert flops["moe_4"] / flops["dhen_2"] == pytest.approx(1.0, abs=0.04)
    assert flops["moe_8"] / flops["dhen_4"] == pytest.approx(1.0, abs=0.04)
    assert flops["moe_16"] / flops["dhen_6"] == pytest.approx(1.4, abs=0.05)
