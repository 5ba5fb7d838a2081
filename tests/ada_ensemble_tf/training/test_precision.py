"""Training in bfloat16: every model compared with its float32 twin, and what must stay float32."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.layers.precision import layers_of
from ada_ensemble_tf.models import MODELS, CTRModel
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.serving.signatures import ServedModel
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.run import score_split, train
from ada_ensemble_tf.training.setup import build_model
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import open_data

# Fields: one column of rows 0 to 2, three columns of rows 3 to 5, and a value whose row is 7.
FIELDS = {"num_rows": 9, "num_fields": 3, "widths": (1, 3, 1), "value_rows": [(2, 7)]}
INPUTS = {
    "ids": tf.constant([[1, 4, -1, -1, 7], [2, 3, 5, -1, 8], [0, 3, 4, 5, 6], [1, 3, 4, -1, 7]]),
    "values": tf.constant([[2.5], [0.0], [0.0], [-1.0]]),
}
LABELS = tf.constant([1.0, 0.0, 0.0, 1.0])
NO_ROWS = tf.nest.map_structure(lambda x: x[:0], INPUTS)
SMALL = {
    "dimension": 4,
    "num_layers": 2,
    "depth_prior": (0.5, 0.5),
    "gate": {"reduction": 2},
    "hidden_units": (8, 6),
    "feature_maps": (3, 2),
    "num_outputs": 3,
    "dlrm_units": (5,),
    "numeric_units": (3,),
    "attention_size": 4,
    "subspaces": 2,
    "expert_size": 4,
    "rank_experts": 3,
    "query_rank": 2,
}
SUMS_OF_WEIGHTS = ("logistic_regression", "factorization_machine")
"""Models that compute nothing but a logit, so that no part of them is bfloat16."""


def small_model(name: str, precision: str, **arguments) -> CTRModel:
    known = config_for(name).model.to_dict()
    del known["name"]
    known = {key: SMALL.get(key, value) for key, value in known.items() if not key.endswith("_epochs")}
    with layers_of({"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]):
        return MODELS[name](**FIELDS, **known | arguments)


def twins(name: str, **arguments) -> tuple[CTRModel, CTRModel]:
    """A model in float32 and in bfloat16, with the same random weights."""
    twin, model = (small_model(name, precision, **arguments) for precision in ("float32", "bfloat16"))
    rng = np.random.default_rng(0)
    for weight, other in zip(twin.weights, model.weights, strict=True):
        value = weight.numpy()
        if weight.dtype == "float32":
            value = 0.5 * rng.normal(size=weight.shape)
            # Positive biases keep the ReLUs on.
            value = np.abs(value) + 0.5 if weight.path.endswith(("variance", "bias", "beta")) else value
        weight.assign(value)
        other.assign(value)
    return twin, model


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_in_bfloat16(name):
    twin, model = twins(name)
    forward, exact = model.forward(INPUTS), twin.forward(INPUTS)
    assert forward.logit.dtype == forward.flops.dtype == tf.float32
    np.testing.assert_allclose(forward.logit, exact.logit, rtol=5e-2, atol=5e-2)
    np.testing.assert_array_equal(model(INPUTS), tf.sigmoid(forward.logit))
    if name in SUMS_OF_WEIGHTS:
        np.testing.assert_array_equal(forward.logit, exact.logit)
    else:
        assert (forward.logit.numpy() != exact.logit.numpy()).any()
    for place, report in forward.reports.items():
        assert {x.dtype for x in report if tf.is_tensor(x) and x.dtype.is_floating} == {tf.float32}, place
    assert model.forward(NO_ROWS, training=True).logit.shape == (0,)

    model.compile(GroupFtrl(0.05, l1=0.0), keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01), run_eagerly=True)
    variables = model.trainable_variables
    (gradients,), logs = model.compute_gradients(INPUTS, LABELS, [variables], "update")
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None and gradient.dtype == tf.float32, variable.path
        if any(variable is table for table in model.embedding_variables):
            assert isinstance(gradient, tf.IndexedSlices), variable.path
    assert int(logs["first_bad"]) == -1
    assert {x.dtype for x in logs.values() if x.dtype.is_floating} == {tf.float32}
    before = [variable.numpy() for variable in variables]
    model.train_step((INPUTS, LABELS))
    assert any((v.numpy() != old).any() for v, old in zip(variables, before, strict=True))
    kept = [v.dtype for v in model.variables + model.optimizer_variables if v.dtype.startswith(("float", "bfloat"))]
    assert set(kept) == {"float32"}
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)


@pytest.mark.parametrize("dispatcher", ["sparse", "dense", "vector_fusion", "bit_fusion"])
def test_gates_and_fusions_are_float32(dispatcher):
    twin, model = twins("ada_ensemble", dispatcher=dispatcher, num_layers=1, depth_prior=(1.0,))
    layer, x0 = model.moe_layers[0], tf.cast(tf.random.stateless_normal([7, 12], [1, 2]), tf.bfloat16)
    output, report, _ = layer(x0, x0, k=2)
    exact, exact_report, _ = twin.moe_layers[0](tf.cast(x0, tf.float32), tf.cast(x0, tf.float32), k=2)
    assert output.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(output, tf.float32), exact, rtol=5e-2, atol=5e-2)
    # The gate sees the digits of x0 and loses none.
    for name, value, expected in zip(report._fields, report, exact_report, strict=True):
        np.testing.assert_array_equal(value, expected, err_msg=name)
    if layer.gate is not None:
        assert layer.gate(x0, k=2)[0].dtype == tf.float32


def test_the_previous_policy_is_restored(prepared_criteo):
    config, data = config_for("dnn"), open_data(prepared_criteo)
    config.precision = "bfloat16"
    model = build_model(config, data)
    assert model.dtype_policy.name == model.mlp.dense_layers[0].dtype_policy.name == "mixed_bfloat16"
    assert model.estimator.dtype_policy.name == "float32"
    assert keras.config.dtype_policy().name == "float32"
    config.model.dimension = 0
    with pytest.raises(UserError, match="config.model.dimension must be a whole number of at least 1; received 0"):
        build_model(config, data)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("precision", ["float16", "mixed_bfloat16", ""])
def test_another_precision_is_one_clear_error(prepared_criteo, precision):
    config = config_for("dnn")
    config.precision = precision
    with pytest.raises(UserError, match=f"config.precision: must be one of float32, bfloat16; received '{precision}'"):
        build_model(config, open_data(prepared_criteo))


@pytest.mark.parametrize("name", ["ada_ensemble", "ensemble"])
def test_saved_models_keep_their_precision(name, tmp_path):
    _, model = twins(name)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
    config = json.loads(json.dumps(model.get_config()))
    rebuilt = type(model).from_config(config)
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_array_equal(rebuilt(INPUTS), model(INPUTS))
    assert again.get_config() == rebuilt.get_config() == model.get_config()
    # What was saved without a precision was trained in float32.
    del config["dtype"]
    assert type(model).from_config(config).dtype_policy.name == "float32"


def test_a_run_is_evaluated_and_served_as_it_was_trained(prepared_criteo, tmp_path):
    config, data = config_for("dnn"), open_data(prepared_criteo)
    config.update({"precision": "bfloat16", "batch_size": 512, "eval_batch_size": 512, "max_epochs": 1.0})
    config.model.update({"dimension": 4, "hidden_units": (16,)})
    results = train(config, data, tmp_path)
    workdir = Workdir(tmp_path)
    model = workdir.load_model()
    assert model.dtype_policy.name == "mixed_bfloat16"
    figures, _ = score_split(Scorer(model), data.evaluation("test", 512), data)
    assert figures == results["test"]
    served = ServedModel(model, workdir.schema(), tmp_path)
    text = {name: tf.constant(["", "7", "2"]) for name in served.arguments.values()}
    ids = served.encoder({column: text[name] for column, name in served.arguments.items()})
    # As close as two graphs of the same float32 sums come, which is far closer than bfloat16 to float32.
    np.testing.assert_allclose(served.signature(**text)["ctr"], Scorer(model)(ids), rtol=1e-5)
