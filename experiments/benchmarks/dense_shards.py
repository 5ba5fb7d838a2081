"""Training with replicated, fully sharded and hybrid sharded dense layers, on 2 hosts of 2 logical CPU devices.

    .venv/bin/python -m experiments.benchmarks.dense_shards [--models=dhen,ada_ensemble,dcn_v2] [--steps=20]
    .venv/bin/python -m experiments.benchmarks.dense_shards --plan_layers=4,8,16,32 --memory_gb=40 --hosts=2 --devices=8

The first compares, for DHEN of eight layers, AdaEnsemble (bi-level) and DCN V2, each in a process of its own:

* time: CPU time of all threads in a step, the median, as a ratio to replicated layers. The devices share this machine's
    cores, so it tells what is computed twice and what collectives cost here, not what a network would add.
* bytes a device: of dense weights and their optimiser's state.
* wire: bytes that a device sends in a step in the collectives of sharded layers, counted while they run, by kind and by
    whether they stay in a host, beside the formulas of `planning.traffic`; a ring through hosts sends 1 / G across.
    What stays whole, such as gates, is exchanged by `tf.distribute` and not counted.
* differences: the largest between losses, relative to the loss, and between weights at the end, to replicated layers;
    and those of replicated layers whose matrix products round differently (TF_ENABLE_ONEDNN_OPTS=0), "rounding".

The second asks the planner which sharding holds DHEN of so many layers in the memory of a device.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_pipelines.errors import UserError, run_main

RUNS = {"replicated": "replicated", "rounding": "replicated", "fsdp": "fsdp", "hsdp": "hsdp"}
"""What is run, and how its layers are held."""
HOSTS, DEVICES, FIELDS, LEVELS, BATCH = 2, 2, 10, 50, 256
MODELS: dict[str, dict[str, Any]] = {
    "dhen": {"dimension": 8, "num_layers": 8, "num_outputs": 8, "dlrm_units": (128,), "activation": "gelu"},
    "ada_ensemble": {
        "dimension": 8,
        "num_layers": 2,
        "experts": ("dense", "cross"),
        "k": 1,
        "dropout": 0.0,
        "gate": {"name": "noisy_cosine", "noise": 0.0},
        "head_units": (64,),
    },
    "dcn_v2": {"dimension": 16, "num_layers": 3, "hidden_units": (256, 256), "activation": "gelu"},
}
PAPER_SIZES = {"model.dimension": 128, "model.num_outputs": 64, "model.dlrm_units": (8192,), "batch_size": 65536}
"""Sizes for the planner: a layer of some 1.3 GB of weights."""


def main(argv: Sequence[str]) -> None:
    """Prints the figures."""
    del argv
    values = flags.FLAGS
    if values.one:
        name, kind, file = values.one
        print(json.dumps(measure(name, kind, Path(file), values.steps)))
    elif values.plan_layers:
        print_plans()
    else:
        for name in values.models:
            with tempfile.TemporaryDirectory() as folder:
                compare(name, Path(folder))


def compare(name: str, folder: Path) -> None:
    """Trains a model in each way and prints the figures beside each other."""
    found = {}
    for kind, held in RUNS.items():
        command = [sys.executable, "-m", __spec__.name, f"--one={name},{held},{folder / kind}.npz"]
        command.append(f"--steps={flags.FLAGS.steps}")
        env = os.environ | ({"TF_ENABLE_ONEDNN_OPTS": "0"} if kind == "rounding" else {})
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        if done.returncode:
            raise UserError(f"{' '.join(command)} ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
        found[kind] = json.loads(done.stdout.splitlines()[-1])
        own, first = found[kind], found["replicated"]
        losses = np.abs(np.divide(own["losses"], first["losses"]) - 1.0).max()
        with np.load(f"{folder / kind}.npz") as ours, np.load(folder / "replicated.npz") as theirs:
            weights = max(float(np.abs(ours[key] - theirs[key]).max()) for key in theirs.files)
        print(
            f"{name} {kind}: time {own['seconds'] / first['seconds']:.2f}; dense bytes a device {own['bytes']:,} "
            f"({own['bytes'] / first['bytes']:.3f}); losses differ by {losses:.1e}, weights by {weights:.1e}",
            flush=True,
        )
        for collective, (counted, planned) in own["wire"].items():
            print(f"    {collective}: {counted:,.0f} B a step counted, {planned:,.0f} by the formulas", flush=True)


def measure(name: str, kind: str, file: Path, steps: int) -> dict:
    """Trains one model in this process and writes its weights."""
    import keras
    import tensorflow as tf

    from ada_ensemble_tf.devices.dense_shards import DenseSharding, dense_shards_of, sharded_layers
    from ada_ensemble_tf.devices.distribution import Distribution
    from ada_ensemble_tf.models import model_class
    from ada_ensemble_tf.optimizers import make_optimizer

    replicas = HOSTS * DEVICES
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    distribution = Distribution(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)]))
    mesh = distribution.make_mesh(HOSTS)
    keras.utils.set_random_seed(0)
    with (
        distribution.scope(),
        sharded_layers(None if kind == "replicated" else DenseSharding(mesh, "fsdp" if kind == "fsdp" else "hsdp")),
    ):
        model = model_class(name)(num_rows=FIELDS * LEVELS, num_fields=FIELDS, **MODELS[name])
        # Adam with its own epsilon turns the rounding of gradients that are zero into whole steps.
        rates: dict[str, Any] = {"learning_rate": 1e-3, "epsilon": 1e-4, "global_clipnorm": 1.0}
        own = {"gate_optimizer": make_optimizer("adam", **rates)} if model.gate_variables else {}
        tables, weights = make_optimizer("sparse_adam", learning_rate=1e-3), make_optimizer("adam", **rates)
        model.compile(embedding_optimizer=tables, weight_optimizer=weights, **own)
    model.distribute(distribution.replicate)
    distribution.spread_seeds(model)
    wire, random = mesh.count_bytes(), np.random.default_rng(0)

    def rows(*shape: int):
        ids = random.integers(0, LEVELS, [*shape, FIELDS]) + LEVELS * np.arange(FIELDS)
        return tf.constant(ids, tf.int32), tf.constant(ids[..., 0] % 3 == ids[..., 1] % 3, tf.float32)

    step, losses, times = tf.function(model.training_logs, autograph=False), [], []
    for _ in range(steps):
        element = {"train": rows(1, BATCH), "gate": rows(BATCH)} if model.gate_variables else rows(BATCH)
        started = time.process_time()
        losses.append(float(step(element)["loss"]))
        times.append(time.process_time() - started)
    shared = [one for v in model.weight_variables if (one := dense_shards_of(v)) is not None]
    state = [*model.weight_variables, *weights.variables]
    np.savez(file, *map(whole, model.weight_variables))
    return {
        "seconds": statistics.median(times[1:]),
        "losses": losses,
        "bytes": sum(4 * int(np.prod(v.shape if (s := dense_shards_of(v)) is None else [s.size])) for v in state),
        "wire": wire_of(kind, wire.sent(), steps, [one.size for one in shared], 1 + bool(model.gate_variables)),
    }


def whole(variable) -> np.ndarray:
    """The value of a variable, of which replicas may have parts."""
    import tensorflow as tf

    from ada_ensemble_tf.devices.dense_shards import dense_shards_of

    if (shards := dense_shards_of(variable)) is None:
        return np.array(tf.convert_to_tensor(variable))
    parts = [part.numpy() for part in shards.parts(variable)][: shards.mesh.size(shards.group)]
    return np.concatenate(parts)[: shards.elements].reshape(shards.logical_shape)


def wire_of(kind: str, sent: dict, steps: int, sizes: list[int], passes: int) -> dict[str, tuple[float, float]]:
    """(counted, by the formulas) bytes of a step by collective, inside a host and across; gate updates gather too."""
    from ada_ensemble_tf.planning.traffic import Mesh, Sent, dense_traffic

    if kind == "replicated":
        return {}
    planned = dense_traffic(kind, Mesh(HOSTS, DEVICES), 4.0 * sum(sizes) * (4 if kind == "fsdp" else DEVICES), 0.0)
    found = {}
    for name, expected in planned.by_kind.items():
        if name == "all-gather":
            expected = Sent(*(passes * part for part in expected))
        across = {"world": 1 / DEVICES, "host": 0.0, "slot": 1.0}
        of_groups = {group: sent.get((name.replace("-", "_"), group), 0.0) / steps for group in across}
        if name == "all-reduce":
            # The others are sums of a few numbers, of norms.
            of_groups = {"slot": of_groups["slot"]}
        counted = sum(size * across[group] for group, size in of_groups.items())
        found[f"{name} inside hosts"] = sum(of_groups.values()) - counted, expected.inside
        found[f"{name} across hosts"] = counted, expected.across
    return {name: pair for name, pair in found.items() if any(pair)}


def print_plans() -> None:
    """Prints the bytes of a device for each number of layers and sharding, and what fits."""
    from ada_ensemble_tf.comparison.configs import make_config
    from ada_ensemble_tf.planning.describing import amount
    from ada_ensemble_tf.planning.model_bytes import model_bytes
    from ada_ensemble_tf.planning.plans import plans, recommended
    from ada_ensemble_tf.planning.traffic import Mesh
    from experiments.measuring.prepared_rows import prepared

    values = flags.FLAGS
    data, mesh = prepared(Path(values.workdir), values.rows), Mesh(values.hosts, values.devices)
    for layers in map(int, values.plan_layers):
        config = make_config("sample", "dhen", PAPER_SIZES | {"model.num_layers": layers})
        model = model_bytes(config, data, config.batch_size // mesh.size)
        found = [plan for plan in plans(model, mesh, config.batch_size) if plan.tables == "replicated"]
        best = recommended(found, 1e9 * values.memory_gb)
        totals = ", ".join(f"{plan.dense} {amount(plan.memory.total)}" for plan in found)
        print(
            f"{layers} layers, {amount(model.weights)} of weights: a device needs {totals}; "
            f"{amount(1e9 * values.memory_gb)} hold {'none' if best is None else best.dense}",
            flush=True,
        )


if __name__ == "__main__":
    flags.DEFINE_list("models", list(MODELS), "Which models.")
    flags.DEFINE_integer("steps", 20, "Updates.", lower_bound=2)
    flags.DEFINE_list("one", [], "Model, sharding and file of weights: measures in this process.")
    flags.DEFINE_list("plan_layers", [], "Numbers of layers to plan for.")
    flags.DEFINE_float("memory_gb", 40.0, "Memory of a planned device, in 10^9 bytes.")
    flags.DEFINE_integer("hosts", 2, "Planned hosts.")
    flags.DEFINE_integer("devices", 8, "Devices of a planned host.")
    flags.DEFINE_integer("rows", 2000, "Synthetic rows for the plans' schema.")
    flags.DEFINE_string("workdir", "runs/dense_shards", "Where prepared rows stay.")
    run_main(main)
