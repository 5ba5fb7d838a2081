import keras
import numpy as np
import tensorflow as tf
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.reporting.exit_comparison import RANDOM, ROUTED, Scored, compare
from ada_ensemble_tf.reporting.exits import forwards


def rows(number: int, seed: int):
    """Two groups of opposite rules: the value that is clicked nine times in ten in one is clicked once in the other."""
    rng = np.random.default_rng(seed)
    group, value = rng.integers(0, 2, (2, number))
    labels = rng.random(number) < np.where(group == value, 0.9, 0.1)
    ids = np.stack([group, 2 + value, 4 + rng.integers(0, 4, number)], axis=1)
    return tf.constant(ids, tf.int32), tf.constant(labels, tf.float32)


def test_routed_exits_beat_fixed_and_random_ones_where_no_exit_fits_all_rows():
    keras.utils.set_random_seed(1)
    own = {"num_layers": 2, "experts": ("dense",), "k": 1, "depth_objective": "compared"}
    model = AdaEnsemble(
        num_rows=8, num_fields=3, dimension=2, l2=0.0, anneal_steps=50, deep_supervision=0.1,
        gate={"reduction": 1, "noise": 0.2}, seed=1, **PUBLISHED_LAYERS | own,
    )  # fmt: skip
    # Experts that give 0 leave linear exits: each can learn the rule of one group only.
    experts = [v for layer in model.moe_layers for v in layer.experts[0].trainable_variables]
    for variable in experts:
        variable.assign(tf.zeros_like(variable))
    model.freeze(experts)
    model.compile(GroupFtrl(0.1, l1=0.0), keras.optimizers.Adam(0.05), keras.optimizers.Adam(0.05))
    ids, labels = rows(1024, 1)
    element = {"train": (ids[None], labels[None]), "gate": rows(512, 2)}
    step = tf.function(lambda: model.training_logs(element), autograph=False)
    for _ in range(200):
        step()

    ids, labels = rows(2048, 3)
    probabilities = np.stack([forward(ids)[0] for forward in forwards(model).values()], axis=1)
    chosen = np.argmax(model.gates(ids)["depth"], axis=1)
    ways = compare(Scored(labels.numpy(), probabilities[:, 0], probabilities[:, 1:], chosen, np.zeros(3)))
    entropy = -0.9 * np.log(0.9) - 0.1 * np.log(0.1)
    assert ways[ROUTED].logloss < entropy + 0.05
    for name in ("exit_1", "exit_2", RANDOM):
        assert ways[name].difference > max(0.3, 10 * ways[name].error), (name, ways[name])
