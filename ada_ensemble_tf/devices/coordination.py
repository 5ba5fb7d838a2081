"""Facts that workers tell each other by name, before they compute together.

A collective does not say who is missing, and between workers whose devices differ in number it hangs. TensorFlow's
coordination service has texts by key, but no public interface: what is used of it here was tried with TensorFlow 2.21.
"""

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context

from ada_ensemble_tf.devices.cluster import Cluster
from data_pipelines.errors import UserError


def limit_waiting(seconds: float) -> None:
    """Has the workers' first meeting fail after so long; call it before a strategy is made."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    leader = "chief" if "chief" in cluster.jobs else "worker"
    context.context().configure_coordination_service(
        "standalone",
        service_leader=f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(1000 * seconds),
        coordinated_jobs=[CoordinatedJob(name=job, num_tasks=cluster.num_tasks(job)) for job in cluster.jobs],
    )


def told_by_all(cluster: Cluster, topic: str, text: str, seconds: float) -> list[str]:
    """What each worker tells of a topic, in their order; each topic once in a process.

    Args:
        cluster: the workers.
        topic: what it is about.
        text: what this worker tells.
        seconds: how long to wait for the others.

    Raises:
        UserError: one of them did not tell in time.
    """
    context.context().set_config_key_value(f"ada_ensemble/{topic}/{cluster.worker}", text)
    told = []
    for worker, _ in enumerate(cluster.addresses):
        try:
            key = f"ada_ensemble/{topic}/{worker}"
            told.append(context.context().get_config_key_value(key, max(1, int(1000 * seconds))))
        except tf.errors.DeadlineExceededError as error:
            raise UserError(
                f"{cluster.name()} waited {seconds:g} s for {cluster.name(worker)} to tell {topic}: see what that one "
                "printed last, then start all workers again; if it is only slow, raise config.worker_timeout"
            ) from error
    return told
