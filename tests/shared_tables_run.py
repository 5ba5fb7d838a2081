"""Trains, saves and scores a table that several devices share beside one that a single device has:

python tests/shared_tables_run.py FOLDER

The devices are four logical ones of this process, or the workers of TF_CONFIG, which do less. Prints what it has
checked. It is a process of its own because TensorFlow's devices cannot be changed later.
"""

import dataclasses
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices import sharding as sharding_module
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.devices.mesh import Mesh
from ada_ensemble_tf.devices.placement import place
from ada_ensemble_tf.devices.sharded_table import ShardedTable
from ada_ensemble_tf.devices.sharding import Sharding, sharded_tables
from ada_ensemble_tf.devices.strategies import make_distribution
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import RowSparseOptimizer, make_optimizer
from ada_ensemble_tf.trained import shared_tables
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.training.monitoring.embedding_norms import EmbeddingNorms

SIZES, WIDTHS, DIMENSION, REPLICAS = (50, 3, 200, 4, 30, 9, 8), (1, 1, 1, 3, 1, 1, 2), 4, 4
"""Uneven fields, two of which have several values."""
VALUE_FIELD, ROWS, STEPS = 1, 32, 4
OFFSETS = np.cumsum((0, *SIZES))
OPTIMIZERS = {
    # Some rows become zero: the norm of a row decides, not that of its slices.
    "group_ftrl": {"learning_rate": 0.1, "l1": 0.1, "l2": 0.1, "keep_initial": True, "clipnorm": 0.5},
    "sparse_adam": {"learning_rate": 0.01, "catch_up": True, "global_clipnorm": 0.1},
    "ftrl": {"learning_rate": 0.1, "l1": 0.01},
    "sparse_adagrad": {"learning_rate": 0.1, "clipvalue": 0.02},
    "grda": {"c": 0.01},
}


@dataclasses.dataclass
class Trained:
    """A layer with its optimiser."""

    layer: FusedEmbedding
    optimizer: RowSparseOptimizer

    @property
    def variables(self) -> list[keras.Variable]:
        """The table and the state beside it."""
        return [self.layer.table, *self.optimizer.slots(self.layer.table)]


class Model:
    """What `EmbeddingNorms` asks of a model."""

    def __init__(self, layer: FusedEmbedding):
        self._layer = layer

    def _flatten_layers(self):
        return [self._layer]


def made(name: str, shared: Sharding | None = None) -> Trained:
    """A layer and an optimiser; the initial values are those of a seed."""
    keras.utils.set_random_seed(3)
    with sharded_tables(shared):
        widths, values = WIDTHS, [(VALUE_FIELD, int(OFFSETS[VALUE_FIELD]) + 1)]
        layer = FusedEmbedding(sum(SIZES), DIMENSION, 0.1, widths, values, truncated=name == "grda", name="embedding")
        layer.build({"ids": (None, sum(WIDTHS)), "values": (None, 1)})
        optimizer = make_optimizer(name, **OPTIMIZERS[name])
        optimizer.build([layer.table])
    return Trained(layer, optimizer)


