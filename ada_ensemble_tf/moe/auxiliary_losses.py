"""The loss terms that read the reports of AdaEnsemble's gates."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from ada_ensemble_tf.gates import GateReport, prior_shares
from ada_ensemble_tf.losses import load_distribution_loss

Load = Literal["largest", "dispatched"]


@dataclasses.dataclass(frozen=True)
class AuxiliaryLosses:
    """The loss terms besides LogLoss, and their coefficients.

    Args:
        expert_prior: expected share of each expert; None means uniform, whatever the number in a layer.
        depth_prior: expected share of each exit.
        expert_load_weight: lambda_1 of AdaEnsemble (arXiv 2301.08353), equation 18.
        depth_load_weight: lambda_2 of the same equation.
        z_weight: coefficient of the router z-loss of all gates.
        decorrelation_weight: coefficient of the Cross-Expert De-Correlation loss.
        load: which rows count as a choice's load in equation 16: those whose largest gate it is, "largest", or all that
            keep it, "dispatched", as in the original release.

    Raises:
        ValueError: if `decorrelation_weight` is negative.
    """

    expert_prior: tuple[float, ...] | None
    depth_prior: tuple[float, ...]
    expert_load_weight: float
    depth_load_weight: float
    z_weight: float
    decorrelation_weight: float
    load: Load = "largest"

    def __post_init__(self):
        if self.decorrelation_weight < 0.0:
            raise ValueError(f"decorrelation_weight must not be negative; received {self.decorrelation_weight}")

    def terms(
        self,
        layers: Sequence[GateReport],
        depth: GateReport | None,
        gated: bool,
        load_factor: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The terms by name, each a weighted scalar.

        Args:
            layers: the MoE layers' reports.
            depth: the depth gate's report, if there is one.
            gated: whether the layers have gates; fusions have no expected shares.
            load_factor: a scalar factor of both load weights; none by default.
        """
        terms, reports = {}, [*([] if depth is None else [depth]), *layers]
        if gated:
            distribution = [self._load_distribution(r, self.expert_prior) for r in layers]
            terms["expert_distribution"] = self.expert_load_weight * tf.add_n(distribution)
        if depth is not None:
            distribution = self._load_distribution(depth, self.depth_prior)
            terms["depth_distribution"] = self.depth_load_weight * distribution
        if load_factor is not None:
            terms = {name: load_factor * term for name, term in terms.items()}
        if self.z_weight:
            terms["router_z"] = self.z_weight * tf.add_n([r.z for r in reports])
        if self.decorrelation_weight:
            losses = [tf.convert_to_tensor(r.decorrelation) for r in layers]
            terms["decorrelation"] = self.decorrelation_weight * tf.add_n(losses)
        terms["gate_penalty"] = tf.add_n([r.penalty for r in reports])
        return terms

    def _load_distribution(self, report: GateReport, prior: tuple[float, ...] | None) -> tf.Tensor:
        load = report.load if self.load == "largest" else report.routed
        shares = prior_shares(prior, load.shape[0], "prior")
        return load_distribution_loss(load, report.probability, tf.constant(shares))
