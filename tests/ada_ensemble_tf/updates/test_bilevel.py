import keras
import numpy as np
import pytest
import tensorflow as tf
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.models import AdaEnsemble, LogisticRegression
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.updates.second_order import second_order_gate_gradients

FIELDS, ROWS, BATCH = 6, 40, 16
QUIET = {"reduction": 2, "noise": 0.0}


def rows(seed, batch=BATCH):
    ids = tf.random.stateless_uniform([batch, FIELDS], [seed, 1], 0, ROWS, tf.int32)
    labels = tf.cast(tf.random.stateless_uniform([batch], [seed, 2]) < 0.4, tf.float32)
    return ids, labels


def bilevel_element(steps=2):
    ids, labels = zip(*(rows(10 + i) for i in range(steps)), strict=True)
    return {"train": (tf.stack(ids), tf.stack(labels)), "gate": rows(1)}


def compiled_model(xi=0.0, run_eagerly=True, **arguments):
    keras.utils.set_random_seed(5)
    defaults = {"experts": ("dense", "cross"), "k": 1, "num_layers": 2, "dimension": 2, "gate": {"reduction": 2}}
    model = AdaEnsemble(num_rows=ROWS, num_fields=FIELDS, **(PUBLISHED_LAYERS | defaults | arguments))
    model.embedding.table.assign(tf.random.stateless_normal([ROWS, model.dimension], [7, 7]))
    for gate in [layer.gate for layer in model.moe_layers] + [model.depth_gate] * (model.depth_gate is not None):
        gate.project.bias.assign(np.linspace(-1.0, 1.0, 16))
    model.compile(GroupFtrl(0.1, l1=0.0), keras.optimizers.Adam(0.05), keras.optimizers.Adam(0.05), xi, run_eagerly)
    return model


def snapshot(variables):
    return [v.numpy().copy() for v in variables]


def same(before, variables):
    return [np.array_equal(one, v.numpy()) for one, v in zip(before, variables, strict=True)]


def weight_side(model):
    """W: tables, weights, normalisation statistics and their optimisers' state."""
    statistics = [v for v in model.non_trainable_variables if "moving" in v.path]
    slots = model.embedding_optimizer.variables + model.weight_optimizer.variables
    return model.embedding_variables + model.weight_variables + statistics + slots


def gate_side(model):
    return model.gate_variables + model.gate_optimizer.variables


def test_the_three_groups_are_all_trainable_variables_once():
    model = compiled_model()
    groups = model.gate_variables + model.embedding_variables + model.weight_variables
    assert sorted(map(id, groups)) == sorted(map(id, model.trainable_variables))
    paths = [v.path for v in model.gate_variables]
    assert len(paths) == 3 * 6 and all("gate/" in path for path in paths)
    assert sum("choices" in p or "raw_temperature" in p for p in paths) == 6
    assert [v.path for v in model.embedding_variables] == ["embedding/table"]


@pytest.mark.parametrize("xi, objective", [(0.0, "straight_through"), (0.1, "straight_through"), (0.1, "compared")])
def test_the_gate_update_leaves_weights_statistics_and_their_optimizers_bit_equal(xi, objective):
    model = compiled_model(xi, depth_objective=objective)
    before_w, before_gates = snapshot(weight_side(model)), snapshot(model.gate_variables)
    model._gate_step(rows(1), rows(2))
    assert all(same(before_w, weight_side(model)))
    assert sum(same(before_gates, model.gate_variables)) <= 2  # A bias may have no gradient where no ReLU is on.
    assert int(model.gate_optimizer.iterations) == 1 and int(model.step) == 0


def test_the_weight_update_leaves_gates_and_their_optimizer_bit_equal():
    model = compiled_model()
    before_gates, before_w = snapshot(gate_side(model)), snapshot(model.weight_variables)
    model._weight_step(*rows(1))
    assert all(same(before_gates, gate_side(model)))
    assert sum(same(before_w, model.weight_variables)) < len(before_w) / 2
    statistics = [v for v in model.non_trainable_variables if "moving_mean" in v.path]
    assert len(statistics) == 3 and any(np.abs(v.numpy()).max() > 0 for v in statistics)
    assert int(model.step) == 1 and int(model.weight_optimizer.iterations) == 1


@pytest.mark.parametrize("steps", [1, 3])
def test_an_element_is_one_gate_update_and_t_weight_updates(steps):
    # Tracing takes most of the time: one of the two runs in a graph.
    model = compiled_model(run_eagerly=steps == 1)
    model.fit(tf.data.Dataset.from_tensors(bilevel_element(steps)).repeat(2), verbose=0)
    assert int(model.gate_optimizer.iterations) == 2
    assert int(model.weight_optimizer.iterations) == int(model.embedding_optimizer.iterations) == 2 * steps
    assert int(model.step) == 2 * steps


def test_train_step_is_the_gate_update_followed_by_the_weight_updates():
    one, other = compiled_model(gate=QUIET), compiled_model(gate=QUIET)
    element = bilevel_element(2)
    one.train_step(element)
    ids, labels = element["train"]
    other._gate_step(element["gate"], (ids[0], labels[0]))
    other._weight_step(ids[0], labels[0])
    other._weight_step(ids[1], labels[1])
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_joint_mode_updates_everything_on_the_same_rows():
    model = compiled_model()
    before = snapshot(model.trainable_variables)
    logs = model.train_step(rows(1))
    assert sorted(logs) == ["log_loss", "loss"]
    changed = [not equal for equal in same(before, model.trainable_variables)]
    assert sum(changed) > 0.8 * len(changed)
    assert [int(o.iterations) for _, o in _optimizers(model)] == [1, 1, 1] and int(model.step) == 1


