import keras
import numpy as np
import pytest
import small_ada_ensemble
import tensorflow as tf
from small_ada_ensemble import some_labels

from ada_ensemble_tf.evaluation.expert_correlation import ExpertCorrelation
from ada_ensemble_tf.evaluation.metrics import cross_expert_correlation
from ada_ensemble_tf.models import DHEN, AdaEnsemble
from ada_ensemble_tf.moe import SparseMoE

FIELDS, ROWS = 4, 40
SMALL = {"num_rows": ROWS, "num_fields": FIELDS, "num_layers": 2, "gate": {"reduction": 2, "noise": 0.0}}


def small_model(**arguments) -> AdaEnsemble:
    return small_ada_ensemble.small_model(**(SMALL | arguments))


def some_ids() -> tf.Tensor:
    return small_ada_ensemble.some_ids(32, FIELDS, ROWS)


@pytest.mark.parametrize("dispatcher", ["sparse", "dense", "vector_fusion"])
def test_all_rows_at_full_depth(dispatcher):
    model, ids = small_model(dispatcher=dispatcher), some_ids()
    outputs = model.expert_outputs(ids)
    assert list(outputs) == ["layer_1", "layer_2"]
    x = x0 = model.normalize(model.embedding(ids))
    for layer in model.moe_layers:
        for expert, output in zip(layer.experts, outputs[layer.name], strict=True):
            np.testing.assert_allclose(output, expert(x0, x), rtol=1e-5)
        if layer.gate is None:
            mixed = layer.fusion(outputs[layer.name])
        else:
            gates, _ = layer.gate(x0, k=2)
            assert np.all(np.count_nonzero(gates, axis=1) == 2)
            mixed = sum(gates[:, j, None] * output for j, output in enumerate(outputs[layer.name]))
        x = layer.normalize(x + mixed)
    correlation = ExpertCorrelation(model)([(ids, some_labels())], max_rows=20)
    first = cross_expert_correlation([output.numpy()[:20] for output in outputs["layer_1"]])
    assert correlation["layer_1"] == pytest.approx(first, rel=1e-4) and correlation.keys() == {*outputs, "all"}


def test_modules_of_dhen_are_its_experts():
    rows = {"num_rows": ROWS, "num_fields": FIELDS}
    model = DHEN(**rows, dimension=4, num_layers=2, num_outputs=2, ensemble="sum", dlrm_units=(5,))
    ids = some_ids()
    outputs = model.expert_outputs(ids)
    assert [[output.shape for output in layer] for layer in outputs.values()] == [[(32, 8)] * 2] * 2
    x = model.forward(ids).tensors["output of layer_1"]
    last = model.dhen_layers[1]
    combined = tf.reshape(tf.add_n(outputs["layer_2"]), [-1, 2, 4])
    # Both lists have two embeddings, so the shortcut is the identity.
    np.testing.assert_allclose(last.normalize(combined + x), last(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dispatcher", ["sparse", "dense", "bit_fusion"])
def test_decorrelation_is_over_the_rows_that_two_experts_share(dispatcher):
    model, ids = small_model(dispatcher=dispatcher, num_layers=1, decorrelation_weight=0.5), some_ids()
    layer = model.moe_layers[0]
    x0 = model.normalize(model.embedding(ids), training=True)
    outputs = [output.numpy() for output in layer.expert_outputs(x0, x0, training=True)]
    chosen = np.ones((32, 3), bool) if layer.gate is None else layer.gate(x0, k=2, training=True)[0].numpy() > 0.0
    total = weights = 0.0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = chosen[:, i] & chosen[:, j]
        if both.sum() > 1:
            pair = cross_expert_correlation([outputs[i][both], outputs[j][both]])
            total, weights = total + (both.sum() - 1) * pair["squared"], weights + both.sum() - 1
    forward = model.forward(ids, training=True)
    assert total > 0.0
    assert float(forward.terms["decorrelation"]) == pytest.approx(0.5 * total / weights, rel=1e-2)
    assert float(forward.reports["layer_1"].decorrelation) == pytest.approx(total / weights, rel=1e-2)
    assert float(model.forward(ids).terms["decorrelation"]) == 0.0


def test_gates_have_no_part_in_decorrelation_and_experts_have():
    model = small_model(decorrelation_weight=0.5)
    with tf.GradientTape() as tape:
        loss = model.forward(some_ids(), training=True).terms["decorrelation"]
    variables = model.gate_variables + model.weight_variables + model.embedding_variables
    gradients = dict(zip([v.path for v in variables], tape.gradient(loss, [v.value for v in variables]), strict=True))
    # The first layer's gate mixes what the second layer's experts read; the last gate's and the depth gate's mask only.
    last = [v.path for v in model.moe_layers[1].gate.trainable_variables + model.depth_gate.trainable_variables]
    assert last and all(gradients[path] is None for path in last)
    kernels = [path for path in gradients if "layer_" in path and path.endswith("kernel") and "gate/" not in path]
    assert len(kernels) > 3
    for path in kernels:
        assert np.abs(tf.convert_to_tensor(gradients[path])).max() > 0.0, path
    assert np.isfinite(gradients["embedding/table"].values).all()


def test_decorrelation_in_bilevel_training_lowers_correlation():
    values, small = [], {"num_layers": 1, "experts": ("dense", "cross"), "depth_objective": "none"}
    for weight in (0.0, 1.0):
        model, ids, labels = small_model(decorrelation_weight=weight, **small), some_ids(), some_labels()
        model.compile(*(keras.optimizers.Adam(0.01) for _ in range(3)))
        element = {"train": (ids[None], labels[None]), "gate": (ids, labels)}
        step = tf.function(model.training_logs, autograph=False)
        for _ in range(15):
            logs = step(element)
        assert ("decorrelation" in logs) == (weight > 0.0) and np.isfinite(float(logs["loss"]))
        values.append(cross_expert_correlation([x.numpy() for x in model.expert_outputs(ids)["layer_1"]])["squared"])
    assert values[1] < 0.9 * values[0]


def test_arguments_and_config():
    model = small_model(decorrelation_weight=0.5)
    assert AdaEnsemble.from_config(model.get_config()).auxiliary_losses.decorrelation_weight == 0.5
    assert [layer.get_config()["decorrelate"] for layer in model.moe_layers] == [True, True]
    with pytest.raises(ValueError, match="decorrelation_weight must be a finite number of at least 0; received -1"):
        small_model(decorrelation_weight=-1.0)
    with pytest.raises(ValueError, match=r"decorrelate needs two or more experts; received \['cross'\]"):
        SparseMoE(("cross",), FIELDS, decorrelate=True)
