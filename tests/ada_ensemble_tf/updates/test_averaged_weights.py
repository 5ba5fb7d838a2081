import keras
import numpy as np
import pytest
import tensorflow as tf
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.keras_private import random_states
from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.optimizers import make_optimizer
from ada_ensemble_tf.optimizers.averages import average_of

FIELDS, ROWS, BATCH = 4, 30, 16


def rows(seed):
    ids = tf.random.stateless_uniform([BATCH, FIELDS], [seed, 1], 0, ROWS, tf.int32)
    return ids, tf.cast(tf.random.stateless_uniform([BATCH], [seed, 2]) < 0.4, tf.float32)


def optimizers(ema=True):
    average = {"use_ema": True, "ema_momentum": 0.8} if ema else {}
    adam = {"name": "adam", "learning_rate": 0.05} | average
    return [make_optimizer("group_ftrl", learning_rate=0.1, **average), make_optimizer(**adam), make_optimizer(**adam)]


def compiled(gate_weights="averaged", noise=0.0, run_eagerly=True, **arguments):
    keras.utils.set_random_seed(5)
    own = {"experts": ("dense", "cross"), "k": 1, "num_layers": 2, "dimension": 2, "depth_objective": "compared"}
    gate = {"gate": {"reduction": 2, "noise": noise}}
    model = AdaEnsemble(num_rows=ROWS, num_fields=FIELDS, **(PUBLISHED_LAYERS | own | gate | arguments))
    model.embedding.table.assign(tf.random.stateless_normal([ROWS, model.dimension], [7, 7]))
    model.compile(*optimizers(), run_eagerly=run_eagerly, gate_weights=gate_weights)
    return model


def weights_and_averages(model):
    groups = [model.groups()[name] for name in ("embedding", "weight")]
    return [(v, average_of(optimizer, v).numpy()) for optimizer, variables in groups for v in variables]


def test_gates_descend_the_gradient_at_the_averages_and_the_weights_stay():
    model, other, own = compiled(), compiled(gate_weights="own"), compiled(gate_weights="own")
    for seed in range(3):
        model._weight_step(*rows(seed))
    for twin in (other, own):
        for target, source in zip(twin.variables, model.variables, strict=True):
            target.assign(source)
    averages = weights_and_averages(model)
    assert max(np.abs(v.numpy() - average).max() for v, average in averages) > 1e-2
    # The twin has the averages as its weights.
    pairs = zip(other.embedding_variables + other.weight_variables, averages, strict=True)
    for target, (_, average) in pairs:
        target.assign(average)
    everything = [v for v in model.variables if id(v) not in set(map(id, model.gate_variables))]
    before = [v.numpy() for v in everything]
    gates = [v.numpy() for v in model.gate_variables]
    logs, expected = model._gate_step(rows(9), rows(0)), other._gate_step(rows(9), rows(0))
    np.testing.assert_allclose(logs["gate_update/loss"], expected["gate_update/loss"], rtol=1e-6)
    for one, twin in zip(model.gate_variables, other.gate_variables, strict=True):
        np.testing.assert_allclose(one, twin, rtol=1e-5, atol=1e-6)
    assert any((old != new.numpy()).any() for old, new in zip(gates, model.gate_variables, strict=True))
    for old, new in zip(before, everything, strict=True):
        np.testing.assert_array_equal(old, new)
    # At the weights themselves the same gates have another loss.
    assert abs(own._gate_step(rows(9), rows(0))["gate_update/loss"] - logs["gate_update/loss"]) > 1e-3


def test_before_the_first_weight_update_the_gates_see_the_weights():
    model, own = compiled(), compiled(gate_weights="own")
    for one in (model, own):
        one._gate_step(rows(9), rows(0))
    for a, b in zip(model.gate_variables, own.gate_variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_random_numbers_go_on_as_with_the_weights_themselves():
    model, own = compiled(noise=0.5), compiled("own", noise=0.5)
    begun = [state.numpy() for state in random_states(model)]
    losses = {float(model._gate_step(rows(9), rows(0))["gate_update/loss"]) for _ in range(2)}
    for _ in range(2):
        own._gate_step(rows(9), rows(0))
    drawn = [state.numpy() for state in random_states(model)]
    assert len(losses) == 2 and any((a != b).any() for a, b in zip(begun, drawn, strict=True))
    for a, b in zip(drawn, random_states(own), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_graph_does_what_eager_calls_do_and_recomputing_changes_nothing():
    eager, graph, recomputing = compiled(), compiled(run_eagerly=False), compiled(activation_checkpointing=True)
    for model in (eager, graph, recomputing):
        model._weight_step(*rows(0))
        tf.function(model._gate_step)(rows(9), rows(0)) if model is graph else model._gate_step(rows(9), rows(0))
    for twin in (graph, recomputing):
        for a, b in zip(eager.gate_variables, twin.gate_variables, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=a.path)


def test_a_saved_model_knows_it(tmp_path):
    model = compiled()
    model._gate_step(rows(9), rows(0))
    model._weight_step(*rows(0))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.gate_weights == "averaged" and compiled("own").get_compile_config()["gate_weights"] == "own"
    np.testing.assert_array_equal(again(rows(5)[0]), model(rows(5)[0]))


def test_wrong_use():
    model = compiled()
    with pytest.raises(ValueError, match="gate_weights must be 'own' or 'averaged'; received 'mean'"):
        model.compile(*optimizers(), gate_weights="mean")
    with pytest.raises(ValueError, match="averaged' is for the first-order gate update: xi must be 0; received 0.1"):
        model.compile(*optimizers(), 0.1, gate_weights="averaged")
    with pytest.raises(ValueError, match="needs averages, which group_ftrl does not keep: set ema_momentum above 0"):
        model.compile(*optimizers(ema=False), gate_weights="averaged")
    some = [optimizers()[0], *optimizers(ema=False)[1:]]
    with pytest.raises(ValueError, match="needs averages, which adam does not keep"):
        model.compile(*some, gate_weights="averaged")
