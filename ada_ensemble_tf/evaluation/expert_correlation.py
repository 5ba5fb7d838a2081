"""How alike a model's experts are on held-out rows."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation.metrics import cross_expert_correlation
from ada_ensemble_tf.models import CTRModel
from data_pipelines.read.inputs import Inputs


class ExpertCorrelation:
    """Cross-Expert Correlation by layer. Traced once for all batch sizes, so keep it for as long as the model.

    Args:
        model: a `CTRModel`.
        distribution: where its tables are on several devices; all workers then call it with the same batches.
    """

    def __init__(self, model: CTRModel, distribution: Distribution | None = None):
        self._outputs = (distribution or Distribution()).of_rows(self._run, model.input_signature)
        self._model = model

    def _run(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        layers = self._model.expert_outputs(inputs)
        return {layer: [tf.cast(x, tf.float32) for x in outputs] for layer, outputs in layers.items()}

    def __call__(self, batches: Iterable[tuple[Any, ...]], max_rows: int) -> dict[str, dict[str, float]]:
        """`metrics.cross_expert_correlation` by layer, and their mean as "all"; {} if no layer has several experts.

        Args:
            batches: (inputs, labels, ..) batches with at least two rows in all.
            max_rows: how many rows to read at most, starting with the first.
        """
        layers: dict[str, list[list[np.ndarray]]] = {}
        left = max_rows
        for inputs, labels, *_ in batches:
            outputs = self._outputs(tf.nest.map_structure(lambda x, rows=left: x[:rows], inputs))
            for layer, tensors in outputs.items():
                layers.setdefault(layer, []).append([x.numpy() for x in tensors])
            left -= len(labels)
            if left <= 0 or not layers:
                break
        results = {}
        for layer, parts in layers.items():
            if len(parts[0]) > 1:
                results[layer] = cross_expert_correlation([np.concatenate(x) for x in zip(*parts, strict=True)])
        if results:
            kinds = next(iter(results.values()))
            results["all"] = {kind: float(np.mean([c[kind] for c in results.values()])) for kind in kinds}
        return results
