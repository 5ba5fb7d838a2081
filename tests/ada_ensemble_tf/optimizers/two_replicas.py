"""Compares row-sparse optimisers on two replicas with one device that has both batches; prints what it has checked.

TensorFlow's devices cannot be changed later, so this runs in its own process.
"""

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.optimizers import OPTIMIZERS, RowSparseOptimizer, make_optimizer

V, WIDTH = 1013, 3
IDS = np.array([[1, 2, 2, 7], [2, 5, 7, 5]], np.int32)
"""Rows of each replica; both have rows 2 and 7."""
LATER_IDS = np.array([[1, 1, 1, 1], [5, 9, 9, 1]], np.int32)
VALUES = np.random.default_rng(0).normal(size=(2, 4, WIDTH)).astype(np.float32)


def table() -> keras.Variable:
    return keras.Variable(np.random.default_rng(1).normal(0, 0.1, (V, WIDTH)).astype(np.float32), name="table")


def check(strategy, name: str, arguments: dict) -> None:
    expected, alone = table(), make_optimizer(name, **arguments)
    with strategy.scope():
        variable, optimizer = table(), make_optimizer(name, **arguments)
        optimizer.build([variable])

    def apply(values, ids):
        optimizer.apply([tf.IndexedSlices(values, ids, tf.constant([V, WIDTH]))], [variable])

    @tf.function(autograph=False)
    def step(values, ids):
        strategy.run(apply, args=(values, ids))

    def spread(x):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(x[context.replica_id_in_sync_group])
        )

    for ids in (IDS, LATER_IDS, LATER_IDS, IDS):
        step(spread(VALUES), spread(ids))
        both = tf.IndexedSlices(tf.constant(VALUES.reshape(-1, WIDTH)), tf.constant(ids.reshape(-1)), (V, WIDTH))
        alone.apply([both], [expected])
    if arguments.get("catch_up"):
        optimizer.bring_up_to_date(variable)
        alone.bring_up_to_date(expected)
    assert int(tf.convert_to_tensor(optimizer.iterations)) == 4
    state, of_one = ([v, *o.slots(v), *o.average_slots(v)] for o, v in ((optimizer, variable), (alone, expected)))
    for ours, theirs in zip(state, of_one, strict=True):
        copies = strategy.experimental_local_results(ours.value)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_allclose(copy, theirs, rtol=1e-5, atol=1e-6)

    operations = step.get_concrete_function(spread(VALUES), spread(IDS)).graph.get_operations()
    assert any(operation.type == "ResourceScatterUpdate" for operation in operations)
    shapes = [output.shape for operation in operations for output in operation.outputs if output.dtype != tf.resource]
    assert not [shape for shape in shapes if shape.rank and V in shape.as_list()], "a tensor as long as the table"
    print(name, arguments)


def check_that_replicas_may_not_bring_rows(strategy) -> None:
    with strategy.scope():
        variable, optimizer = table(), make_optimizer("sparse_adam", catch_up=True)
        optimizer.build([variable])
    try:
        strategy.run(lambda: optimizer.bring_up_to_date(variable, tf.constant([1])))
    except ValueError as error:
        assert "inside strategy.run" in str(error)
        print("refused")


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for kind in sorted(name for name, made in OPTIMIZERS.items() if issubclass(made, RowSparseOptimizer)):
        check(mirrored, kind, {"learning_rate": 0.1})
    check(mirrored, "sparse_adam", {"learning_rate": 0.1, "catch_up": True})
    check(mirrored, "group_ftrl", {"learning_rate": 0.1, "use_ema": True})
    for clipping in ("clipnorm", "clipvalue", "global_clipnorm"):
        check(mirrored, "sparse_adagrad", {"learning_rate": 0.1, clipping: 0.5})
    check_that_replicas_may_not_bring_rows(mirrored)
