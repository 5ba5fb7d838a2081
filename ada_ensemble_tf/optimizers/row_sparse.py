"""What optimisers of embedding tables share: their cost depends on the rows of the batch, not on the table."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import dense_shards_of
from ada_ensemble_tf.devices.sharded_table import shards_of
from ada_ensemble_tf.keras_private import GradientsAndVariables, OpenOptimizer
from ada_ensemble_tf.optimizers.clipping import clipped
from ada_ensemble_tf.optimizers.dense_shards import SlotsOfWeights, start_slots, summed_with_shards
from ada_ensemble_tf.optimizers.rounding import LOW, arithmetic_type, stochastically_rounded
from ada_ensemble_tf.optimizers.row_average import AveragedRows
from ada_ensemble_tf.optimizers.row_options import WHOLE_TABLE_OPTIONS, check_options
from ada_ensemble_tf.optimizers.sharded import PartsOfTables, Traced, clipped_together

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class RowSparseOptimizer(AveragedRows, PartsOfTables, SlotsOfWeights, OpenOptimizer):
    """An optimiser that, given a row-sparse gradient, reads and writes only the rows that have one.

    Subclasses define the arithmetic, `updated`, and name their slots: the state beside each variable.

    Lookups in a table `[V, D]` have a gradient of type `tf.IndexedSlices`. It is first summed over the replicas of a
    `tf.distribute` strategy, which exchange rows. Then the parts of repeated rows are summed, and the result is
    clipped. Finally its rows are gathered from the variable and its slots, updated, and scattered back. A dense
    gradient does the same to the whole variable.

    A table that the replicas share (`devices.sharded_table`) is updated by each replica in its own part, from the
    gradient that its lookup has summed over all rows. Norms are those of the whole table and its whole rows. Of a
    weight that they share (`devices.dense_shards`), each updates its own part.

    Clipping works as in Keras' optimisers: by the norm of a variable's gradient, by the norm of all gradients, or by
    element. It acts on the gradient that is applied, in which each row appears once, summed over all replicas.

    Tables in bfloat16 or float16, and slots in bfloat16, are read as float32, and what is computed for the rows is
    rounded by chance when it is stored, see `rounding.stochastically_rounded`. The draws are a function of the seed,
    the optimiser's step and the place of the table or slot, so that replicas round alike and a resumed training goes on
    as an uninterrupted one.

    Args:
        learning_rate: a float or a Keras schedule.
        name: the optimiser's name.
        slot_dtype: "float32", or "bfloat16" for slots of half the size. Slots of float64 variables are float64.
        slots_on: "device", that of the variable, or "host": the slots are in the memory of the machine, and each step
            moves the batch's rows of them to the device and back. For one device that cannot hold them.
        rounding_seed: the seed of the rounding.
        use_ema: whether to keep a moving average of all weights, see `AveragedRows`. It costs a second table.
        ema_momentum: the share of the old average that an update keeps, in [0, 1).
        **kwargs: `clipnorm`, `global_clipnorm` or `clipvalue`, above 0 and at most one of them.

    Raises:
        ValueError: for Keras' options that would walk the whole table at each step (`WHOLE_TABLE_OPTIONS`), variables
            with a constraint, which would too, a clipping that is not positive, and unknown arguments.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        name: str,
        *,
        slot_dtype: str = "float32",
        slots_on: str = "device",
        rounding_seed: int = 0,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        **kwargs: Any,
    ):
        check_options(type(self).__name__, slot_dtype, slots_on, kwargs)
        # Keras would average all rows at each step.
        super().__init__(learning_rate=learning_rate, name=name, use_ema=False, **kwargs)
        self.set_average(use_ema, ema_momentum)
        self.slot_dtype = slot_dtype
        self.slots_on = slots_on
        self.rounding_seed = rounding_seed
        self.traced = Traced()

    def slot_initializers(self) -> Mapping[str, str | keras.initializers.Initializer]:
        """The initialiser of each slot, by the slot's name."""
        raise NotImplementedError

    def slot_shape(self, name: str, variable: keras.Variable) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of a slot: the variable's shape and `slot_dtype`, unless a subclass overrides this."""
        low = self.slot_dtype in LOW
        return tuple(variable.shape), self.slot_dtype if low else arithmetic_type(variable.dtype).name

    def started(self, w: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Initial values, by slot name, of those slots that depend on the variable's values."""
        return {}

    def adopted(self, w: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Values, by slot name, of those slots that must agree with weights which another training has learned."""
        return self.started(w)

    def updated(
        self, g: tf.Tensor, w: tf.Tensor, slots: Sequence[tf.Tensor], learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        """The new (w, slots) of rows with gradient g.

        Args:
            g: gradients, summed over the batch.
            w: weights of those rows, or of a whole variable; shape and dtype as g.
            slots: their state, in the order of `slot_initializers`.
            learning_rate: that of this step.
        """
        raise NotImplementedError

    def slots(self, variable: keras.Variable) -> list[keras.Variable]:
        """The state beside a variable, in the order of `slot_initializers`."""
        return self._slots[self.index_of(variable)]

    def slots_by_name(self, variable: keras.Variable) -> dict[str, keras.Variable]:
        """The state beside a variable, by name."""
        return dict(zip(self.slot_initializers(), self.slots(variable), strict=True))

    def check(self, variable: keras.Variable) -> None:
        """Raises ValueError for a variable that the optimiser cannot train."""

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        if self.slots_on == "host" and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError("slots_on='host' is for one device; several share slots with sharding.tables='columns'")
        for variable in variables:
            if variable.constraint is not None:
                raise ValueError(
                    f"{type(self).__name__} updates only the rows of the batch, but a constraint would apply to "
                    f"all rows at each step: {variable.path} has {variable.constraint!r}; leave it out"
                )
            self.check(variable)
        self._slots, self._average_slots = [], []
        # Outside any graph, which may be traced twice: slots must keep the values assigned here.
        with tf.init_scope():
            super().build(variables)
            for variable in variables:
                slots = {name: self.add_slot(variable, name, i) for name, i in self.slot_initializers().items()}
                self._slots.append(list(slots.values()))
                if (shards := shards_of(variable)) is not None:
                    self.start_parts(shards, variable, slots)
                    continue
                if (dense := dense_shards_of(variable)) is not None:
                    start_slots(dense, variable, slots, self.started)
                    continue
                (w,) = self.read([variable.value])
                for name, value in self.started(w).items():
                    slots[name].assign(value)
                if self.averages_rows:
                    self._average_slots.append(self.make_average(variable, w))

    def add_slot(
        self,
        variable: keras.Variable,
        name: str,
        initializer: str | keras.initializers.Initializer,
        shape_and_type: tuple[tuple[int, ...], str] | None = None,
    ) -> keras.Variable:
        shape, dtype = shape_and_type or self.slot_shape(name, variable)
        if (shards := shards_of(variable)) is not None:
            return self.slot_of_parts(shards, f"{variable.path.replace('/', '_')}_{name}", shape, dtype, initializer)
        if (dense := dense_shards_of(variable)) is not None:
            return self.slot_of_weight(dense, f"{variable.path.replace('/', '_')}_{name}", dtype, initializer)
        slot_name = f"{variable.path.replace('/', '_')}_{name}"
        of_replicas = self.strategy.extended.colocate_vars_with(variable.value)
        with tf.device("CPU:0") if self.slots_on == "host" else of_replicas:
            return self.add_variable(shape=shape, initializer=initializer, dtype=dtype, name=slot_name)

    def update_all(
        self, strategy: tf.distribute.Strategy, gradients: GradientsAndVariables, learning_rate: tf.Tensor
    ) -> None:
        for gradient, variable in gradients:
            update = functools.partial(self._update_rows, self.index_of(variable))
            self.update_copies(strategy, update, variable, (gradient, learning_rate))

    def update_copies(
        self, distribution: tf.distribute.Strategy, function: Callable[..., None], variable: tf.Variable, args: Sequence
    ) -> None:
        """Calls function(copy, *args, *slots) for each replica's copy of a variable, with that replica's slots."""
        state = (*self.slots(variable), *self.average_slots(variable))
        slots = [distribution.experimental_local_results(slot.value) for slot in state]
        copies = distribution.experimental_local_results(variable)
        # Found here and not by the strategy: gathering rows from a mirrored variable would read all of it.
        slots_of_copy = {id(copy): own for copy, *own in zip(copies, *slots, strict=True)}
        places = {id(copy): local for local, copy in enumerate(copies)}

        def update(copy: tf.Variable, *args: Any) -> None:
            with self.on_part(variable, places[id(copy)]):
                function(copy, *args, *slots_of_copy[id(copy)])

        distribution.extended.update(variable, update, args=tuple(args), group=False)

    def _update_rows(
        self,
        place: int,
        variable: tf.Variable,
        gradient: Gradient,
        learning_rate: tf.Tensor,
        *slots: tf.Variable,
    ) -> None:
        """Updates the rows that `gradient` has, each once; all rows if it is dense."""
        rows = gradient.indices if isinstance(gradient, tf.IndexedSlices) else None
        g = tf.cast(gradient if rows is None else gradient.values, arithmetic_type(variable.dtype))
        if rows is not None:
            # The exchange between replicas may lose the width.
            g = tf.ensure_shape(g, [None, *variable.shape[1:]])
        slots, average = slots[: len(slots) - 2 * self.averages_rows], slots[len(slots) - 2 * self.averages_rows :]
        w, *state = self.read((variable, *slots), rows)
        if average:
            self.average_until_now(w, rows, *average)
        new_w, new_state = self.updated(g, w, state, tf.cast(learning_rate, g.dtype))
        self.write(place, (variable, *slots), (new_w, *new_state), rows)

    def read(self, variables: Sequence[tf.Variable], rows: tf.Tensor | None = None) -> list[tf.Tensor]:
        """Rows of variables, by default all, in the types in which the optimiser computes."""
        values = [tf.convert_to_tensor(v) if rows is None else tf.gather(v, rows) for v in variables]
        return [tf.cast(value, arithmetic_type(value.dtype)) for value in values]

    def write(
        self,
        place: int,
        variables: Sequence[tf.Variable],
        values: Sequence[tf.Tensor],
        rows: tf.Tensor | None = None,
        purpose: int = 0,
    ) -> None:
        """Stores values in rows of a variable and its slots, by default all rows; 16-bit types are rounded by chance.

        Args:
            place: the variable's, see `index_of`.
            variables: the variable and its slots, or the copies on one device.
            values: of their rows, one for each.
            rows: their numbers.
            purpose: different for writes of different kinds within a step, so that they draw different numbers.
        """
        for slot, (target, value) in enumerate(zip(variables, values, strict=True)):
            if target.dtype.name in LOW:
                # A variable has fewer than 16 slots, and a step fewer than 4 purposes.
                stream = self.rounding_seed * 2**32 + (place * 16 + slot) * 4 + purpose
                seed = tf.stack([tf.constant(stream, tf.int64), tf.cast(self.iterations.value, tf.int64)])
                value = stochastically_rounded(value, target.dtype, seed)
            self.assign(target, value if rows is None else tf.IndexedSlices(value, rows))

    def exchanged(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        tables = [self.table_of(variable) for _, variable in gradients]
        dense = [dense_shards_of(self.variable_of(variable)) for _, variable in gradients]
        if any(dense):
            summed = summed_with_shards(gradients, dense, super().exchanged)
            values = clipped_together(self, [gradient for gradient, _ in summed], dense)
            return [(g, variable) for g, (_, variable) in zip(values, gradients, strict=True)]
        if not any(tables):
            return clipped(self, super().exchanged(gradients))
        others = [pair for pair, table in zip(gradients, tables, strict=True) if table is None]
        return self.parts_of_all(gradients, tables, super().exchanged(others))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config = {key: value for key, value in config.items() if key not in WHOLE_TABLE_OPTIONS}
        return config | {
            "slot_dtype": self.slot_dtype,
            "slots_on": self.slots_on,
            "rounding_seed": self.rounding_seed,
            "use_ema": self.averages_rows,
            "ema_momentum": self.row_momentum,
        }


def leaves_rows(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimiser leaves rows of a table as they are that never have a gradient.

    Row-sparse optimisers do, and so does Keras' Adam, whose moments of such rows are 0, without weight decay and
    without an average that overwrites the weights.
    """
    if isinstance(optimizer, RowSparseOptimizer):
        return True
    return isinstance(optimizer, keras.optimizers.Adam) and not (optimizer.weight_decay or optimizer.use_ema)