def batch(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Inputs: few levels of each field, so that rows repeat on one replica and on several."""
    random, columns = np.random.default_rng(seed), []
    for field, (size, width) in enumerate(zip(SIZES, WIDTHS, strict=True)):
        for column in range(width):
            ids = OFFSETS[field] + random.integers(0, size, rows) % 20
            columns.append(np.where((column > 0) & (random.random(rows) < 0.5), -1, ids))
    values = random.normal(size=(rows, 1)).astype(np.float32)
    return {"ids": np.stack(columns, axis=1).astype(np.int32), "values": values}


def loss(layer: FusedEmbedding, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """Some function whose gradient differs for every element; a sum over rows, as the optimisers sum over replicas."""
    x0 = layer(inputs)
    return tf.reduce_sum(tf.sin(3.0 * x0 + tf.range(x0.shape[1], dtype=tf.float32)) + x0**2) / ROWS


def step(trained: Trained, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    with tf.GradientTape() as tape:
        value = loss(trained.layer, inputs)
    trained.optimizer.apply(tape.gradient(value, [trained.layer.table.value]), [trained.layer.table])
    return value


def whole(variable: keras.Variable) -> np.ndarray:
    """A variable as one device has it, from the parts of a shared table; NaN where other processes have it."""
    shards: ShardedTable = variable.shards
    layout, parts = shards.layout, shards.parts(variable)
    found = np.full(shards.logical_shape[: len(variable.shape)], np.nan)
    local = {shards.mesh.first + i: part for i, part in enumerate(parts)}
    for piece in (one for one in layout.placement.pieces if one.device in local):
        own = local[piece.device].numpy()[layout.rows_of(piece)]
        rows = slice(layout.offsets[piece.field], layout.offsets[piece.field] + layout.sizes[piece.field])
        if own.ndim == 1:
            found[rows] = own[:: piece.width // layout.unit]
        else:
            found[rows, piece.first : piece.first + piece.width] = own.reshape(-1, piece.width)
    return found


def same(ours: Trained, theirs: Trained, what: str, tolerance: float = 2e-6) -> None:
    """Checks that a shared table and the state beside it equal those of one device."""
    for part in ours.layer.shards.parts(ours.layer.table):
        assert not np.any(part.numpy()[0]), "row 0 belongs to no field"
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        values, message = whole(mine), f"{what} {mine.path}"
        there = ~np.isnan(values)
        assert there.all() or (there.any() and ours.layer.shards.mesh.hosts > 1)
        np.testing.assert_allclose(values[there], other.numpy()[there], rtol=1e-5, atol=tolerance, err_msg=message)


def check_optimizer(name: str, distribution: Distribution, shared: Sharding) -> tuple[Trained, Trained]:
    """Trains both; they are the same at the start, in their losses and at the end."""
    alone = made(name)
    with distribution.scope():
        ours = made(name, shared)
    first = whole(ours.layer.table)
    there = ~np.isnan(first)
    assert np.array_equal(first[there], alone.layer.table.numpy()[there])
    same(ours, alone, "at the start")
    strategy = distribution.strategy

    @tf.function(autograph=False)
    def together(inputs):
        losses = strategy.run(lambda rows: step(ours, tf.nest.map_structure(distribution.part, rows)), (inputs,))
        return tf.add_n(strategy.experimental_local_results(losses))

    by_itself = tf.function(lambda inputs: step(alone, inputs), autograph=False)
    for seed in range(STEPS):
        inputs = tf.nest.map_structure(tf.constant, batch(ROWS, seed))
        share = ROWS // distribution.workers
        rows = slice(distribution.worker * share, (distribution.worker + 1) * share)
        own = together(tf.nest.map_structure(lambda x, rows=rows: x[rows], inputs))
        np.testing.assert_allclose(distribution.total([float(own)])[0], by_itself(inputs), rtol=1e-5)
    same(ours, alone, "after training")
    if OPTIMIZERS[name].get("catch_up"):
        for one in (ours, alone):
            one.optimizer.bring_up_to_date(one.layer.table)
        same(ours, alone, "brought up to date")
    print("trained", name, flush=True)
    return ours, alone


def check_norms(ours: Trained, alone: Trained) -> None:
    found, expected = (EmbeddingNorms(Model(one.layer))() for one in (ours, alone))
    assert found.keys() == expected.keys() and expected["embeddings/zero_rows/embedding"] > 0.01
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    print("norms", flush=True)


def check_inference(ours: Trained, alone: Trained, distribution: Distribution) -> None:
    """Any number of rows, whether or not the replicas can split it, another on each worker."""
    scores = distribution.of_rows(lambda rows: (ours.layer(rows), tf.cast(tf.shape(rows["ids"])[0], tf.float32)), None)
    for rows in (7 - distribution.worker, 3 * (1 - distribution.worker), 8):
        inputs = batch(rows, seed=rows)
        x0, count = scores(inputs)
        np.testing.assert_allclose(x0, alone.layer(tf.nest.map_structure(tf.constant, inputs)), rtol=1e-5, atol=1e-6)
        assert abs(float(count) - rows) < 1e-4
    print("inference", flush=True)


def check_rounded_exchange(distribution: Distribution, mesh: Mesh) -> None:
    """Embeddings and gradients that are sent in bfloat16 are those of float32, rounded, in half the bytes."""
    with distribution.scope():
        ours = made("sparse_adagrad", Sharding(mesh, SIZES, WIDTHS, "bfloat16"))
    inputs = tf.nest.map_structure(tf.constant, batch(ROWS, 0))
    single = [inputs["ids"].numpy(), ours.layer.shards]

    @tf.function(autograph=False)
    def looked_up(ids):
        def on_replica(ids):
            ids, table = distribution.part(ids), ours.layer.table
            with tf.GradientTape() as tape:
                found = single[1].lookup(table, ids)
                total = tf.reduce_sum(found * 1.001)
            return found, tf.convert_to_tensor(tape.gradient(total, table.value).values)

        return distribution.strategy.run(on_replica, (ids,))

    wire = mesh.count_bytes()
    found, gradients = (distribution.strategy.experimental_local_results(x) for x in looked_up(inputs["ids"]))
    mesh.wire, layout = None, single[1].layout
    first = made("sparse_adagrad").layer
    first.value_rows = ()
    np.testing.assert_allclose(
        tf.concat(found, axis=0), first._mean(inputs["ids"]).numpy().reshape(ROWS, -1), rtol=5e-3
    )
    assert all(np.any(x.numpy() == 1.0) and not np.any(x.numpy() == np.float32(1.001)) for x in gradients)
    assert wire.sent()["all_to_all", "world"] == 2 * (REPLICAS - 1) * layout.units * ROWS // REPLICAS * layout.unit * 2
    print("rounded exchange", flush=True)


def check_checkpoints(folder: Path, name: str, distribution: Distribution, shared: Sharding, ours: Trained) -> None:
    """What several devices saved is read by one, and by others that cut the table in another way; and the other way."""
    # Chunks of some rows, as large tables have.
    shared_tables.CHUNK_BYTES = 400
    Checkpoint(folder / "four", ours.variables, distribution).save(1)
    one = made(name)
    Checkpoint(folder / "four", one.variables).restore()
    same(ours, one, "read by one", tolerance=0.0)
    real = sharding_module.place
    sharding_module.place = lambda tables, dimension, devices: place(tables, dimension, devices, target=1000.0)
    with distribution.scope():
        otherwise, again = made(name, shared), None
        sharding_module.place = real
        again = made(name, shared)
    assert otherwise.layer.shards.layout.unit > again.layer.shards.layout.unit
    Checkpoint(folder / "four", otherwise.variables, distribution).restore()
    same(otherwise, one, "read in another cut", tolerance=0.0)
    if distribution.is_chief:
        Checkpoint(folder / "one", one.variables).save(2)
    distribution.agree(True)
    Checkpoint(folder / "one", again.variables, distribution).restore()
    same(again, one, "read by four", tolerance=0.0)
    try:
        Checkpoint(folder / "four", [*ours.variables, tf.Variable(1.0, name="more")], distribution).restore()
    except ValueError as error:
        assert "the checkpoint is of another model" in str(error) and "no variable more of shape ()" in str(error), (
            error
        )
        print("checkpoints", flush=True)


if __name__ == "__main__":
    if "TF_CONFIG" in os.environ:
        found, names, saved = make_distribution("auto", 300.0), ["group_ftrl"], "group_ftrl"
    else:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS)
        found = Distribution(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)]))
        names, saved = list(OPTIMIZERS), "sparse_adam"
    fields = Sharding(found.make_mesh(), SIZES, WIDTHS)
    both = {name: check_optimizer(name, found, fields) for name in names}
    check_norms(*both["group_ftrl"])
    if "TF_CONFIG" not in os.environ:
        check_rounded_exchange(found, found.mesh)
    check_inference(*both["group_ftrl"], found)
    check_checkpoints(Path(sys.argv[1]), saved, found, fields, both[saved][0])
    # A worker that ends looks as if it had died.
    found.agree(True)
