"""AdaEnsemble: an adaptively sparse ensemble of feature-interaction experts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.arguments import (
    ArgumentError,
    Count,
    CountOrZero,
    Counts,
    LayerNormalization,
    Share,
    Shares,
    Weight,
)
from ada_ensemble_tf.gates import prior_shares
from ada_ensemble_tf.models.expert_stack import ExpertStack
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.moe import AuxiliaryLosses, annealing_schedules, load_factor, propagate
from ada_ensemble_tf.moe.auxiliary_losses import Load
from ada_ensemble_tf.moe.expert_lists import LayersExperts, OneExpert, layer_sizes
from ada_ensemble_tf.updates.bilevel import Logs, Update
from data_pipelines.read.inputs import Inputs

RELEASED_EXPERTS = ("gated_dense", "cross", "polynomial", "convolution", "attention")
"""The experts of the original release."""
EXPERTS = ("gated_dense", "dense", "cross", "polynomial")
"""The experts of the default layers."""
DepthObjective = Literal["compared", "straight_through", "expected", "auxiliary", "none"]
"""What teaches the depth gate, see `AdaEnsemble`."""


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class AdaEnsemble(ExpertStack):
    """Stacked sparse mixtures of heterogeneous experts, with an early exit for each row (arXiv 2301.08353).

    The depth gate picks the layer after which a row exits, and a gate in each layer picks K of its experts. During
    training, K and the number of mixed exits fall to their final values. The model's step counter, which is one of its
    weights, drives both schedules. In inference a row takes the exit with the largest depth probability.

    Weight updates train each exit on the rows that go there. How the labels reach the depth gate is `depth_objective`:

    - "compared": the gate descends sum_l p_l * LogLoss_l, p the whole depth softmax before top-K, so a row is pushed to
      the exits whose LogLoss is below the mean under p. Every exit is scored on the same row as it would predict it in
      inference, with W and its statistics fixed. In bi-level training that is what the gate update descends; the
      experts' gates have their gradient through LogLoss_l, and their load is that of all gate rows, which run through
      all layers. In joint training it is the term "exit_comparison", from which only the depth gate learns; it costs
      another pass of the rows, through all layers. The prediction mixes the exits by the kept gates and passes no
      gradient to them.
    - "straight_through": LogLoss of the exits' logits mixed by the kept gates, whose gradient reaches the gate. While
      several exits are mixed, it teaches which mixture is good. With one exit left, the gate is 1 forward and the
      softmax probability backward; the gradient (sigmoid(z) - y) * z then is zero on average where the exit is
      calibrated, and the other exits have no part in it: it does not teach which exit is better.
    - "expected": sum over the kept exits of gate * LogLoss. While several are mixed, these are compared. With one exit
      left, the gradient lowers the kept exit's probability in proportion to its LogLoss, be it the best of all: it
      drives the probabilities together and does not teach which exit is better.
    - "auxiliary": the depth gate learns from the load and z-losses alone, as in the original release, whose combination
      of exits passes no gradient to it.

    The defaults are the layers that did best on five tables in `experiments/results/layer_form.md`: four experts of
    which a row keeps two, a cross expert for all rows, batch-normalised embeddings, nothing else normalised, and
    estimators with a hidden layer. Those of the paper and of the original release are `configs.published.LAYERS`.

    Args:
        experts: the experts in each layer: names, see `ada_ensemble_tf.experts.EXPERTS`, mappings of a "name" and
            options, such as {"name": "cin", "feature_maps": (64,)}, or from Python classes or instances. One list for
            all layers, or a list of lists, one for each layer. A name may come several times; in reports the second
            "cross" is cross_2.
        k: the final K, the number of experts kept per row and layer.
        num_layers: L, the number of MoE layers.
        normalization: normalisation of each layer's output: "batch", "layer", "none", or "pre", that of what experts
            read.
        shared_expert: an expert that runs on every row beside the routed ones in each layer; None for none.
        head_units: sizes of the hidden layers of an MLP beside the linear part of each estimator.
        dropout: the share of the experts' inputs that training sets to 0; gates and residuals are not affected.
        anneal_steps: weight updates over which K falls evenly from E to `k`, and the number of mixed exits from L to 1;
            0 starts with the final values.
        expert_prior: the expected share of each expert; the shares sum to 1. None means uniform, and is needed if
            layers have different numbers of experts.
        depth_prior: the expected share of each exit; the shares sum to 1. None means uniform.
        expert_load_weight: lambda_1 of equation 18, the coefficient of the experts' balance losses over all layers.
        depth_load_weight: lambda_2 of equation 18, the coefficient of the exits' balance loss.
        load_anneal_steps: weight updates over which both load weights fall evenly to 0; 0 keeps them constant.
        load_schedule: the factor of both load weights by training step, which replaces `load_anneal_steps`: a mapping
            of "values" and of "boundaries", the steps from which the second value holds, the third, ..
        load: which rows count as the load of an expert or exit in equation 16: those whose largest gate it is,
            "largest", or all that keep it, "dispatched", as in the original release.
        z_weight: the coefficient of the router z-loss (arXiv 2202.08906) of all gates.
        depth_objective: what teaches the depth gate: "compared", "straight_through", "expected" or "auxiliary", see
            above. "none" has no depth gate: every row runs through all layers.
        deep_supervision: the coefficient of the mean LogLoss of all exits on all training rows, which keeps an exit
            comparable even if few rows go there. Above 0, training runs every row through all layers. None means 0.1 if
            exits are "compared", else 0.
        k_schedule: a schedule of K that replaces `k` and `anneal_steps`; a mapping like `load_schedule`.
        depth_schedule: the same of the number of mixed exits; it must end in 1 and replaces `anneal_steps`.
        **stack: the arguments of the layers, see `ExpertStack`.

    Example:
        >>> model = AdaEnsemble(
        ...     num_rows=4, num_fields=2, dimension=2, num_layers=2, experts=("dense", "cross"), k=1
        ... )
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "ada_ensemble"
    epochs = MappingProxyType({"anneal_steps": 1.0, "load_anneal_steps": 1.0})

    def __init__(
        self,
        *,
        experts: LayersExperts = EXPERTS,
        k: Count = 2,
        num_layers: Count = 2,
        normalization: LayerNormalization = "none",
        shared_expert: OneExpert | None = "cross",
        head_units: Counts = (128,),
        dropout: Share = 0.0,
        anneal_steps: CountOrZero = 0,
        expert_prior: Shares | None = None,
        depth_prior: Shares | None = None,
        expert_load_weight: Weight = 0.01,
        depth_load_weight: Weight = 0.01,
        load_anneal_steps: CountOrZero = 0,
        load_schedule: Mapping[str, Any] | None = None,
        load: Load = "largest",
        z_weight: Weight = 0.0,
        depth_objective: DepthObjective = "compared",
        deep_supervision: Weight | None = None,
        k_schedule: Mapping[str, Any] | None = None,
        depth_schedule: Mapping[str, Any] | None = None,
        **stack: Any,
    ):
        sizes = layer_sizes(experts)
        most, fewest = max(sizes), min(sizes)
        if k > fewest:
            where = f" of layer_{sizes.index(fewest) + 1}" if fewest < most else ""
            raise ArgumentError("k", f"lie between 1 and the {fewest} experts{where}", k)
        if expert_prior is not None and fewest < most:
            raise ArgumentError("expert_prior", "be None where layers have different numbers of experts", expert_prior)
        if deep_supervision and depth_objective == "none":
            raise ArgumentError("deep_supervision", "be 0 where depth_objective is 'none'", deep_supervision)
        super().__init__(
            experts=experts,
            num_layers=num_layers,
            normalization=normalization,
            shared_expert=shared_expert,
            head_units=head_units,
            dropout=dropout,
            **stack,
        )
        self.auxiliary_losses = AuxiliaryLosses(
            expert_prior=None if fewest < most else prior_shares(expert_prior, most, "expert_prior"),
            depth_prior=prior_shares(depth_prior, num_layers, "depth_prior"),
            expert_load_weight=expert_load_weight,
            depth_load_weight=depth_load_weight,
            z_weight=z_weight,
            decorrelation_weight=self.decorrelation_weight,
            load=load,
        )
        self.depth_objective = depth_objective
        supervised = 0.1 if depth_objective == "compared" else 0.0
        self.deep_supervision = supervised if deep_supervision is None else deep_supervision
        self.k_schedule, self.depth_schedule = annealing_schedules(
            most, num_layers, k, anneal_steps, k_schedule, depth_schedule
        )
        self.load_factor = load_factor(load_anneal_steps, load_schedule)
        self.depth_gate = None
        if depth_objective != "none":
            self.depth_gate = self.make_depth_gate()
        elif not self.summed_exits:
            # Only the last exit is ever used.
            for estimator in self.estimators[:-1]:
                estimator.trainable = False
        self.built = True

    def annealing_steps(self) -> int:
        """The number of weight updates after which the model predicts by its final K, exits and gates' schedules."""
        gates = [layer.gate for layer in self.moe_layers if layer.gate is not None]
        gates += [] if self.depth_gate is None else [self.depth_gate]
        steps = [gate.annealing_steps() for gate in gates]
        return max(self.k_schedule.last_boundary, self.depth_schedule.last_boundary, *steps)

    def choice_names(self) -> dict[str, list[str]]:
        """The experts' names by layer, and exit_1 to exit_L for the depth gate."""
        exits = [f"exit_{depth}" for depth in range(1, self.num_layers + 1)]
        return {layer.name: list(layer.expert_names) for layer in self.moe_layers} | {"depth": exits}

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows, picks their exits, and runs each row up to its own."""
        return self._forward(inputs, training, training, every_exit=training and self.deep_supervision > 0.0)

    def _forward(self, inputs: Inputs, training: bool, gate_training: bool, every_exit: bool) -> Forward:
        x0 = self.features(inputs, training)
        k, reports, gate_flops = self.k_schedule(self.step), {}, 0.0
        if self.depth_gate is not None:
            depth_k = self.depth_schedule(self.step) if gate_training else 1
            gates, reports["depth"] = self.depth_gate(self.base(x0), k=depth_k, training=gate_training)
            if self.depth_objective in ("compared", "auxiliary"):
                gates = tf.stop_gradient(gates)
            gate_flops = float(self.depth_gate.flops()) * tf.cast(tf.shape(x0)[0], tf.float32)
        else:
            last = tf.one_hot(self.num_layers - 1, self.num_layers)
            gates = tf.tile(last[None, :], [tf.shape(x0)[0], 1])
        exits = tf.ones_like(gates) if every_exit else gates
        modes, recompute = (training, gate_training), self.activation_checkpointing and (training or gate_training)
        way = propagate(x0, exits, self.moe_layers, self.estimators, k, *modes, self.summed_exits, recompute)
        gated = self.moe_layers[0].gate is not None
        factor = None if self.load_factor is None else self.load_factor(self.step)
        terms = self.auxiliary_losses.terms(way.reports, reports.get("depth"), gated, factor)
        reports |= {layer.name: report for layer, report in zip(self.moe_layers, way.reports, strict=True)}
        logit = tf.reduce_sum(gates * way.exit_logits, axis=1)
        outputs = {f"output of {layer.name}": x for layer, x in zip(self.moe_layers, way.outputs, strict=True)}
        return Forward(
            logit=logit,
            flops=way.flops + gate_flops + self.view_flops(x0),
            terms=terms,
            reports=reports,
            tensors={"embedding output x0": x0} | outputs | {"logit": logit},
            exit_logits=way.exit_logits,
            exit_gates=gates,
            every_exit=every_exit,
        )

    def gates(self, inputs: Inputs) -> dict[str, tf.Tensor]:
        """Each gate's output for all rows in inference, by its name in the reports: `[B, E]`; depth's is `[B, L]`.

        A row that exits early has gates for deeper layers too, although it never reaches them.
        """
        x0, k = self.base(self.features(inputs)), self.k_schedule(self.step)
        gates = {
            layer.name: layer.gate(x0, k=tf.minimum(k, len(layer.experts)))[0]
            for layer in self.moe_layers
            if layer.gate is not None
        }
        return gates | ({"depth": self.depth_gate(x0, k=1)[0]} if self.depth_gate is not None else {})

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """Each expert's output for all rows, `[B, M]`, by layer; here all rows run through all layers."""
        x0, k, outputs = self.features(inputs), self.k_schedule(self.step), {}
        x = self.base(x0)
        for layer in self.moe_layers:
            outputs[layer.name] = layer.expert_outputs(x0, x)
            x, _, _ = layer(x0, x, k=k)
        return outputs

    def objective(self, forward: Forward, labels: tf.Tensor, weights: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """The terms of equation 18 by name; `depth_objective="expected"` replaces the LogLoss by its expectation."""
        terms = super().objective(forward, labels, weights)
        if self.depth_objective == "expected":
            terms["log_loss"] = losses.expected_log_loss(labels, forward.exit_logits, forward.exit_gates, weights)
        if self.deep_supervision and forward.every_exit:
            even = tf.ones_like(forward.exit_logits) / self.num_layers
            supervision = losses.expected_log_loss(labels, forward.exit_logits, even, weights)
            terms["deep_supervision"] = self.deep_supervision * supervision
        return terms

    def loss_terms(
        self, inputs: Inputs, labels: tf.Tensor, update: Update, weights: tf.Tensor | None = None
    ) -> tuple[Forward, Logs]:
        """See `BilevelModel`; with `depth_objective="compared"`, gates descend another loss than weights."""
        if self.depth_objective != "compared" or update == "weights":
            return super().loss_terms(inputs, labels, update, weights)
        # Layers in inference mode: exits are scored as they would predict, and no statistics change.
        every = self._forward(inputs, training=False, gate_training=update == "gates", every_exit=True)
        if update == "gates":
            p = every.reports["depth"].row_probability
            comparison = losses.expected_log_loss(labels, every.exit_logits, p, weights)
            return every, super().objective(every, labels, weights) | {"log_loss": comparison}
        forward, terms = super().loss_terms(inputs, labels, update, weights)
        p, exit_logits = forward.reports["depth"].row_probability, tf.stop_gradient(every.exit_logits)
        return forward, terms | {"exit_comparison": losses.expected_log_loss(labels, exit_logits, p, weights)}
