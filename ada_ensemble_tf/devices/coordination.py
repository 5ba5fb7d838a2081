"""Facts that workers exchange by name before they compute together.

A collective does not say who is missing, and it hangs if workers have different numbers of devices. TensorFlow's
coordination service stores text by key but has no public interface; the calls here were tried with TensorFlow 2.21.
"""

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context

from ada_ensemble_tf.devices.cluster import Cluster
from data_pipelines.errors import UserError


def limit_waiting(seconds: float) -> None:
    """Makes the workers' first barrier fail after `seconds`; call it before a strategy is made."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    leader = "chief" if "chief" in cluster.jobs else "worker"
    context.context().configure_coordination_service(
        "standalone",
        service_leader=f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(1000 * seconds),
        coordinated_jobs=[CoordinatedJob(name=job, num_tasks=cluster.num_tasks(job)) for job in cluster.jobs],
    )


def told_by_all(cluster: Cluster, topic: str, text: str, seconds: float) -> list[str]:
    """Every worker's text on a topic, in worker order; a process can use each topic once.

    Args:
        cluster: the workers.
        topic: the topic, also used in the message.
        text: this worker's text.
        seconds: how long to wait for the others.

    Raises:
        UserError: if a worker did not answer in time.
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
