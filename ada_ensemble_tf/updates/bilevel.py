"""Bi-level training: gates learn on their own rows, weights on the training rows, in turn."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.dense_shards import dense_shards_of
from ada_ensemble_tf.devices.sharded_table import shards_of
from ada_ensemble_tf.gates.scalars import report_scalars
from ada_ensemble_tf.layers.normalization import frozen_statistics
from ada_ensemble_tf.layers.recomputing import gradients_only_of
from ada_ensemble_tf.losses import log_loss
from ada_ensemble_tf.optimizers import optimizers_of_groups
from ada_ensemble_tf.updates.averaged_weights import averaged_weights
from ada_ensemble_tf.updates.compile_checks import check_averages, check_loss, check_tables, check_xi
from ada_ensemble_tf.updates.finite import FiniteCheck
from ada_ensemble_tf.updates.grouped import OPTIMIZERS, GroupedModel, Logs
from ada_ensemble_tf.updates.labels import click_labels, row_weights
from ada_ensemble_tf.updates.second_order import second_order_gate_gradients
from ada_ensemble_tf.updates.stages import Stage
from data_pipelines.read.inputs import Inputs, ids_of

Update = Literal["weights", "gates", "joint"]
"""What an update changes: W, alpha, or both on the same rows."""
GateWeights = Literal["own", "averaged"]
"""The weights that gate updates see: as they are, or their moving averages."""


class BilevelModel(GroupedModel):
    """A model whose `train_step` alternates between updates of its gates and of its weights.

    Algorithm 2 of AdaEnsemble (arXiv 2301.08353), after DARTS (arXiv 1806.09055). Alpha is `gate_variables`; W is
    `embedding_variables` and `weight_variables`. Each of the three groups has its own optimiser. The form of a training
    element decides the update:

    - `{"train": (inputs [t, B, ..], labels [t, B]), "gate": (inputs [B, ..], labels [B])}`, as
      `data_pipelines.read.dataset.pair` makes: one update of alpha on the gate rows, then t updates of W on the
      training batches. Neither touches the other's variables, optimiser state or normalisation statistics.
    - `(inputs [B, ..], labels [B])`: the joint mode, one update of alpha and W on the same rows.

    Wherever there is (inputs, labels), there may be (inputs, labels, weights), with the rows' weights of the shape of
    the labels. They weigh the loss terms that compare rows with their labels. Terms about gates and statistics of
    normalisation count rows.

    Inputs are whatever `forward` takes: a tensor or a nested structure of tensors, rows first.

    Subclasses give `forward`, `objective` and the three lists of variables, and `loss_terms` where gates and weights
    descend different losses.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.finite = FiniteCheck()
        self._frozen: frozenset[int] = frozenset()
        self._distribute: Callable[[Callable], Callable] | None = None

    def stages(self) -> Sequence[Stage]:
        """The stages of training, in order; an empty list means one stage that trains everything.

        `TrainingLoop` goes through the stages. Keras' `fit` ignores them and trains everything.
        """
        return ()

    def loss_terms(
        self, inputs: Inputs, labels: tf.Tensor, update: Update, weights: tf.Tensor | None = None
    ) -> tuple[Any, Logs]:
        """(Forward, terms) of an update on its batch; the update descends the sum of the terms, which have names."""
        del update
        forward = self.forward(inputs, training=True)
        return forward, self.objective(forward, labels, weights)

    def freeze(self, variables: Sequence[keras.Variable]) -> None:
        """Excludes these variables of W from weight updates, in functions traced from now on."""
        self._frozen = frozenset(id(v) for v in variables)
        if hasattr(self, "_weight_step"):
            self._weight_step = self._make_weight_step()

    def distribute(self, replicate: Callable[[Callable], Callable]) -> None:
        """Makes every update run as `replicate(update)`, in functions traced from now on.

        Args:
            replicate: turns an update, which takes rows and returns logs, into one that runs on all replicas.
        """
        self._distribute = replicate
        self._weight_step = self._make_weight_step()

    def annealing_steps(self) -> int:
        """The number of weight updates after which every schedule of the model has reached its final value.

        With stages, at least the start of the last one: only then is everything that gets served being trained.
        """
        return sum(stage.steps for stage in self.stages()[:-1])

    def finish_annealing(self) -> None:
        """Moves the step counter past all schedules, so that the model runs as it will be served."""
        self.step.assign(tf.maximum(tf.convert_to_tensor(self.step), self.annealing_steps()))

    def compile(
        self,
        embedding_optimizer: keras.optimizers.Optimizer | None = None,
        weight_optimizer: keras.optimizers.Optimizer | None = None,
        gate_optimizer: keras.optimizers.Optimizer | None = None,
        xi: float = 0.0,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        *,
        gate_weights: GateWeights = "own",
        optimizer: str | keras.optimizers.Optimizer | None = None,
        loss: str | None = None,
        metrics: Sequence[str | keras.metrics.Metric] = (),
    ) -> None:
        """Sets the optimisers.

        `model.optimizer`, which Keras' learning-rate callbacks change, is the weight optimiser; the callback
        `updates.callbacks.ScaleLearningRates` changes all three.

        Args:
            embedding_optimizer: for `embedding_variables`; by default `optimizer`, or that of
                `optimizers.DEFAULTS`.
            weight_optimizer: for `weight_variables`, likewise.
            gate_optimizer: for `gate_variables`, likewise.
            xi: step size of the virtual weight update in the gate update. 0 is the first-order form. Above 0, the gate
                gradient is taken at W - xi * grad_W of the training loss, with DARTS' finite-difference second-order
                term; this costs four more passes through the network.
            run_eagerly: as in Keras.
            steps_per_execution: as in Keras.
            gate_weights: the weights that gate updates see, "own" or "averaged". With "averaged", gates learn for the
                moving averages that optimisers with `use_ema` keep, by which the model is then to be evaluated.
            optimizer: for all variables that none of the three is given for; each group gets a copy.
            loss: only "binary_crossentropy", which it is anyway; the model adds its own terms, see `objective`.
            metrics: what `evaluate` reports besides loss, AUC and LogLoss, as in Keras.

        Raises:
            ValueError: if `xi` is negative or, for a model with stages, above 0; if `loss` is another; if an optimiser
                or a metric is unknown, or an optimiser is given twice; for 16-bit tables, if `xi` is above 0 or the
                embedding optimiser is none that rounds by chance; if `gate_weights` is unknown, or "averaged" with `xi`
                above 0 or with an optimiser of weights that keeps no averages.
        """
        check_loss(loss)
        check_xi(xi, stages=bool(self.stages()))
        given = {"embedding_optimizer": embedding_optimizer, "weight_optimizer": weight_optimizer}
        if self.gate_variables:
            given["gate_optimizer"] = gate_optimizer
        optimizers = optimizers_of_groups(optimizer, given)
        check_tables(self, optimizers["embedding_optimizer"], xi)
        check_averages(gate_weights, [optimizers[f"{group}_optimizer"] for group in ("embedding", "weight")], xi)
        super().compile(
            optimizer=optimizers["weight_optimizer"],
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=False,
        )
        self.xi = xi
        self.gate_weights = gate_weights
        self.embedding_optimizer = optimizers["embedding_optimizer"]
        self.weight_optimizer = optimizers["weight_optimizer"]
        self.gate_optimizer = optimizers.get("gate_optimizer", gate_optimizer)
        groups = self.groups().values()
        if len({id(optimizer) for optimizer, _ in groups}) < len(groups):
            raise ValueError("each group of variables needs its own optimizer; received the same one twice")
        for own, variables in groups:
            own.build(variables)
        self.make_metrics(metrics)
        self._weight_step = self._make_weight_step()

    def _make_weight_step(self):
        if self.run_eagerly or (tf.distribute.has_strategy() and self._distribute is None):
            return self._update_weights
        # One function, traced and optimised once, however many updates a train step has. Within a replica an update
        # must not be inside a function, so if Keras' `fit` runs the replicas, the updates are unrolled.
        update = self._on_replicas(self._update_weights)
        return tf.function(update, autograph=False, reduce_retracing=True, experimental_attributes={"_noinline": True})

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles the model with the config from `get_compile_config`."""
        optimizers = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in OPTIMIZERS if name in config
        }
        metrics = [keras.saving.deserialize_keras_object(metric) for metric in config["metrics"]]
        self.compile(**optimizers, xi=config["xi"], metrics=metrics, gate_weights=config.get("gate_weights", "own"))

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one element; returns the loss and its LogLoss term. `training_logs` returns all terms."""
        if not isinstance(data, Mapping):
            inputs, labels, *weights = data
            data = (inputs, click_labels(labels), *map(row_weights, weights))
        logs = self.training_logs(data)
        return {name: value for name, value in logs.items() if name in ("loss", "log_loss")}

    def training_logs(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one element like `train_step`; returns everything to report as scalars by name.

        `first_bad` is the index in `self.finite.names` of the first tensor that was not finite, -1 if all were finite.
        `bad_step` is the weight update in which it occurred.
        """
        if not isinstance(data, Mapping):
            return self._on_replicas(self._joint_step)(*data)
        train_labels = data["train"][1]
        steps = train_labels.shape[0]
        if steps is None:
            raise ValueError(
                "the training batches of a bi-level element must be stacked [t, B, ..] with t known; use "
                f"data_pipelines.read.dataset.pair. Received labels of shape {train_labels.shape}"
            )
        if not self.gate_variables:
            raise ValueError(f"{self.name} has no gates: train it on (inputs, labels), not on bi-level elements")
        batches = [tf.nest.map_structure(lambda x, i=i: x[i], data["train"]) for i in range(steps)]
        logs = self._on_replicas(self._gate_step)(data["gate"], batches[0])
        first_bad, bad_step = logs["first_bad"], logs["bad_step"]
        for rows in batches:
            logs |= self._weight_step(*rows)
            bad_step = tf.where(first_bad >= 0, bad_step, logs["bad_step"])
            first_bad = tf.where(first_bad >= 0, first_bad, logs["first_bad"])
        return logs | {"first_bad": first_bad, "bad_step": bad_step}

    def _on_replicas(self, update: Callable) -> Callable:
        return update if self._distribute is None else self._distribute(update)

    def _update_weights(self, *rows: Any) -> Logs:
        return self._update(rows, ("embedding", "weight"), "weight update")

    def _joint_step(self, *rows: Any) -> Logs:
        return self._update(rows, ("embedding", "weight", "gate"), "joint update")

    def _update(self, rows: tuple[Any, ...], names: Sequence[str], stage: str) -> Logs:
        """Updates the groups called `names` on (inputs, labels), with or without weights; counts as a step."""
        inputs, labels, *weights = rows
        groups = [
            (optimizer, [v for v in variables if id(v) not in self._frozen])
            for name, (optimizer, variables) in self.groups().items()
            if name in names
        ]
        groups = [group for group in groups if group[1]]
        update: Update = "joint" if "gate" in names else "weights"
        trained = [variables for _, variables in groups]
        gradients, logs = self.compute_gradients(inputs, labels, trained, stage, update, *weights)
        lookups = ids_of(inputs).shape.num_elements() if replicas.count() > 1 else None
        for (optimizer, variables), group_gradients in zip(groups, gradients, strict=True):
            # What the replicas share sends no gradient: its lookup or its layer has.
            sent = [
                gradient if shards_of(variable) or dense_shards_of(variable) else replicas.to_send(gradient, lookups)
                for gradient, variable in zip(group_gradients, variables, strict=True)
            ]
            optimizer.apply(sent, variables)
        self.step.assign_add(1)
        return logs

    def _gate_step(self, gate: tuple[Any, ...], train: tuple[Any, ...]) -> Logs:
        with frozen_statistics():
            if self.xi:
                gradients, logs = second_order_gate_gradients(self, train, gate, self.xi)
            else:
                inputs, labels, *weights = gate
                groups = [self.gate_variables]
                with averaged_weights(self) if self.gate_weights == "averaged" else nullcontext():
                    (gradients,), logs = self.compute_gradients(
                        inputs, labels, groups, "gate update", "gates", *weights
                    )
        assert self.gate_optimizer is not None, "compile gives it"
        self.gate_optimizer.apply(gradients, self.gate_variables)
        return {name: logs[name] for name in ("first_bad", "bad_step")} | {
            f"gate_update/{name}": logs[name] for name in ("loss", "log_loss", "flops_per_example")
        }

    def compute_gradients(
        self,
        inputs: Inputs,
        labels: tf.Tensor,
        groups: Sequence[Sequence[keras.Variable]],
        stage: str,
        update: Update = "joint",
        weights: tf.Tensor | None = None,
    ) -> tuple[list[list[Any]], Logs]:
        """(gradients, logs) of an update's `loss_terms` on a batch; gradients are lists, one per group."""
        trained = [variable for group in groups for variable in group]
        with tf.GradientTape() as tape, gradients_only_of(trained):
            forward, terms = self.loss_terms(inputs, labels, update, weights)
            loss = tf.add_n(list(terms.values()))
            # The optimisers sum the gradients of all replicas; the sum is the gradient of the replicas' mean loss.
            share = loss if replicas.count() == 1 else loss / replicas.count()
        gradients = tape.gradient(share, [[v.value for v in group] for group in groups])
        pairs = [pair for group in zip(groups, gradients, strict=True) for pair in zip(*group, strict=True)]
        outcomes = {f"loss term {name}": term for name, term in terms.items()}
        outcomes |= {f"gradient of {variable.path}": gradient for variable, gradient in pairs}
        rows = tf.cast(tf.maximum(tf.shape(labels)[0], 1), tf.float32)
        logs = {"loss": loss, "log_loss": log_loss(labels, forward.logit, weights)} | terms
        logs |= report_scalars(forward.reports, self.choice_names()) | {"flops_per_example": forward.flops / rows}
        first_bad = self.finite.first_bad_if(stage, forward.tensors, outcomes)
        return gradients, logs | {"first_bad": first_bad, "bad_step": tf.convert_to_tensor(self.step) + 1}

    def choice_names(self) -> dict[str, list[str]]:
        """The names of each gate's choices, by the gate's name in the reports."""
        return {}
