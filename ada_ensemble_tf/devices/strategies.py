"""Chooses the devices and machines that train together."""

import itertools
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
"""Default for the seconds that a worker waits for the others."""
_KEYS, _MADE = 10_000, itertools.count()


def make_distribution(strategy: str, timeout: float = WORKER_TIMEOUT) -> Distribution:
    """Makes the distribution that `config.strategy` asks for.

    The environment variable TF_CONFIG lists the workers, if there are several. Call this before anything else in
    TensorFlow.

    Args:
        strategy: "auto" takes all workers and all GPUs; "none" takes one device; "mirrored" takes all GPUs of this
            machine, or its CPU devices if it has no GPU.
        timeout: seconds that a worker waits for the others, here and later.

    Raises:
        UserError: if the name is unknown; TF_CONFIG is malformed; TF_CONFIG names several workers but the strategy
            takes one machine; the workers have different versions or devices, or do not appear; a port is taken; or
            "mirrored" finds one device.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"config.strategy must be one of {', '.join(STRATEGIES)}; received {strategy!r}")
    if (cluster := read_cluster()) is not None:
        if strategy != "auto":
            raise UserError(
                f"config.strategy={strategy!r} trains on one machine, but TF_CONFIG names {len(cluster.addresses)} "
                "workers: use 'auto', or unset TF_CONFIG"
            )
        return _of_workers(cluster, timeout)
    devices = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored":
        devices = devices or tf.config.list_logical_devices("CPU")
        if len(devices) < 2:
            raise UserError(f"config.strategy='mirrored' needs two or more devices; there is only {devices[0].name}")
    if strategy == "none" or len(devices) < 2:
        return Distribution()
    logger.info("training on %d devices: %s", len(devices), ", ".join(device.name for device in devices))
    return Distribution(_mirrored([device.name for device in devices]))


def _mirrored(devices: list[str]) -> tf.distribute.MirroredStrategy:
    """A strategy whose collectives have keys of their own.

    TensorFlow numbers those of every strategy alike, and remembers the shapes of the first one's: another model on the
    same devices would not match them.
    """
    own = {"_collective_key_base": _KEYS * next(_MADE)}
    return type("MirroredStrategy", (tf.distribute.MirroredStrategy,), own)(devices)


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
    """Raises UserError if a worker's versions or devices differ from the first worker's.

    Collectives wait forever if workers have different numbers of devices, and versions may sum in different orders.

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
