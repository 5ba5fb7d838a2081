"""Bi-level training: gates on rows of their own, weights on the training rows, in turn."""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.gates.scalars import report_scalars
from ada_ensemble_tf.layers.embedding import ids_of
from ada_ensemble_tf.layers.normalization import frozen_statistics
from ada_ensemble_tf.losses import log_loss
from ada_ensemble_tf.updates.finite import FiniteCheck
from ada_ensemble_tf.updates.second_order import second_order_gate_gradients
from ada_ensemble_tf.updates.stages import Stage

OPTIMIZERS = ("embedding_optimizer", "weight_optimizer", "gate_optimizer")


class BilevelModel(keras.Model):
    """A model whose `train_step` alternates updates of its gates and of its weights.

    Algorithm 2 of AdaEnsemble (arXiv 2301.08353), after DARTS (arXiv 1806.09055). Alpha is `gate_variables`, W is
    `embedding_variables` and `weight_variables`; each of the three has an optimiser of its own. What a training
    element holds decides what is done with it:

    - `{"train": (inputs [t, B, ..], labels [t, B]), "gate": (inputs [B, ..], labels [B])}`, as
      `data_pipelines.read.dataset.pair` makes: one update of alpha on the gate rows, then t updates of W on the
      training batches. Neither touches the other's variables, optimiser state or normalisation statistics.
    - `(inputs [B, ..], labels [B])`: the joint mode, one update of alpha and W on the same rows.

    Inputs are whatever `forward` takes: a tensor or a nest of tensors, rows first.

    Subclasses give `forward`, `objective` and the three lists of variables.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.finite = FiniteCheck()
        self._frozen = frozenset()
        self._distribute = None

    def stages(self) -> Sequence[Stage]:
        """The stages of training in their order; none is one stage that trains everything.

        `TrainingLoop` goes through them. Keras' `fit` knows of none: it trains everything.
        """
        return ()

    def freeze(self, variables: Sequence[keras.Variable]) -> None:
        """Leaves these variables of W out of weight updates from now on, in functions that are yet to be traced."""
        self._frozen = frozenset(id(v) for v in variables)
        if hasattr(self, "_weight_step"):
            self._weight_step = self._make_weight_step()

    def distribute(self, replicate: Callable[[Callable], Callable]) -> None:
        """Has every update done by `replicate(update)`, in functions that are yet to be traced.

        Args:
            replicate: makes of an update, which takes rows and returns logs, one on all replicas.
        """
        self._distribute = replicate
        self._weight_step = self._make_weight_step()

    def bring_up_to_date(self) -> None:
        """Does what an optimiser has put off for rows of tables that did not come, see `RowSparseAdam`."""
        for optimizer, variables in self.groups().values():
            if hasattr(optimizer, "bring_up_to_date"):
                for variable in variables:
                    optimizer.bring_up_to_date(variable)

    def annealing_steps(self) -> int:
        """Weight updates after which every schedule of the model has reached its final value.

        Of stages it is the start of the last: only then has all that will be served been trained.
        """
        return sum(stage.steps for stage in self.stages()[:-1])

    def finish_annealing(self) -> None:
        """Moves the step counter past all schedules, so that the model runs as it is meant to be served."""
        self.step.assign(tf.maximum(tf.convert_to_tensor(self.step), self.annealing_steps()))

    def compile(
        self,
        embedding_optimizer: keras.optimizers.Optimizer,
        weight_optimizer: keras.optimizers.Optimizer,
        gate_optimizer: keras.optimizers.Optimizer | None = None,
        xi: float = 0.0,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Sets the optimisers.

        Args:
            embedding_optimizer: of `embedding_variables`.
            weight_optimizer: of `weight_variables`.
            gate_optimizer: of `gate_variables`; needed if the model has gates.
            xi: step size of the virtual weight update in the gate update. 0 is the first-order form; above 0 the gate
                gradient is taken at W - xi * grad_W of the training loss, with DARTS' finite-difference second
                order term, at four more passes through the network.
            run_eagerly: as in Keras.
            steps_per_execution: as in Keras.

        Raises:
            ValueError: if the model has gates and no optimiser for them, or `xi` is negative, or above 0 for a model
                with stages.
        """
        if xi < 0.0:
            raise ValueError(f"xi must not be negative; received {xi}")
        if xi and self.stages():
            raise ValueError(f"the second-order gate update knows of no stages: xi must be 0; received {xi}")
        if self.gate_variables and gate_optimizer is None:
            raise ValueError("the model has gates: compile needs a gate_optimizer")
        super().compile(
            optimizer=weight_optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=False,
        )
        self.xi = xi
        self.embedding_optimizer = embedding_optimizer
        self.weight_optimizer = weight_optimizer
        self.gate_optimizer = gate_optimizer
        groups = self.groups().values()
        if len({id(optimizer) for optimizer, _ in groups}) < len(groups):
            raise ValueError("each group of variables needs an optimizer of its own; received one twice")
        for optimizer, variables in groups:
            optimizer.build(variables)
        self._auc = keras.metrics.AUC(num_thresholds=10_000, name="auc")
        self._log_loss = keras.metrics.Mean(name="log_loss")
        self._weight_step = self._make_weight_step()

    def _make_weight_step(self):
        if self.run_eagerly or (tf.distribute.has_strategy() and self._distribute is None):
            return self._update_weights
        # One function, traced and optimised once however many updates a train step has. Within a replica updates must
        # not be inside a function, so where Keras' `fit` runs the replicas they are unrolled.
        update = self._on_replicas(self._update_weights)
        return tf.function(update, reduce_retracing=True, experimental_attributes={"_noinline": True})

    def groups(self) -> dict[str, tuple[keras.optimizers.Optimizer, list[keras.Variable]]]:
        """(optimiser, variables) of each group that has any."""
        groups = {
            "embedding": (self.embedding_optimizer, self.embedding_variables),
            "weight": (self.weight_optimizer, self.weight_variables),
            "gate": (self.gate_optimizer, self.gate_variables),
        }
        return {name: group for name, group in groups.items() if group[1]}

    @property
    def optimizer_variables(self) -> list[keras.Variable]:
        """All state of the optimisers."""
        return [v for optimizer, _ in self.groups().values() for v in optimizer.variables]

    def get_compile_config(self):
        """The optimisers and xi, for `.keras` files; None before `compile`."""
        if not self.compiled:
            return None
        return {"xi": self.xi} | {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in OPTIMIZERS if getattr(self, name)
        }

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` says."""
        optimizers = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in OPTIMIZERS if name in config
        }
        self.compile(**optimizers, xi=config["xi"])

    @property
    def metrics(self):
        """What `evaluate` reports; exact figures over whole splits are in `ada_ensemble_tf.evaluation.metrics`."""
        return [self._auc, self._log_loss] if hasattr(self, "_auc") else []

    def train_step(self, data):
        """One training element; returns the loss and its LogLoss term, of which `training_logs` has the rest."""
        logs = self.training_logs(data)
        return {name: value for name, value in logs.items() if name in ("loss", "log_loss")}

    def training_logs(self, data) -> dict[str, tf.Tensor]:
        """One training element as `train_step` does it, with all there is to report as scalars by name.

        `first_bad` is the place in `self.finite.names` of the first tensor that was not finite, -1 if all were, and
        `bad_step` the weight update that it came up in.
        """
        if not isinstance(data, Mapping):
            return self._on_replicas(self._joint_step)(*data)
        train_inputs, train_labels = data["train"]
        steps = train_labels.shape[0]
        if steps is None:
            raise ValueError(
                "the training batches of a bi-level element must be stacked [t, B, ..] with t known; use "
                f"data_pipelines.read.dataset.pair. Received labels of shape {train_labels.shape}"
            )
        if not self.gate_variables:
            raise ValueError(f"{self.name} has no gates: train it on (inputs, labels), not on bi-level elements")
        batches = [(tf.nest.map_structure(lambda x, i=i: x[i], train_inputs), train_labels[i]) for i in range(steps)]
        logs = self._on_replicas(self._gate_step)(*data["gate"], *batches[0])
        first_bad, bad_step = logs["first_bad"], logs["bad_step"]
        for inputs, labels in batches:
            logs |= self._weight_step(inputs, labels)
            bad_step = tf.where(first_bad >= 0, bad_step, logs["bad_step"])
            first_bad = tf.where(first_bad >= 0, first_bad, logs["first_bad"])
        return logs | {"first_bad": first_bad, "bad_step": bad_step}

    def _on_replicas(self, update):
        return update if self._distribute is None else self._distribute(update)

    def _update_weights(self, inputs, labels):
        return self._update(inputs, labels, ("embedding", "weight"), "weight update")

    def _joint_step(self, inputs, labels):
        return self._update(inputs, labels, ("embedding", "weight", "gate"), "joint update")

    def _update(self, inputs, labels, names, stage):
        """One update of the groups called `names` on a batch; counts as a step."""
        groups = [
            (optimizer, [v for v in variables if id(v) not in self._frozen])
            for name, (optimizer, variables) in self.groups().items()
            if name in names
        ]
        groups = [group for group in groups if group[1]]
        gradients, logs = self.compute_gradients(inputs, labels, [variables for _, variables in groups], stage)
        lookups = ids_of(inputs).shape.num_elements() if replicas.count() > 1 else None
        for (optimizer, variables), group_gradients in zip(groups, gradients, strict=True):
            optimizer.apply([replicas.to_send(gradient, lookups) for gradient in group_gradients], variables)
        self.step.assign_add(1)
        return logs

    def _gate_step(self, inputs, labels, train_inputs, train_labels):
        with frozen_statistics():
            if self.xi:
                gradients, logs = second_order_gate_gradients(
                    self, (train_inputs, train_labels), (inputs, labels), self.xi
                )
            else:
                (gradients,), logs = self.compute_gradients(inputs, labels, [self.gate_variables], "gate update")
        self.gate_optimizer.apply(gradients, self.gate_variables)
        return {name: logs[name] for name in ("first_bad", "bad_step")} | {
            f"gate_update/{name}": logs[name] for name in ("loss", "log_loss")
        }

    def compute_gradients(self, inputs, labels, groups, stage):
        """(gradients in lists as `groups`, logs): of the objective on a batch, in training mode."""
        with tf.GradientTape() as tape:
            forward = self.forward(inputs, training=True)
            terms = self.objective(forward, labels)
            loss = tf.add_n(list(terms.values()))
            # The optimisers sum the gradients of all replicas: together they are those of the mean of the losses.
            share = loss if replicas.count() == 1 else loss / replicas.count()
        gradients = tape.gradient(share, [[v.value for v in group] for group in groups])
        pairs = [pair for group in zip(groups, gradients, strict=True) for pair in zip(*group, strict=True)]
        outcomes = {f"loss term {name}": term for name, term in terms.items()}
        outcomes |= {f"gradient of {variable.path}": gradient for variable, gradient in pairs}
        rows = tf.cast(tf.maximum(tf.shape(labels)[0], 1), tf.float32)
        logs = {"loss": loss, "log_loss": log_loss(labels, forward.logit)} | terms
        logs |= report_scalars(forward.reports, self.choice_names()) | {"flops_per_example": forward.flops / rows}
        first_bad = self.finite.first_bad_if(stage, forward.tensors, outcomes)
        return gradients, logs | {"first_bad": first_bad, "bad_step": tf.convert_to_tensor(self.step) + 1}

    def choice_names(self) -> dict[str, list[str]]:
        """What each gate chooses among, by the gate's name in the reports."""
        return {}

    def test_step(self, data):
        """Adds (inputs, labels) to the metrics."""
        inputs, labels = data
        forward = self.forward(inputs, training=False)
        self._log_loss.update_state(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=forward.logit))
        self._auc.update_state(labels, tf.sigmoid(forward.logit))
        return {metric.name: metric.result() for metric in self.metrics}

    def predict_step(self, data):
        """Click probabilities `[B]` of inputs or (inputs, labels)."""
        inputs = data[0] if isinstance(data, tuple) else data
        return self(inputs, training=False)
