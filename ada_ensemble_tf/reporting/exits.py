"""A model whose rows all exit at one depth, and how long calls take."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.models import AdaEnsemble, CTRModel
from ada_ensemble_tf.moe import propagate
from ada_ensemble_tf.reporting.evidence import Latency
from data_pipelines.read.inputs import Inputs

CALLS = 40
"""Timed calls of each kind and batch size, after `WARM_UP` untimed ones: enough for a ninth decile."""
WARM_UP = 5
BATCHES = (1, 512)
"""Rows per call: a single request, and what a batching server combines."""


class Scores(NamedTuple):
    """Probabilities `[N]` and mean FLOPs per example."""

    probabilities: np.ndarray
    flops: float


def forwards(model: CTRModel) -> dict[str, Callable[[Inputs], tuple[tf.Tensor, tf.Tensor]]]:
    """Compiled functions from inputs to (probabilities `[B]`, FLOPs of the batch): "as routed", "exit_1" .. "exit_L".

    The function of an exit runs the layers up to it and no depth gate. Models without a depth gate have none of these.
    """

    def as_routed(inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        forward = model.forward(inputs, training=False)
        return tf.sigmoid(model.served_logit(forward)), forward.flops

    functions = {"as routed": as_routed}
    if isinstance(model, AdaEnsemble) and model.depth_gate is not None:
        for depth in range(1, model.num_layers + 1):
            functions[f"exit_{depth}"] = _exit_at(model, depth)
    return {
        name: tf.function(one, input_signature=[model.input_signature], autograph=False)
        for name, one in functions.items()
    }


def _exit_at(model: AdaEnsemble, depth: int):
    def forward(inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        x0 = model.features(inputs)
        gates = tf.one_hot(tf.fill(tf.shape(x0)[:1], depth - 1), depth)
        k = model.k_schedule(model.step)
        way = propagate(x0, gates, model.moe_layers[:depth], model.estimators[:depth], k, summed=model.summed_exits)
        flops = way.flops + model.view_flops(x0)
        return tf.sigmoid(model.corrected(tf.cast(way.exit_logits[:, -1], tf.float32))), flops

    return forward


def score(forward: Callable, batches: Iterable[Inputs]) -> Scores:
    """One of `forwards` on batches of inputs."""
    results = [forward(inputs) for inputs in batches]
    probabilities = np.concatenate([one.numpy() for one, _ in results])
    return Scores(probabilities, float(sum(float(flops) for _, flops in results)) / len(probabilities))


def latencies(
    functions: Mapping[str, Callable],
    take: Callable[[int], Inputs],
    batches: Sequence[int] = BATCHES,
    calls: int = CALLS,
) -> list[Latency]:
    """Times the functions in turns, so that other work on the machine affects all alike.

    Args:
        functions: functions of inputs, by name.
        take: returns inputs of the given number of rows.
        batches: rows per call.
        calls: timed calls of each function and batch size.
    """
    found = []
    for batch in batches:
        inputs = take(batch)
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for call in range(WARM_UP + calls):
            for name, function in functions.items():
                started = time.perf_counter()
                function(inputs)[0].numpy()
                if call >= WARM_UP:
                    seconds[name].append(time.perf_counter() - started)
        for name, one in seconds.items():
            median, ninth = 1e3 * np.quantile(one, [0.5, 0.9])
            found.append(Latency(name, batch, calls, float(median), float(ninth)))
    return found


def machine() -> str:
    """The machine, and how busy it is."""
    devices = [tf.config.experimental.get_device_details(one).get("device_name", "GPU") for one in _gpus()]
    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    return f"{os.cpu_count()} CPU cores, {', '.join(devices) or 'no GPU'}, {load}"


def _gpus():
    return tf.config.list_physical_devices("GPU")
