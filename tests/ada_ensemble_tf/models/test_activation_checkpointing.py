"""Models whose backward pass computes layers again train as they do otherwise."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_checks import FIELDS, INPUTS, LABELS
from small_ada_ensemble import small_model, some_ids, some_labels

from ada_ensemble_tf.models import DHEN, DenseMoE
from ada_ensemble_tf.models.keys import keys_of

SMALL_DHEN = {"dimension": 4, "num_layers": 2, "num_outputs": 2, "dlrm_units": (5,), "numeric_units": (3,)}


def ada_ensemble(**arguments):
    sizes = {"num_layers": 2, "experts": ("dense", "cross"), "gate": {"reduction": 2, "dropout": 0.2}}
    return small_model(**sizes, dropout=0.3, decorrelation_weight=0.1, z_weight=1e-3, **arguments)


def dense_moe(**arguments):
    keras.utils.set_random_seed(3)
    experts = ("dense", "cross")
    sizes = {"num_rows": 60, "num_fields": 10, "dimension": 4, "num_layers": 2}
    return DenseMoE(**sizes, experts=experts, expert_normalization="output", **arguments)


def dhen(**arguments):
    keras.utils.set_random_seed(3)
    options = {"normalization": "batch", "dropout": 0.3, "numeric_modules": ("linear",)}
    return DHEN(**FIELDS, **SMALL_DHEN, **options, **arguments)


def bilevel_element():
    rows = (some_ids(), some_labels())
    two = tf.nest.map_structure(lambda x: tf.stack([x, x[::-1]]), rows)
    return {"train": two, "gate": rows}


CASES = {
    # The gate update of "compared" runs layers in inference mode and still needs their gradients.
    "bilevel": (lambda **a: ada_ensemble(depth_objective="compared", **a), bilevel_element),
    "joint": (dense_moe, lambda: (some_ids(), some_labels())),
    "dhen": (dhen, lambda: (INPUTS, LABELS)),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_updates_are_those_of_the_model_that_keeps_everything(case):
    make, element = CASES[case]
    models, logs = [make(), make(activation_checkpointing=True)], []
    for model in models:
        model.compile(*(keras.optimizers.SGD(0.05) for _ in range(3 if model.gate_variables else 2)))
        # Tracing takes most of the time, so that only two of them run in a graph.
        step = tf.function(model.training_logs, autograph=False) if case in ("joint", "dhen") else model.training_logs
        rows = element()
        logs.append([step(rows) for _ in range(2)])
    for plain, other in zip(*logs, strict=True):
        assert plain.keys() == other.keys()
        for name, value in plain.items():
            np.testing.assert_allclose(other[name], value, rtol=2e-6, atol=2e-6, err_msg=name)
    for plain, other in zip(*(model.variables for model in models), strict=True):
        np.testing.assert_allclose(other, plain, rtol=2e-6, atol=2e-6, err_msg=plain.path)
    assert models[1].get_config()["activation_checkpointing"] is True


def test_it_is_a_config_key_of_the_models_that_stack_layers():
    for model in (DHEN, DenseMoE):
        assert keys_of(model)["activation_checkpointing"].default is False
    with pytest.raises(ValueError, match="activation_checkpointing must be True or False; received 'yes'"):
        dhen(activation_checkpointing="yes")
