"""The average of single-expert models."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.arguments import Count, Normalization, Share
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.models.single_expert import SingleExpert
from ada_ensemble_tf.moe.expert_lists import SomeExperts, labels
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class Ensemble(CTRModel):
    """The mean prediction of several `SingleExpert` models, one per expert (AdaEnsemble, arXiv 2301.08353, table 2).

    The members share nothing, not even tables, and the loss is the sum of their losses. So each member gets the same
    gradient and updates as if it were trained alone on the same batches. They stop together, when the mean is best.

    Args:
        experts: the experts of the members, one each, in the forms of `SingleExpert`'s. A name may come several times;
            the second "cross" is cross_2.
        dimension, num_layers, normalization, embedding_normalization, dropout: for each member; see `SingleExpert`.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = Ensemble(num_rows=4, num_fields=2, dimension=2, num_layers=1, experts=("dense", "cross"))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "ensemble"

    def __init__(
        self,
        *,
        experts: SomeExperts = RELEASED_EXPERTS,
        dimension: Count = 16,
        num_layers: Count = 4,
        normalization: Normalization = "batch",
        embedding_normalization: Normalization = "batch",
        dropout: Share = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        self.expert_names = labels(experts)
        self.members = []
        for expert, label in zip(experts, self.expert_names, strict=True):
            # The scope keeps the variables of different members apart.
            with keras.name_scope(f"member_{label}"):
                member = SingleExpert(
                    expert=expert,
                    dimension=dimension,
                    num_layers=num_layers,
                    normalization=normalization,
                    embedding_normalization=embedding_normalization,
                    dropout=dropout,
                    **common | {"name": f"member_{label}"},
                )
            self.members.append(member)
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs the rows through all members."""
        forwards = [member.forward(inputs, training) for member in self.members]
        logits = tf.stack([forward.logit for forward in forwards], axis=1)
        # The log-odds of the mean probability, without leaving logarithms.
        logit = tf.reduce_logsumexp(tf.math.log_sigmoid(logits), axis=1)
        logit -= tf.reduce_logsumexp(tf.math.log_sigmoid(-logits), axis=1)
        tensors = {
            f"{member.name}: {name}": tensor
            for member, forward in zip(self.members, forwards, strict=True)
            for name, tensor in forward.tensors.items()
        }
        return Forward(
            logit=logit,
            flops=tf.add_n([forward.flops for forward in forwards]),
            tensors=tensors | {"logit": logit},
            exit_logits=logits,
        )

    def objective(self, forward: Forward, labels: tf.Tensor, weights: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """The terms of the loss, with each member's LogLoss instead of the mean prediction's."""
        terms = super().objective(forward, labels, weights)
        del terms["log_loss"]
        members = zip(self.expert_names, tf.unstack(forward.exit_logits, axis=1), strict=True)
        return terms | {f"log_loss_{name}": losses.log_loss(labels, logit, weights) for name, logit in members}
