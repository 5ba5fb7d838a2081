"""The dashboard of an evaluation: values by hand, and deliberate defects with the tags that show them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_files import read_events
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.evaluation.metrics import all_metrics
from ada_ensemble_tf.evaluation.unknown_ids import UnknownIds
from ada_ensemble_tf.gates.scalars import report_scalars
from ada_ensemble_tf.models import DNN, AdaEnsemble
from ada_ensemble_tf.training.monitoring import embedding_norms
from ada_ensemble_tf.training.monitoring.dashboard import Dashboard
from ada_ensemble_tf.training.monitoring.dead_experts import dead_in_reports
from ada_ensemble_tf.training.monitoring.embedding_norms import EmbeddingNorms
from ada_ensemble_tf.training.monitoring.tensorboard import TensorBoardWriter
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import PADDING, Field, Schema

FIELDS = 10
SCHEMA = Schema(RawFormat("madeup", "label"), tuple(Field(f"f{i}", "text", 6, 6 * i) for i in range(FIELDS)))


def small_model(**arguments) -> AdaEnsemble:
    """Three layers of three experts, otherwise the paper's, always with the same weights."""
    keras.utils.set_random_seed(3)
    defaults = {"dimension": 4, "num_layers": 3, "gate": {"reduction": 2}, "experts": ("dense", "cross", "polynomial")}
    model = AdaEnsemble(num_rows=6 * FIELDS, num_fields=FIELDS, **(PUBLISHED_LAYERS | defaults | {"k": 2} | arguments))
    # Embeddings far enough apart that rows route differently.
    model.embedding.table.assign(tf.random.stateless_normal([model.num_rows, model.dimension], [7, 7]))
    return model


