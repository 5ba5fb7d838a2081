import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_checks import FIELDS, INPUTS, PLAIN, PLAIN_INPUTS, randomize
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.configs import published
from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.models import AdaEnsemble, DenseMoE

SMALL = {"dimension": 4, "num_layers": 2, "experts": ("dense", "cross", "polynomial")}


def test_is_ada_ensemble_that_keeps_every_expert():
    dense = DenseMoE(**FIELDS, **SMALL)
    sparse = AdaEnsemble(**FIELDS, **PUBLISHED_LAYERS | SMALL | {"k": 3})
    randomize(dense)
    sparse.set_weights(dense.get_weights())
    one, other = dense.forward(INPUTS), sparse.forward(INPUTS)
    np.testing.assert_allclose(one.logit, other.logit, rtol=1e-4, atol=1e-5)
    for report in (one.reports["layer_1"], other.reports["layer_1"]):
        np.testing.assert_array_equal(report.routed, [1.0, 1.0, 1.0])
    assert float(one.flops) == float(other.flops)


def test_every_expert_stays_on_while_depth_is_annealed():
    model = DenseMoE(**PLAIN, **SMALL, anneal_steps=4)
    for step in (0, 3, 100):
        model.step.assign(step)
        report = model.forward(PLAIN_INPUTS, training=True).reports["layer_1"]
        np.testing.assert_array_equal(report.routed, [1.0, 1.0, 1.0])
    assert model.annealing_steps() == 4


def test_saved_and_loaded(tmp_path):
    model = DenseMoE(**FIELDS, **SMALL, depth_schedule={"values": [2, 1], "boundaries": [3]}, name="mine")
    randomize(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is DenseMoE and again.get_config() == model.get_config()
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
    config = json.loads(json.dumps(DenseMoE(**PLAIN, **SMALL).get_config()))
    assert DenseMoE.from_config(config).input_signature == tf.TensorSpec([None, 3], tf.int32)


def test_takes_its_config():
    arguments = config_for("dense_moe").model.to_dict()
    assert arguments.pop("name") == "dense_moe"
    for kind in ("anneal", "load_anneal"):
        arguments[f"{kind}_steps"] = int(10 * arguments.pop(f"{kind}_epochs"))
    assert DenseMoE(**PLAIN, **arguments).num_layers == 4


def test_has_the_papers_layers():
    model = config_for("dense_moe").model
    paper = {key: value for key, value in published.LAYERS.items() if key != "k"}
    assert {key: model[key] for key in paper} == paper


def test_a_k_is_refused():
    with pytest.raises(TypeError, match="DenseMoE has no argument k; it has"):
        DenseMoE(**PLAIN, **SMALL, k=2)
    with pytest.raises(TypeError, match="gate_reductions"):
        DenseMoE(**PLAIN, **SMALL, gate_reductions=4)
