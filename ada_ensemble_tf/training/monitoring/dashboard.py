"""What TensorBoard shows for a model at each evaluation in addition to its metrics."""

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation.unknown_ids import UnknownIds
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.reporting.alluvial import alluvial_figure
from ada_ensemble_tf.reporting.combinations import DEPTH
from ada_ensemble_tf.reporting.figures import png
from ada_ensemble_tf.reporting.gate_use import gate_uses
from ada_ensemble_tf.reporting.reliability import reliability_figure
from ada_ensemble_tf.training.monitoring.dead_experts import dead_in_use
from ada_ensemble_tf.training.monitoring.embedding_norms import EmbeddingNorms
from data_pipelines.fields.schema import Schema
from data_pipelines.read.inputs import Inputs, ids_of

ROWS = 8192
"""Validation rows for the figures on gates and ids: enough to know a share to a percent, and cheap."""
DOTS_PER_INCH = 80
"""Size of the images: as wide as TensorBoard shows them, and quick to draw."""


class Dashboard:
    """Scalars and images for a model in training. Traced once, so keep it for as long as the model.

    Args:
        model: a `CTRModel`. If it has `gates` that route row by row, the dashboard shows where rows go.
        schema: of the data.
        distribution: where the model's tables are on several devices; all workers then call it with the same rows.
    """

    def __init__(self, model: CTRModel, schema: Schema, distribution: Distribution | None = None):
        self._model = model
        self._norms, self._unknown_ids = EmbeddingNorms(model), UnknownIds(schema)
        self._gates = None
        if hasattr(model, "gates"):
            self._gates = (distribution or Distribution()).of_rows(model.gates, model.input_signature)

    def __call__(
        self, labels: np.ndarray, probabilities: np.ndarray, inputs: Inputs
    ) -> tuple[dict[str, float], dict[str, bytes]]:
        """Scalars by tag, and PNG images by tag.

        Args:
            labels: `[N]`, for all validation rows.
            probabilities: `[N]`.
            inputs: some of these rows, as the model takes them.
        """
        scalars = self._norms()
        shares = self._unknown_ids.shares(ids_of(inputs).numpy())
        scalars |= {f"input/out_of_vocabulary/{field}": share for field, share in shares.items()}
        images = {"calibration/reliability": png(reliability_figure(labels, probabilities), DOTS_PER_INCH)}
        if gates := self._gates_of(inputs):
            choices = self._model.choice_names()
            uses = gate_uses(gates, choices)
            for use in uses:
                for choice, load, routed in zip(use.choices, use.load, use.routed, strict=True):
                    scalars |= {f"{use.place}/load/{choice}": load, f"{use.place}/routed/{choice}": routed}
            scalars |= dead_in_use(uses)
            images["experts/alluvial"] = png(alluvial_figure(gates, choices), DOTS_PER_INCH)
        return scalars, images

    def _gates_of(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Gates `[rows, E]` by place, layers in order; {} if the model has no gates or weights all rows alike."""
        if self._gates is None:
            return {}
        gates = self._gates(inputs)
        places = [place for place in self._model.choice_names() if place in gates]
        if set(places) <= {DEPTH}:
            return {}
        return {place: tf.cast(gates[place], tf.float32).numpy() for place in places}