def healthy_ids(rows: int = 400) -> tf.Tensor:
    """Ids `[rows, FIELDS]`, each a row of its field and none out of vocabulary."""
    levels = tf.random.stateless_uniform([rows, FIELDS], [1, 2], 1, 6, tf.int32)
    return levels + 6 * tf.range(FIELDS)


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Labels drawn from the predictions, so the model is calibrated."""
    return (np.random.default_rng(4).random(len(probabilities)) < probabilities).astype(np.float32)


@pytest.fixture(scope="module")
def predictions() -> np.ndarray:
    return np.random.default_rng(3).beta(2.0, 6.0, 5000).astype(np.float32)


def test_norms_and_zero_rows_match_numpy_over_several_chunks(monkeypatch):
    monkeypatch.setattr(embedding_norms, "CHUNK", 16)
    model = DNN(num_rows=37, num_fields=2, dimension=3, hidden_units=(4,))
    table = np.random.default_rng(0).normal(size=(37, 3)).astype(np.float32)
    table[[0, 15, 16, 36]] = 0.0
    table[5, :2] = 0.0
    # Its square is below every float32.
    table[6] = 1e-30
    model.embedding.table.assign(table)
    norms = EmbeddingNorms(model)
    expected = np.sqrt((table.astype(np.float64) ** 2).sum(axis=1)).mean()
    assert norms() == {
        "embeddings/norm/embedding": pytest.approx(expected, rel=1e-6),
        "embeddings/zero_rows/embedding": pytest.approx(4 / 37),
    }
    model.embedding.table.assign(np.zeros_like(table))
    assert norms()["embeddings/zero_rows/embedding"] == 1.0


def test_unknown_ids_by_hand():
    fields = (Field("a", "text", 4, 0), Field("b", "text", 5, 4, separator="|", width=3), Field("c", "text", 2, 9))
    unknown = UnknownIds(Schema(RawFormat("madeup", "label"), fields))
    ids = np.array([[0, 4, 5, PADDING, 9], [1, 6, PADDING, PADDING, 9], [2, 4, 4, 7, 10]], np.int32)
    assert unknown.shares(ids) == pytest.approx({"a": 1 / 3, "b": 3 / 6, "c": 2 / 3, "all": 6 / 12})
    labels = tf.zeros([3])
    assert float(unknown.share((tf.constant(ids), labels))) == pytest.approx(0.5)
    # Two stacked weight updates and a gate batch, which does not count.
    pair = {"train": (tf.stack([ids, np.full_like(ids, 3)]), tf.zeros([2, 3])), "gate": (tf.constant(ids), labels)}
    assert float(unknown.share(pair)) == pytest.approx(6 / 27)


def test_scalars_and_images_of_a_model_with_gates(tmp_path, predictions):
    model, ids = small_model(), healthy_ids()
    scalars, images = Dashboard(model, SCHEMA)(labels_of(predictions), predictions, ids)
    gates = {place: values.numpy() for place, values in model.gates(ids).items()}
    exits = gates["depth"].argmax(axis=1) + 1
    for depth in (1, 2, 3):
        assert scalars[f"depth/load/exit_{depth}"] == pytest.approx(np.mean(exits == depth))
    second = gates["layer_2"][exits >= 2]
    assert len(second) > 100
    assert scalars["layer_2/load/cross"] == pytest.approx(np.mean(second.argmax(axis=1) == 1))
    assert scalars["layer_2/routed/cross"] == pytest.approx(np.mean(second[:, 1] > 0.0))
    assert scalars["input/out_of_vocabulary/all"] == scalars["input/out_of_vocabulary/f3"] == 0.0
    assert images.keys() == {"calibration/reliability", "experts/alluvial"}
    board = TensorBoardWriter(tmp_path)
    board.validation(7, scalars | {"auc": 0.5}, images)
    board.close()
    events = read_events(tmp_path / "validation")
    assert events["metrics/auc"][0].plugin == "scalars" and events["layer_2/load/cross"][0].step == 7
    for tag, png in images.items():
        (point,) = events[tag]
        width, height, written = point.value
        shape = tf.io.decode_png(written).shape
        assert (point.step, point.plugin, written) == (7, "images", png)
        assert (int(height), int(width)) == tuple(shape[:2]) and min(shape[:2]) > 200


def test_a_model_without_gates_has_no_alluvial_diagram(predictions):
    model = DNN(num_rows=60, num_fields=FIELDS, dimension=2, hidden_units=(4,))
    scalars, images = Dashboard(model, SCHEMA)(labels_of(predictions), predictions, healthy_ids())
    assert images.keys() == {"calibration/reliability"}
    assert not any(tag.startswith(("layer_", "depth")) for tag in scalars)


def test_a_model_without_expert_gates_has_no_alluvial_diagram(predictions):
    model = small_model(dispatcher="bit_fusion")
    _, images = Dashboard(model, SCHEMA)(labels_of(predictions), predictions, healthy_ids())
    assert images.keys() == {"calibration/reliability"}


def show(model, predictions, ids=None):
    """Scalars and images of calibrated predictions."""
    return Dashboard(model, SCHEMA)(labels_of(predictions), predictions, healthy_ids() if ids is None else ids)


def force_gates(model, monkeypatch, place: str, row: list[float]) -> None:
    """Makes all rows get the same gates at a place."""
    gates = model.gates

    def forced(inputs):
        found = gates(inputs)
        return found | {place: tf.tile(tf.constant([row]), [tf.shape(inputs)[0], 1])}

    monkeypatch.setattr(model, "gates", forced)


def test_a_dead_expert_is_counted(monkeypatch, predictions):
    model = small_model()
    healthy, image = show(model, predictions)
    assert healthy["layer_1/dead_experts"] == 0
    force_gates(model, monkeypatch, "layer_1", [0.6, 0.0, 0.4])
    dead, changed = show(model, predictions)
    assert dead["layer_1/dead_experts"] == 1 and dead["layer_1/routed/cross"] == 0.0
    assert dead["layer_2/dead_experts"] == healthy["layer_2/dead_experts"]
    assert changed["experts/alluvial"] != image["experts/alluvial"]


def test_a_collapsed_gate_gives_one_expert_all(monkeypatch, predictions):
    model = small_model()
    assert max(show(model, predictions)[0][f"layer_1/load/{name}"] for name in model.choice_names()["layer_1"]) < 0.9
    force_gates(model, monkeypatch, "layer_1", [0.0, 1.0, 0.0])
    collapsed, _ = show(model, predictions)
    assert collapsed["layer_1/load/cross"] == 1.0 and collapsed["layer_1/dead_experts"] == 2


def test_a_layer_that_no_row_reaches_has_no_dead_experts(monkeypatch, predictions):
    model = small_model()
    force_gates(model, monkeypatch, "depth", [1.0, 0.0, 0.0])
    scalars, _ = show(model, predictions)
    assert scalars["depth/load/exit_1"] == 1.0
    assert "layer_1/dead_experts" in scalars and "layer_2/dead_experts" not in scalars


def test_a_flood_of_unknown_values_is_seen_in_its_field(predictions):
    ids = healthy_ids().numpy()
    ids[: len(ids) // 2, 3] = SCHEMA.fields[3].offset
    scalars, _ = show(small_model(), predictions, ids=tf.constant(ids))
    assert scalars["input/out_of_vocabulary/f3"] == 0.5 and scalars["input/out_of_vocabulary/f4"] == 0.0
    assert scalars["input/out_of_vocabulary/all"] == pytest.approx(0.5 / FIELDS)


def test_predictions_that_are_too_high_show_in_rate_and_diagram(predictions, tmp_path):
    _, images = show(small_model(), predictions)
    labels, wrong = labels_of(predictions), np.sqrt(predictions)
    _, changed = Dashboard(small_model(), SCHEMA)(labels, wrong, healthy_ids())
    assert images["calibration/reliability"] != changed["calibration/reliability"]
    assert images["calibration/reliability"] == show(small_model(), predictions)[1]["calibration/reliability"]
    board = TensorBoardWriter(tmp_path)
    for step, values in enumerate((predictions, wrong)):
        board.validation(step, all_metrics(labels, values))
    board.close()
    right, high = (float(point.value) for point in read_events(tmp_path / "validation")["metrics/calibration"])
    assert right == pytest.approx(1.0, abs=0.05) and high == pytest.approx(wrong.mean() / labels.mean(), rel=1e-5)
    assert high > 1.5


def test_dead_experts_of_reports():
    shares = {"routed": (0.9, 0.004, 0.5, 0.3), "probability": (0.6, 0.3, 0.004, 0.1)}
    scalars = {f"layer_1/{what}/{i}": share for what, all in shares.items() for i, share in enumerate(all)}
    scalars |= {f"layer_2/level_1/{what}/a": 0.001 for what in shares}
    # A layer that no row reached, a depth gate, and names that are none of a gate's.
    scalars |= {f"layer_3/{what}/a": 0.0 for what in shares} | {f"depth/{what}/exit_1": 0.0 for what in shares}
    scalars |= {"loss": 1.0, "layer_1/entropy": 0.0, "gate_update/loss": 0.0}
    assert dead_in_reports(scalars) == {"layer_1/dead_experts": 2, "layer_2/level_1/dead_experts": 1}


def test_a_collapsed_gate_shows_in_training_reports():
    model, ids = small_model(k=1), healthy_ids()
    healthy = report_scalars(model.forward(ids, training=False).reports, model.choice_names())
    model.moe_layers[0].gate.logits = lambda x0, training: tf.tile([[0.0, 60.0, 0.0]], [tf.shape(x0)[0], 1])
    found = report_scalars(model.forward(ids, training=False).reports, model.choice_names())
    assert float(found["layer_1/load/cross"]) == 1.0 > float(healthy["layer_1/load/cross"])
    assert dead_in_reports(found)["layer_1/dead_experts"] == 2
    assert float(found["layer_1/entropy"]) < 1e-3 < float(healthy["layer_1/entropy"])
