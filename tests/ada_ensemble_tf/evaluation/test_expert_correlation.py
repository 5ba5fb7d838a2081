import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.evaluation.expert_correlation import ExpertCorrelation
from ada_ensemble_tf.evaluation.metrics import cross_expert_correlation
from ada_ensemble_tf.models import MODELS


class TableOfOutputs:
    """Stands in for a model: its experts' outputs are columns of random numbers, picked by the row's id."""

    input_signature = tf.TensorSpec([None, 1], tf.int32)
    columns = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)

    def __init__(self, layers: dict[str, list[list[int]]]):
        self.layers = layers

    def expert_outputs(self, inputs):
        rows = tf.gather(tf.constant(self.columns, tf.float16), inputs[:, 0])
        return {layer: [tf.gather(rows, c, axis=1) for c in experts] for layer, experts in self.layers.items()}


def batches(*sizes: int):
    start = 0
    for size in sizes:
        yield tf.range(start, start + size)[:, None], tf.zeros([size])
        start += size
    raise AssertionError("more batches were read than there are rows wanted")


def test_it_is_the_metric_of_the_first_rows():
    model = TableOfOutputs({"layer_1": [[0, 1], [2]], "layer_2": [[3], [4], [3, 5]], "alone": [[0]]})
    results = ExpertCorrelation(model)(batches(16, 16, 16), max_rows=40)
    columns = model.columns[:40].astype(np.float16).astype(np.float32)
    first = cross_expert_correlation([columns[:, [0, 1]], columns[:, [2]]])
    second = cross_expert_correlation([columns[:, [3]], columns[:, [4]], columns[:, [3, 5]]])
    assert results == {
        "layer_1": pytest.approx(first),
        "layer_2": pytest.approx(second),
        "all": pytest.approx({kind: (first[kind] + second[kind]) / 2 for kind in ("absolute", "squared")}),
    }


def test_all_rows_where_there_are_few():
    model = TableOfOutputs({"layer_1": [[0], [1]]})
    results = ExpertCorrelation(model)([next(batches(10))], max_rows=40)
    expected = np.corrcoef(model.columns[:10, :2].astype(np.float16).astype(np.float64).T)[0, 1]
    assert results["all"]["absolute"] == pytest.approx(abs(expected), rel=1e-5)


@pytest.mark.parametrize("layers", [{}, {"layer_1": [[0, 1]]}], ids=["none", "one"])
def test_nothing_without_several_experts(layers):
    assert ExpertCorrelation(TableOfOutputs(layers))([next(batches(10))], max_rows=5) == {}


def test_models_without_experts_say_so():
    ids = tf.constant([[0, 1], [1, 0]])
    model = MODELS["factorization_machine"](num_rows=2, num_fields=2)
    assert model.expert_outputs(ids) == {}
    assert ExpertCorrelation(model)([(ids, tf.zeros([2]))], max_rows=2) == {}
