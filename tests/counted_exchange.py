"""A process with two CPU devices that shows what replicas of a model hand to collectives in a step:

python tests/counted_exchange.py MODEL DATA_DIR OUT.json
"""

import json
import sys

import tensorflow as tf

from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.devices.sharded_table import shards_of
from ada_ensemble_tf.devices.sharding import sharded_tables
from ada_ensemble_tf.devices.strategies import make_distribution
from ada_ensemble_tf.training.setup import build_model, compile_model
from ada_ensemble_tf.training.shared_tables import make_sharding
from data_pipelines.read.dataset import open_data

BATCH = 64
VALUES = {"batch_size": BATCH, "model.dimension": 4, "model.hidden_units": (32,)}


def count(model_name: str, data_dir: str, out: str) -> None:
    """Saves the bytes of dense gradients, of rows' gradients and of all else that one replica exchanges.

    Also what replicas that share the tables send for them in a step, and the bytes that each holds.
    """
    data, config = open_data(data_dir), make_config("sample", model_name, VALUES)
    sizes = {"dense": 0, "rows": 0, "other": 0}
    exchange = tf.distribute.ReplicaContext.all_reduce

    def counted(self, reduce_op, value, options=None):
        if int(tf.get_static_value(self.replica_id_in_sync_group)) == 0:
            for one in tf.nest.flatten(value):
                if isinstance(one, tf.IndexedSlices):
                    sizes["rows"] += bytes_of(one.values) + bytes_of(one.indices)
                else:
                    # Optimisers exchange lists of gradients; the gradient of a sum over replicas is a list of one.
                    sizes["dense" if isinstance(value, list | tuple) and len(value) > 1 else "other"] += bytes_of(one)
        return exchange(self, reduce_op, value, options)

    tf.distribute.ReplicaContext.all_reduce = counted
    distribution = make_distribution("mirrored", 0.0)
    with distribution.scope():
        model = build_model(config, data)
        compile_model(model, config)
    model.distribute(distribution.replicate)
    rows = next(iter(data.train(BATCH, seed=0)))
    model._weight_step.get_concrete_function(*rows)
    result = sizes | {"replicas": distribution.replicas, "rows_a_replica": BATCH // distribution.replicas}
    config.sharding.tables = "columns"
    sharding = make_sharding(config, data, distribution)
    with distribution.scope(), sharded_tables(sharding):
        model = build_model(config, data)
        compile_model(model, config)
    model.distribute(distribution.replicate)
    wire = distribution.mesh.count_bytes()
    model._weight_step(*rows)
    (table,) = model.embedding_variables
    state = {"table": [table], "slots": model.embedding_optimizer.slots(table)}
    result["part"] = {what: sum(bytes_of(shards_of(v).parts(v)[0]) for v in own) for what, own in state.items()}
    result["sent"] = {kind: size for (kind, _), size in wire.sent().items()}
    with open(out, "w") as file:
        json.dump(result, file)


def bytes_of(tensor: tf.Tensor) -> int:
    """Of a tensor whose shape is known."""
    return tensor.shape.num_elements() * tensor.dtype.size


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    count(*sys.argv[1:])
