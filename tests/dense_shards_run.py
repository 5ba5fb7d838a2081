"""Trains models whose layers are sharded among devices beside replicated ones:

python tests/dense_shards_run.py FOLDER

The devices are four logical ones of this process, as two hosts of two. Prints what it has checked. It is a process of
its own because TensorFlow's devices cannot be changed later.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import DenseSharding, dense_shards_of, sharded_layers
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.devices.sharded_table import shards_of
from ada_ensemble_tf.devices.sharding import Sharding, sharded_tables
from ada_ensemble_tf.gates import make_gate
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer, gathered_weights
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.optimizers import make_optimizer
from ada_ensemble_tf.planning.traffic import Mesh as PlannedMesh
from ada_ensemble_tf.planning.traffic import dense_traffic
from ada_ensemble_tf.trained.checkpoint import Checkpoint, saved_names

REPLICAS, HOSTS, ROWS, STEPS, FIELDS, LEVELS = 4, 2, 32, 2, 3, 10
OPTIMIZERS = {"ftrl": {"learning_rate": 0.1, "l1": 0.01, "keep_initial": True, "clipnorm": 0.5}}


class Mixture(ShardableLayer):
    """A gate, which stays whole, and layers within a layer, with statistics of the batch."""

    def build(self, x_shape: tuple[int | None, ...]) -> None:
        self.gate = make_gate(name="noisy_top_k", num_choices=2, noise=0.0)
        self.gate.build(x_shape)
        self.experts = [MLP((5,), "gelu", "batch", name=f"expert_{i}") for i in range(2)]
        for expert in self.experts:
            expert.build(x_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        gates, _ = self.gate(x, k=2, training=training)
        outputs = [expert(x, training=training) for expert in self.experts]
        return tf.add_n([gates[:, i : i + 1] * y for i, y in enumerate(outputs)])


class Gated(CTRModel):
    """A model that is traced in a moment."""

    registered_name = "gated"

    def __init__(self, **common):
        super().__init__(**common)
        self.embedding, self.mixture = self.make_embedding(4, "embedding"), Mixture(name="mixture")
        self.mixture.build((None, 4 * self.num_fields))
        self.estimator = Estimator(name="estimator")
        self.estimator.build((None, 5))
        self.built = True

    def forward(self, inputs: tf.Tensor, training: bool = False) -> Forward:
        hidden = self.mixture(self.embedding(inputs), training=training)
        logit = self.estimator(hidden)
        return Forward(logit=logit, flops=tf.constant(0.0), tensors={"hidden": hidden, "logit": logit})

    def expert_outputs(self, inputs: tf.Tensor) -> dict[str, list[tf.Tensor]]:
        with gathered_weights(self.mixture):
            return {"mixture": [expert(self.embedding(inputs)) for expert in self.mixture.experts]}


def made(distribution: Distribution, kind: str = "replicated", columns: bool = False) -> CTRModel:
    """A compiled model; the initial values are those of a seed."""
    keras.utils.set_random_seed(3)
    dense = None if kind == "replicated" else DenseSharding(distribution.mesh, kind)
    tables = Sharding(distribution.mesh, [LEVELS] * FIELDS, [1] * FIELDS) if columns else None
    with distribution.scope(), sharded_layers(dense), sharded_tables(tables):
        model = Gated(num_rows=FIELDS * LEVELS, num_fields=FIELDS, l2=0.01)
        model.compile(
            embedding_optimizer=make_optimizer("sparse_adam", learning_rate=0.01),
            weight_optimizer=make_optimizer("adam", learning_rate=0.01, epsilon=1e-3, global_clipnorm=0.1),
            gate_optimizer=make_optimizer("adam", learning_rate=0.01),
        )
    if distribution.replicas > 1:
        model.distribute(distribution.replicate)
        distribution.spread_seeds(model)
    return model


def rows(count: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(ids, labels)."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, LEVELS, [count, FIELDS]) + LEVELS * np.arange(FIELDS)
    return tf.constant(ids, tf.int32), tf.constant(random.integers(0, 2, count), tf.float32)


def trained(model: CTRModel) -> list[dict[str, float]]:
    """The logs of some updates."""
    step = tf.function(model.training_logs, autograph=False)
    return [{n: float(v) for n, v in step(rows(ROWS, seed=seed)).items()} for seed in range(STEPS)]


def whole(variable: keras.Variable) -> np.ndarray:
    """The value of a variable, of which replicas may have parts; hosts have the same."""
    if (shards := dense_shards_of(variable)) is None:
        return np.array(tf.convert_to_tensor(variable))
    parts = [part.numpy() for part in shards.parts(variable)]
    size = shards.mesh.size(shards.group)
    for host in range(0, REPLICAS, size):
        assert all(np.array_equal(a, b) for a, b in zip(parts[:size], parts[host : host + size], strict=True))
    flat = np.concatenate(parts[:size])
    return flat[: shards.elements].reshape(shards.logical_shape)


def state(model: CTRModel) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer_variables]


def same(ours: CTRModel, theirs: CTRModel, what: str, tolerance: float = 1e-5) -> None:
    """Checks that all variables are equal, those of the optimisers too."""
    assert saved_names(state(ours)) == saved_names(state(theirs))
    for own, other in zip(state(ours), state(theirs), strict=True):
        if shards_of(own) is None:
            message = f"{what} {own.path}"
            np.testing.assert_allclose(whole(own), whole(other), rtol=tolerance, atol=tolerance, err_msg=message)


def check_training(distribution: Distribution) -> CTRModel:
    """Trains a sharded model; losses, weights and optimisers are those of one device."""
    alone, model = made(Distribution()), made(distribution, "hsdp", columns=True)
    expected = trained(alone)
    shared = [v for v in model.weight_variables if dense_shards_of(v) is not None]
    assert len(shared) == len(model.weight_variables) - 1, "all but the estimator's bias"
    assert not any(map(dense_shards_of, model.gate_variables))
    wire = distribution.mesh.count_bytes()
    for own, other in zip(trained(model), expected, strict=True):
        np.testing.assert_allclose([own[n] for n in other], list(other.values()), rtol=1e-5, atol=1e-5)
    same(model, alone, "trained")
    print("trained hsdp with tables in columns", flush=True)
    cut = 4.0 * sum(dense_shards_of(v).size for v in shared) * REPLICAS / HOSTS
    planned = dense_traffic("hsdp", PlannedMesh(HOSTS, REPLICAS // HOSTS), cut, 0.0).by_kind
    sent = {kind: sum(size) * STEPS for kind, size in planned.items()}
    assert wire.sent()["all_gather", "host"] == sent["all-gather"]
    assert wire.sent()["reduce_scatter", "host"] == sent["reduce-scatter"]
    assert wire.sent()["all_reduce", "slot"] == sent["all-reduce"]
    print("bytes", flush=True)
    return model


def check_optimizer(name: str, distribution: Distribution) -> None:
    """An optimiser changes a sharded layer as it changes a replicated one."""
    strategy, results = distribution.strategy, []
    for kind in ("replicated", "hsdp"):
        keras.utils.set_random_seed(1)
        with distribution.scope(), sharded_layers(None if kind == "replicated" else DenseSharding(found.mesh, kind)):
            layer = MLP((5,), "gelu", "layer", 0.2, name="mlp")
            layer.build((None, 3))
            optimizer = make_optimizer(name, **OPTIMIZERS[name])
            optimizer.build(layer.trainable_variables)

        def step(x, layer=layer, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(distribution.part(x), training=True) ** 2)
            variables = layer.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

        run = tf.function(lambda x, step=step: strategy.run(step, (x,)), autograph=False)
        for seed in range(3):
            run(tf.constant(np.random.default_rng(seed).normal(size=(8, 3)), tf.float32))
        results.append([whole(v) for v in (*layer.variables, *optimizer.variables)])
    for own, other in zip(*results, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6, err_msg=name)
    print("optimizer", name, flush=True)


def check_checkpoints(folder: Path, distribution: Distribution, model: CTRModel) -> None:
    """What sharded devices saved is read by one device, which scores alike, and by others that shard otherwise."""
    Checkpoint(folder / "sharded", state(model), distribution).save(1)
    alone = made(Distribution())
    Checkpoint(folder / "sharded", state(alone)).restore()
    for own, other in zip(state(model), state(alone), strict=True):
        if shards_of(own) is None:
            assert np.array_equal(whole(own), whole(other)), own.path
    scores = distribution.of_rows(model, model.input_signature)
    ids, _ = rows(7, seed=5)
    np.testing.assert_allclose(scores(ids), alone(ids), rtol=1e-5)
    Checkpoint(folder / "one", state(alone)).save(2)
    again = made(distribution, "fsdp")
    Checkpoint(folder / "one", state(again), distribution).restore()
    same(again, alone, "read by four", tolerance=0.0)
    outputs = distribution.of_rows(again.expert_outputs, again.input_signature)(ids)
    for own, other in zip(tf.nest.flatten(outputs), tf.nest.flatten(alone.expert_outputs(ids)), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    print("checkpoints", flush=True)


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS)
    found = Distribution(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)]))
    found.make_mesh(HOSTS)
    for each in OPTIMIZERS:
        check_optimizer(each, found)
    check_checkpoints(Path(sys.argv[1]), found, check_training(found))
