"""Which devices and machines train together."""

import json
import logging

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.cluster import Cluster, read_cluster
from ada_ensemble_tf.devices.coordination import limit_waiting
from ada_ensemble_tf.devices.distribution import Distribution
from data_pipelines.errors import UserError

logger = logging.getLogger(__name__)

STRATEGIES = ("auto", "none", "mirrored")
WORKER_TIMEOUT = 1800.0
"""Seconds that a worker waits for the others, if nothing else is said."""


def make_distribution(strategy: str, timeout: float = WORKER_TIMEOUT) -> Distribution:
    """The distribution that `config.strategy` asks for.

    Several workers are those of the environment variable TF_CONFIG. Make it before anything else of TensorFlow.

    Args:
        strategy: "auto" takes all workers and all GPUs there are; "none" one device; "mirrored" all devices of this
            machine, its CPU devices where it has no GPU.
        timeout: seconds that a worker waits for others, here and later.

    Raises:
        UserError: for an unknown name, a malformed TF_CONFIG, several workers that are not to train together, that have
            other versions or devices, or do not come; a port that is taken; or "mirrored" with one device.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"config.strategy must be one of {', '.join(STRATEGIES)}; received {strategy!r}")
    if (cluster := read_cluster()) is not None:
        if strategy != "auto":
            raise UserError(
                f"config.strategy={strategy!r} is of one machine, but TF_CONFIG names {len(cluster.addresses)} "
                "workers: use 'auto', or unset TF_CONFIG"
            )
        return _of_workers(cluster, timeout)
    devices = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored":
        devices = devices or tf.config.list_logical_devices("CPU")
        if len(devices) < 2:
            raise UserError(f"config.strategy='mirrored' needs two or more devices; there is {devices[0].name} alone")
    if strategy == "none" or len(devices) < 2:
        return Distribution()
    logger.info("training on %d devices: %s", len(devices), ", ".join(device.name for device in devices))
    return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))


def _of_workers(cluster: Cluster, timeout: float) -> Distribution:
    logger.info("%s: waiting for the others", cluster.name())
    cluster.wait_for_all(timeout)
    limit_waiting(timeout)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise UserError(
            f"{cluster.name()} cannot listen at its address: is the port in use by another process? "
            f"({str(error).splitlines()[0]})"
        ) from error
    except tf.errors.DeadlineExceededError as error:
        raise UserError(
            f"{cluster.name()} waited {timeout:g} s for the others to join it: see what they printed last, then start "
            "all workers again"
        ) from error
    distribution = Distribution(strategy, cluster, timeout)
    gpus = len(tf.config.list_logical_devices("GPU"))
    facts = {"TensorFlow": tf.__version__, "Keras": keras.__version__, "devices": f"{gpus} GPU" if gpus else "CPU"}
    check_same_software(
        [(name, json.loads(text)) for name, text in distribution.told_by_all("its software", json.dumps(facts))]
    )
    return distribution


def check_same_software(told: list[tuple[str, dict[str, str]]]) -> None:
    """Raises UserError where a worker has another version or other devices than the first.

    Collectives of workers with other numbers of devices wait for each other for ever, and other versions add up in
    other ways.

    Args:
        told: (name, {"TensorFlow": version, "Keras": version, "devices": number and kind}) of each worker.
    """
    first_name, first = told[0]
    for name, facts in told[1:]:
        for what, value in facts.items():
            if value == first[what]:
                continue
            if what == "devices":
                raise UserError(
                    f"{name} trains on {value}, {first_name} on {first[what]}: all workers need the same devices; see "
                    "why TensorFlow finds others there (the driver, CUDA_VISIBLE_DEVICES), then start all again"
                )
            raise UserError(
                f"{name} has {what} {value}, {first_name} has {first[what]}: all workers need the same version; "
                f"install {first[what]} there, then start all again"
            )
