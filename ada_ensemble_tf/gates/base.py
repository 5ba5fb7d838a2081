"""What every gate is."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Positive, Share, Weight, check_arguments, constructor_parameters, plain
from ada_ensemble_tf.gates.report import GateReport, gate_report
from ada_ensemble_tf.gates.schedule import Schedule, make_schedule
from ada_ensemble_tf.gates.top_k import masked_gates, top_k_mask
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import full_precision
from ada_ensemble_tf.losses import router_z_loss


class ScheduleOf(NamedTuple):
    """A schedule that replaces an option of a gate."""

    argument: str
    schedule: Schedule
    given: Mapping[str, Any]


class Gate(keras.layers.Layer):
    """A layer that maps x0 `[B, M]` to (gates `[B, E]`, GateReport).

    A row's gates are non-negative; those not kept are exactly 0, and the kept ones sum to 1. A gate that is kept alone
    is straight-through, see `gates.top_k.straight_through`. Gates compute in the type of their variables even under
    mixed precision: rounded logits would tie, and ties go to the lower index.

    All gates share these arguments, so one can replace another by name alone. All contain the projection h = FFN(x0) of
    AdaEnsemble (arXiv 2301.08353, equation 7), M -> M / reduction (ReLU) -> hidden_size. A subclass defines `logits`,
    and `kept` unless it keeps the K largest of them; or it overrides `call`.

    Args:
        num_choices: E, how many experts (or depths) there are to choose from.
        reduction: r, how many times narrower the FFN's inner layer is than M.
        hidden_size: d, size of h.
        noise: strength of the gate's randomness in training, 0 for none; each gate says how it is used.
        initial_temperature: initial value, above 0, of what divides the scores. The temperature is learned: it is the
            softplus of a variable, so it stays positive.
        stop_gradient: whether gradients stop between the gate and x0, as in the original release (the paper does not
            say).
        seed: the seed of the noise.
        dropout: the share of the FFN's inner layer that training sets to 0.
        l2: the coefficient of the sum of squares of the FFN's kernels, part of the report's penalty.
        noise_schedule: a schedule of `noise` by training step, which replaces it: a mapping of "values" and of
            "boundaries", the steps from which the second value holds, the third, ..; None for none. A gate outside a
            model that counts steps has the last value.
        temperature_schedule: a schedule of the temperature, likewise, which then is not learned.

    Call arguments:
        x0: `[B, M]`; B may be 0.
        k: how many gates to keep, an int or an int32 scalar in [1, E].
        training: whether to add noise.

    Returns:
        (gates `[B, E]`, GateReport).

    Raises:
        ValueError: for arguments out of range, named in the message.
    """

    in_inference: ClassVar[frozenset[str]] = frozenset(("initial_temperature",))
    """Options that may have a schedule and matter in inference."""
    keeps_weights_whole = True
    """Replicas do not share a gate's variables, see `ShardableLayer`."""

    def __new__(cls, num_choices: int, **arguments: Any) -> "Gate":
        """Checks the arguments that gates declare, not those of all Keras layers."""
        parameters, given = constructor_parameters(cls, Gate), {"num_choices": num_choices} | arguments
        check_arguments(parameters, {name: value for name, value in given.items() if name in parameters})
        return super().__new__(cls, num_choices, **arguments)

    def __init__(
        self,
        num_choices: Count,
        reduction: Count = 16,
        hidden_size: Count = 16,
        noise: Weight = 0.5,
        initial_temperature: Positive = 0.5,
        stop_gradient: bool = True,
        seed: int | None = None,
        dropout: Share = 0.0,
        l2: Weight = 0.0,
        noise_schedule: Mapping[str, Any] | None = None,
        temperature_schedule: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        kwargs["dtype"] = full_precision(kwargs.get("dtype"))
        super().__init__(**kwargs)
        self.num_choices = num_choices
        self.reduction = reduction
        self.hidden_size = hidden_size
        self.noise = noise
        self.initial_temperature = initial_temperature
        self.stop_gradient = stop_gradient
        self.seed = seed
        self.dropout = dropout
        self.drop = make_dropout(dropout)
        self.l2 = l2
        self.schedules: dict[str, ScheduleOf] = {}
        self._read_step: Callable[[], tf.Tensor] | None = None
        self._schedule("noise_schedule", noise_schedule, "noise")
        self._schedule("temperature_schedule", temperature_schedule, "initial_temperature")
        self.noise_seed = keras.random.SeedGenerator(seed)

    def _schedule(self, argument: str, given: Mapping[str, Any] | None, option: str) -> None:
        """Lets a schedule replace an option, whose annotation each value must fit."""
        if given is not None:
            of_value = constructor_parameters(type(self), Gate)[option].annotation
            self.schedules[option] = ScheduleOf(argument, make_schedule(argument, given, of_value), plain(given))

    def follow(self, step: keras.Variable) -> None:
        """Makes the gate's schedules go by a model's step counter."""
        # In a closure, so that Keras does not take the counter for a weight of this layer.
        self._read_step = lambda: tf.convert_to_tensor(step)

    def scheduled(self, option: str) -> tf.Tensor | float:
        """The value of an option at this step of training."""
        if option not in self.schedules:
            return getattr(self, option)
        schedule = self.schedules[option].schedule
        return schedule.final if self._read_step is None else schedule(self._read_step())

    def ever(self, option: str) -> bool:
        """Whether an option, or a value of its schedule, is above 0."""
        return (
            max(self.schedules[option].schedule.values if option in self.schedules else [getattr(self, option)]) > 0.0
        )

    def annealing_steps(self) -> int:
        """The step from which the gate's schedules no longer change what it gives in inference."""
        served = [one.schedule.last_boundary for option, one in self.schedules.items() if option in self.in_inference]
        return max(served, default=0)

    def build(self, x0_shape: Shape) -> None:
        inner_width = max(1, x0_shape[-1] // self.reduction)
        self.squeeze = Dense(inner_width, activation="relu", dtype=self.dtype_policy, name="squeeze")
        self.squeeze.build(x0_shape)
        self.project = Dense(self.hidden_size, dtype=self.dtype_policy, name="project")
        self.project.build((None, inner_width))
        if "initial_temperature" not in self.schedules:
            start = keras.initializers.Constant(float(np.log(np.expm1(self.initial_temperature))))
            self.raw_temperature = self.add_weight(name="raw_temperature", shape=(), initializer=start)

    @property
    def temperature(self) -> tf.Tensor:
        """The current temperature, a positive scalar."""
        if "initial_temperature" in self.schedules:
            return tf.convert_to_tensor(self.scheduled("initial_temperature"), self.compute_dtype)
        return tf.nn.softplus(tf.convert_to_tensor(self.raw_temperature))

    def hidden(self, x0: tf.Tensor, training: bool = False, jitter: bool = False) -> tf.Tensor:
        """`[B, d]`: h = FFN(x0), in training with dropout and of x0 * U(1 - noise, 1 + noise) if there is jitter."""
        if self.stop_gradient:
            x0 = tf.stop_gradient(x0)
        if training and jitter and self.ever("noise"):
            noise = self.scheduled("noise")
            x0 *= keras.random.uniform(tf.shape(x0), 1.0 - noise, 1.0 + noise, x0.dtype, self.noise_seed)
        inner = self.squeeze(x0)
        return self.project(inner if self.drop is None else self.drop(inner, training=training))

    def weight_penalty(self) -> tf.Tensor | float:
        """l2 times the sum of squares of the FFN's kernels, a scalar."""
        if not self.l2:
            return 0.0
        kernels = (self.squeeze.kernel, self.project.kernel)
        return self.l2 * tf.add_n([tf.reduce_sum(tf.square(tf.convert_to_tensor(kernel))) for kernel in kernels])

    def logits(self, x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, E]` router logits, before anything is dropped."""
        raise NotImplementedError(f"{type(self).__name__} must define logits")

    def kept(self, logits: tf.Tensor, k: tf.Tensor, training: bool) -> tf.Tensor:
        """`[B, E]` booleans: the choices that a row keeps."""
        return top_k_mask(logits, k)

    def call(self, x0: tf.Tensor, k: tf.Tensor | int, training: bool = False) -> tuple[tf.Tensor, GateReport]:
        k = tf.cast(k, tf.int32)
        logits = self.logits(x0, training)
        gates, probability = masked_gates(logits, self.kept(logits, k, training))
        reported = (k, router_z_loss(logits), self.temperature, self.weight_penalty())
        return gates, gate_report(gates, probability, logits, *reported)

    def flops(self) -> int:
        """Floating-point operations per row in inference, two a multiply-add; known once built."""
        inner_width = self.squeeze.units
        return 2 * (self.squeeze.kernel.shape[0] + self.hidden_size) * inner_width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_choices": self.num_choices,
            "reduction": self.reduction,
            "hidden_size": self.hidden_size,
            "noise": self.noise,
            "initial_temperature": self.initial_temperature,
            "stop_gradient": self.stop_gradient,
            "seed": self.seed,
            "dropout": self.dropout,
            "l2": self.l2,
            **{one.argument: one.given for one in self.schedules.values()},
        }
