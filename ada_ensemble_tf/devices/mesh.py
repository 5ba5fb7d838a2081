"""Replicas as hosts times devices, and the collective operations within groups of them."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import tensorflow as tf

from ada_ensemble_tf.devices.collective_watch import CollectiveWatch
from ada_ensemble_tf.devices.wire_count import WireCount

Group = Literal["world", "host", "slot"]
"""All replicas; those of this replica's host; those at this replica's place on every host."""

_FIRST_KEY, _KEYS = 10_000_000, 10_000
"""Group keys: far from those of `tf.distribute`, whose collectives share one space of keys, and apart for each mesh."""
_MESHES = itertools.count()
_as_it_is = tf.autograph.experimental.do_not_convert
"""Converting these methods for graphs would take most of the tracing time; they have no control flow on tensors."""


class _Place(NamedTuple):
    """A replica's group."""

    size: int
    key: int
    rank: int


class Mesh:
    """The replicas of a strategy as H hosts times G devices, and what they exchange.

    Replica r is device r % G of host r // G. Each operation runs within a group of replicas: "world", all of them;
    "host", the G of one host; "slot", the H that are at the same place on their hosts. It is called by all replicas in
    the same order, in a graph (`tf.function`), with equal shapes, and not in a branch that only some replicas take. A
    loop goes around `strategy.run`: in loops within the replicas collectives wait for each other without end, because
    TensorFlow tells them apart by their loops. Replicas are devices of one process, logical ones included, or of
    several processes.

    Every operation has a gradient. If replica r has the loss L_r, each replica gets the derivative of the sum of all
    L_r with respect to its own tensor.

    The operations are TensorFlow's own collectives: NCCL on GPUs; rings on CPUs, and on logical GPUs that share a card.

    Args:
        strategy: of one process or several; None is a mesh of one replica.
        hosts: H, which divides the number of replicas; by default 1. It need not be the number of processes.
        worker: which process this is, from 0.
        workers: how many processes there are.
        timeout: seconds; a collective that takes longer is ended, with an error that names it. 0 waits forever. All
            processes need the same order of meshes, because an order of keys follows from it.

    Attributes:
        replicas: H * G.
        hosts: H.
        devices: G.
        first: the number of this process's first replica.
        wire: counts bytes after `count_bytes`; None before.

    Raises:
        ValueError: if `hosts` does not divide the replicas, or the mesh is made within the strategy's scope.
        RuntimeError: if the collectives have another order of devices than the strategy.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        hosts: int = 1,
        worker: int = 0,
        workers: int = 1,
        timeout: float = 0.0,
    ):
        self.strategy = strategy
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        if hosts < 1 or self.replicas % hosts:
            raise ValueError(f"hosts must divide the number of replicas, {self.replicas}; received {hosts}")
        if tf.distribute.has_strategy():
            raise ValueError("make a mesh outside the strategy's scope, which would copy its variables")
        self.hosts, self.devices = hosts, self.replicas // hosts
        self._first_key = _FIRST_KEY + _KEYS * next(_MESHES)
        places = ["/device:CPU:0"] if strategy is None else strategy.extended.worker_devices
        self.first = worker * (self.replicas // workers)
        gpus = "GPU" in places[0]
        shared = len(tf.config.list_physical_devices("GPU")) < len(tf.config.list_logical_devices("GPU"))
        self.communication = "nccl" if gpus and not shared else "ring"
        # Without one token for all collectives of a device, one process may start them in different orders and wait
        # for itself.
        self._tokens = []
        for device in places:
            with tf.device(device):
                self._tokens.append(tf.Variable(0.0, trainable=False))
        self._calls = [0] * len(places)
        self._replica = threading.local()
        self._watch = CollectiveWatch(len(places), timeout)
        self.wire: WireCount | None = None
        if self.replicas > 1:
            self._check_order()

    def count_bytes(self) -> WireCount:
        """Counts what functions traced from now on send; call it outside of the strategy's scope."""
        self.wire = WireCount(len(self._tokens), {group: self.size(group) for group in ("world", "host", "slot")})
        return self.wire

    def close(self) -> None:
        """Ends the watch over collectives."""
        self._watch.close()

    def waits_in(self) -> str | None:
        """The name of a collective that a replica of this process is in; None if none is."""
        return self._watch.waits_in()

    @contextlib.contextmanager
    def on_replica(self, local: int) -> Iterator[None]:
        """Within the block, which is in a cross-replica context, operations are those of a replica of this process.

        Args:
            local: its place among the replicas of this process.
        """
        self._replica.local = local
        try:
            yield
        finally:
            self._replica.local = None

    @_as_it_is
    def replica(self) -> int:
        """The number of the replica that is being traced.

        Raises:
            ValueError: outside of replicas.
        """
        local = getattr(self._replica, "local", None)
        if local is not None:
            return self.first + local
        context = tf.distribute.get_replica_context()
        if self.replicas == 1:
            return 0
        if context is None or context.num_replicas_in_sync != self.replicas:
            raise ValueError(f"a collective of {self.replicas} replicas was called outside of them: use strategy.run")
        return int(tf.get_static_value(context.replica_id_in_sync_group))

    def local_replica(self) -> int:
        """The place of the replica that is being traced among those of this process."""
        return self.replica() - self.first

    def size(self, group: Group = "world") -> int:
        """The number of replicas in a group."""
        return {"world": self.replicas, "host": self.devices, "slot": self.hosts}[group]

    def rank(self, group: Group = "world") -> int:
        """The place of the replica that is being traced in its group, from 0."""
        return self._place(group).rank

    @_as_it_is
    def all_gather(self, x: tf.Tensor, group: Group = "world") -> tf.Tensor:
        """The x of a group's replicas, one after the other: `[n, ..]` to `[G n, ..]`.

        Its gradient is reduce-scatter.
        """
        if self.size(group) == 1:
            return x

        @tf.custom_gradient
        def gather(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            return self._gathered(x, group), lambda dy: self.reduce_scatter(dy, group)

        return gather(x)

    @_as_it_is
    def reduce_scatter(self, x: tf.Tensor, group: Group = "world") -> tf.Tensor:
        """A replica's part of the group's sum: `[G n, ..]` to `[n, ..]`. Its gradient is all-gather."""
        size = self.size(group)
        _check_first(x, size, "reduce_scatter", f"be a multiple of {size}", lambda first: first % size == 0)
        if size == 1:
            return x

        @tf.custom_gradient
        def scatter(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            return self._scattered(x, group), lambda dy: self.all_gather(dy, group)

        return scatter(x)

    @_as_it_is
    def all_to_all(self, x: tf.Tensor, group: Group = "world") -> tf.Tensor:
        """What each replica of the group has for this one: y[j] is x[this] of replica j, both `[G, ..]`.

        Its gradient is all-to-all.
        """
        size = self.size(group)
        _check_first(x, size, "all_to_all", f"be {size}", lambda first: first == size)
        if size == 1:
            return x

        @tf.custom_gradient
        def exchange(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            return self._run("CollectiveAllToAllV2", "all_to_all", x, group), lambda dy: self.all_to_all(dy, group)

        return exchange(x)

    @_as_it_is
    def all_reduce(self, x: tf.Tensor, group: Group = "world") -> tf.Tensor:
        """The group's sum of x. Its gradient is all-reduce."""
        if self.size(group) == 1:
            return x

        @tf.custom_gradient
        def reduce(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            total = self._run("CollectiveReduceV2", "all_reduce", x, group, merge_op="Add", final_op="Id")
            return total, lambda dy: self.all_reduce(dy, group)

        return reduce(x)

    def _gathered(self, x: tf.Tensor, group: Group) -> tf.Tensor:
        # There is no gather of bfloat16; gathering moves bits.
        bits = tf.bitcast(x, tf.float16) if x.dtype == tf.bfloat16 else x
        found = self._run("CollectiveGatherV2", "all_gather", bits, group)
        found.set_shape([None if x.shape[0] is None else x.shape[0] * self.size(group), *x.shape[1:]])
        return tf.bitcast(found, tf.bfloat16) if x.dtype == tf.bfloat16 else found

    def _scattered(self, x: tf.Tensor, group: Group) -> tf.Tensor:
        size = self.size(group)
        if self.communication == "nccl":
            part = self._run("CollectiveReduceScatterV2", "reduce_scatter", x, group, merge_op="Add", final_op="Id")
        else:
            # Rings have no reduce-scatter; this moves as many bytes.
            parts = tf.reshape(x, tf.concat([[size, -1], tf.shape(x)[1:]], axis=0))
            parts = self._run("CollectiveAllToAllV2", "reduce_scatter", parts, group)
            part = tf.reduce_sum(parts, axis=0)
        part.set_shape([None if x.shape[0] is None else x.shape[0] // size, *x.shape[1:]])
        return part

    def _run(self, operation: str, name: str, x: tf.Tensor, group: Group, **arguments: str) -> tf.Tensor:
        local, place = self.local_replica(), self._place(group)
        if tf.executing_eagerly():
            raise ValueError(f"{name}: collectives of several replicas run in a graph: call it within a tf.function")
        if self.wire is not None:
            self.wire.add(local, name, group, x)
        self._calls[local] += 1
        call = self._calls[local]
        # Errors of TensorFlow contain the names of operations.
        full_name = f"mesh_{group}_{name}_{call}"
        with self._watch.during(local, call, full_name) as started, tf.control_dependencies(started):
            result = getattr(tf.raw_ops, operation)(
                input=x,
                group_size=place.size,
                group_key=place.key,
                instance_key=call,
                ordering_token=[self._tokens[local].handle],
                communication_hint=self.communication,
                timeout_seconds=0.0,
                name=full_name,
                **arguments,
            )
            self._watch.finished(local, call, result)
        return result

    def _place(self, group: Group) -> _Place:
        host, device = divmod(self.replica(), self.devices)
        if group == "world":
            return _Place(self.replicas, self._first_key, self.replica())
        if group == "host":
            return _Place(self.devices, self._first_key + 1 + host, device)
        if group == "slot":
            return _Place(self.hosts, self._first_key + 1 + self.hosts + device, host)
        raise ValueError(f"group must be world, host or slot; received {group!r}")

    def _check_order(self) -> None:
        strategy = self.strategy
        assert strategy is not None, "there are several replicas"

        @_as_it_is
        def own():
            return {g: self.all_gather(tf.constant([self.rank(g)]), g) for g in ("world", "host", "slot")}

        @tf.function(autograph=False)
        def ranks():
            return tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], strategy.run(own))

        for group, found in ranks().items():
            if found.numpy().tolist() != list(range(self.size(group))):
                raise RuntimeError(
                    f"the collectives of group {group} have the replicas in the order {found.numpy().tolist()}, the "
                    "strategy from 0 up: give the strategy its devices in the order of their names"
                )


def _check_first(x: tf.Tensor, size: int, name: str, should: str, fits: Callable[[int], bool]) -> None:
    """Raises ValueError if the first dimension of x does not fit a group, or x is empty, which ends the process."""
    first = x.shape[0] if x.shape.rank else None
    if x.shape.rank == 0 or (first is not None and not fits(first)):
        raise ValueError(f"{name} in a group of {size}: the first dimension must {should}; received shape {x.shape}")
    if size > 1 and x.shape.num_elements() == 0:
        raise ValueError(f"{name} in a group of {size}: the tensor must not be empty; received shape {x.shape}")