def _optimizers(model):
    return [(name, getattr(model, f"{name}_optimizer")) for name in ("embedding", "weight", "gate")]


def test_only_rows_of_the_batch_change_in_the_table():
    model = compiled_model()
    before = model.embedding.table.numpy().copy()
    ids, labels = rows(1, batch=4)
    model._weight_step(ids, labels)
    touched = np.zeros(ROWS, bool)
    touched[np.unique(ids)] = True
    changed = (before != model.embedding.table.numpy()).any(axis=1)
    assert not changed[~touched].any() and changed[touched].mean() > 0.9


def test_second_order_gradient_equals_the_numerical_hessian_vector_product():
    """d/d alpha of L_gate(W - xi grad_W L_train(W, alpha), alpha) by central differences over alpha."""
    xi = 0.3
    # Smooth in everything: all experts kept, no jitter, no ReLU in what is differenced. Gradients must flow through
    # the gates into the table, as differences do.
    model = compiled_model(
        xi, gate=QUIET | {"stop_gradient": False}, k=2, depth_objective="none", experts=("cross", "polynomial"),
        num_layers=1, normalization="none", embedding_normalization="none", expert_load_weight=0.0,
    )  # fmt: skip
    train, gate = rows(1), rows(2)
    second, _ = second_order_gate_gradients(model, train, gate, xi)
    (first,), _ = model.compute_gradients(*gate, [model.gate_variables], "first order")
    weights = model.embedding_variables + model.weight_variables
    start = snapshot(weights)

    def virtual_loss():
        (gradients,), _ = model.compute_gradients(*train, [weights], "train")
        for variable, gradient in zip(weights, gradients, strict=True):
            variable.assign(variable - xi * tf.convert_to_tensor(gradient))
        loss = model.objective(model.forward(gate[0], training=True), gate[1])["log_loss"]
        for variable, value in zip(weights, start, strict=True):
            variable.assign(value)
        return float(loss)

    checked = 0
    for variable, gradient, plain in zip(model.gate_variables, second, first, strict=True):
        if "squeeze" in variable.path:
            continue  # Its ReLU has kinks within a difference's reach.
        direction = np.random.default_rng(3).normal(size=variable.shape).astype(np.float32)
        value, step = variable.numpy(), 0.01
        variable.assign(value + step * direction)
        up = virtual_loss()
        variable.assign(value - step * direction)
        down = virtual_loss()
        variable.assign(value)
        numerical = (up - down) / (2 * step)
        assert float(np.sum(gradient * direction)) == pytest.approx(numerical, rel=0.05, abs=2e-5)
        # This tests the second-order term, so the first-order gradient must be distinguishable from it.
        checked += abs(float(np.sum(plain * direction)) - numerical) > 0.1 * abs(numerical)
    assert checked >= 2


def test_second_order_restores_the_random_state_of_its_passes_and_works_in_fit():
    model = compiled_model(0.1, run_eagerly=False, gate={"reduction": 2, "noise": 0.5})
    history = model.fit(tf.data.Dataset.from_tensors(bilevel_element()).repeat(4), verbose=0, epochs=3)
    assert history.history["log_loss"][-1] < history.history["log_loss"][0]


def test_learning_on_a_learnable_rule():
    model = compiled_model(run_eagerly=False, k=2, depth_objective="compared")
    ids, _ = rows(1, batch=512)
    labels = tf.cast((ids[:, 0] % 2) == (ids[:, 1] % 2), tf.float32)
    element = {"train": (tf.stack([ids, ids]), tf.stack([labels, labels])), "gate": (ids, labels)}
    model.fit(tf.data.Dataset.from_tensors(element).repeat(60), verbose=0)
    results = model.evaluate(tf.data.Dataset.from_tensors((ids, labels)), return_dict=True, verbose=0)
    assert results["auc"] > 0.95


def test_a_model_that_was_not_compiled_is_saved_without_optimizers(tmp_path):
    model = AdaEnsemble(num_rows=ROWS, num_fields=FIELDS, experts=("dense", "cross"), k=1, num_layers=2, dimension=2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    ids, _ = rows(1)
    np.testing.assert_array_equal(again(ids), model(ids))
    assert not again.compiled


def test_wrong_use():
    model = compiled_model()
    with pytest.raises(ValueError, match="each group of variables needs its own optimizer"):
        model.compile(GroupFtrl(), adam := keras.optimizers.Adam(), adam)
    with pytest.raises(ValueError, match="xi must not be negative"):
        model.compile(GroupFtrl(), keras.optimizers.Adam(), keras.optimizers.Adam(), xi=-1.0)
    gateless = LogisticRegression(num_rows=ROWS, num_fields=FIELDS)
    gateless.compile(GroupFtrl(), keras.optimizers.Adam())
    with pytest.raises(ValueError, match="logistic_regression has no gates: train it on"):
        gateless.train_step(bilevel_element())
    unknown = tf.data.Dataset.from_generator(
        lambda: [bilevel_element()],
        output_signature={
            "train": (tf.TensorSpec([None, BATCH, FIELDS], tf.int32), tf.TensorSpec([None, BATCH])),
            "gate": (tf.TensorSpec([BATCH, FIELDS], tf.int32), tf.TensorSpec([BATCH])),
        },
    )
    with pytest.raises(ValueError, match="must be stacked .* with t known"):
        compiled_model(run_eagerly=False).fit(unknown, verbose=0)
