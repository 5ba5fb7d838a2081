"""The average of single-expert models."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.models.ada_ensemble import EXPERTS
from ada_ensemble_tf.models.base import CTRModel, Forward
from ada_ensemble_tf.models.single_expert import SingleExpert


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class Ensemble(CTRModel):
    """The mean of the predictions of one `SingleExpert` an expert (AdaEnsemble, arXiv 2301.08353, table 2).

    The members share nothing, tables included, and the loss is the sum of theirs: each has the gradient, and so the
    updates, that it would have if it were trained alone on the same batches. They stop together, where the mean is
    best.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        experts: the members' experts.
        dimension, num_layers, normalization, embedding_normalization, dropout: of each member, see `SingleExpert`.
        l2: coefficient of the sum of squares of all dense kernels.
        initial_logit: initial bias of the members' estimators; the log-odds of the base rate is a good one.

    Raises:
        ValueError: for arguments out of range, named in the message.
    """

    def __init__(
        self,
        num_rows: int,
        num_fields: int,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        experts: Sequence[str] = EXPERTS,
        dimension: int = 16,
        num_layers: int = 4,
        normalization: str = "batch",
        embedding_normalization: str = "batch",
        dropout: float = 0.0,
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "ensemble",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if not experts or len(set(experts)) != len(experts):
            raise ValueError(f"experts must be one or more different ones; received {list(experts)}")
        self.expert_names = tuple(experts)
        self.dimension = dimension
        self.num_layers = num_layers
        self.normalization = normalization
        self.embedding_normalization = embedding_normalization
        self.dropout = dropout
        self.initial_logit = initial_logit
        self.members = []
        for expert in self.expert_names:
            # Variables are told apart by their member.
            with keras.name_scope(f"member_{expert}"):
                member = SingleExpert(
                    num_rows,
                    num_fields,
                    self.widths,
                    self.value_rows,
                    dimension,
                    num_layers,
                    expert,
                    normalization,
                    embedding_normalization,
                    dropout,
                    initial_logit=initial_logit,
                    name=f"member_{expert}",
                )
            self.members.append(member)
        self.built = True

    def forward(self, inputs, training=False) -> Forward:
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

    def objective(self, forward, labels):
        """Each member's LogLoss in the place of the mean prediction's."""
        terms = super().objective(forward, labels)
        del terms["log_loss"]
        members = zip(self.expert_names, tf.unstack(forward.exit_logits, axis=1), strict=True)
        return terms | {f"log_loss_{name}": losses.log_loss(labels, logit) for name, logit in members}

    def get_config(self):
        return super().get_config() | {
            "experts": list(self.expert_names),
            "dimension": self.dimension,
            "num_layers": self.num_layers,
            "normalization": self.normalization,
            "embedding_normalization": self.embedding_normalization,
            "dropout": self.dropout,
            "initial_logit": self.initial_logit,
        }
