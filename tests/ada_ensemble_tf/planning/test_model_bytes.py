import json
import math
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from command_line import run_forked
from counted_exchange import VALUES

from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import make_optimizer
from ada_ensemble_tf.planning import model_bytes as counting
from ada_ensemble_tf.planning.model_bytes import field_tables, kept_bytes, model_bytes
from ada_ensemble_tf.planning.plans import plans
from ada_ensemble_tf.planning.traffic import Mesh
from ada_ensemble_tf.training.setup import build_model, compile_model
from data_pipelines.read.dataset import PreparedData, open_data

SMALL = {"model.dimension": 4, "model.num_layers": 2}
LOW = {"model.table_dtype": "bfloat16", "embedding_optimizer.slot_dtype": "bfloat16"}


@pytest.fixture(scope="module")
def data(prepared_criteo: Path) -> PreparedData:
    return open_data(prepared_criteo)


def size(variables) -> int:
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


@pytest.mark.parametrize(
    "model, values",
    [
        ("ada_ensemble", SMALL),
        ("dhen", SMALL | LOW | {"model.num_outputs": 2, "model.dlrm_units": (4,)}),
        ("logistic_regression", {}),
        ("deepfm", {"model.dimension": 4, "model.hidden_units": (5,), "model.normalization": "batch"}),
    ],
)
def test_weights_and_slots_are_those_of_a_real_run(model, values, data, monkeypatch):
    config = make_config("sample", model, values)
    monkeypatch.setattr(counting, "_activations", lambda *arguments: (0, 0))
    planned = model_bytes(config, data, 8)
    real = build_model(config, data)
    compile_model(real, config)
    tables = [layer.table for layer in all_layers(real) if isinstance(layer, FusedEmbedding)]
    others = [v for v in real.variables if id(v) not in {id(table) for table in tables}]
    assert sum(table.held for table in planned.tables) == size(tables)
    assert planned.weights == size(others)
    assert planned.gradients == size([v for v in others if v.trainable])
    for name, found in (("embedding", sum(t.slots for t in planned.tables)), ("others", planned.slots)):
        groups = [group for key, group in real.groups().items() if (key == "embedding") == (name == "embedding")]
        state = [v for optimizer, _ in groups for v in optimizer.variables]
        assert found == size([v for v in state if not v.path.endswith(("iteration", "learning_rate"))]), name


def test_slots_on_the_host_take_nothing_of_the_device(data, monkeypatch):
    monkeypatch.setattr(counting, "_activations", lambda *arguments: (0, 0))
    here, there = (
        model_bytes(make_config("sample", "deepfm", {"embedding_optimizer.slots_on": place}), data, 8)
        for place in ("device", "host")
    )
    assert there.on_host == sum(table.slots for table in here.tables) > 0 == here.on_host
    assert [table.slots for table in there.tables] == [0] * len(here.tables)


def test_a_row_a_row_of_slots_is_counted_as_such():
    optimizer = keras.optimizers.Adam()
    scalar, matrix = keras.Variable(1.0), keras.Variable(tf.ones([5, 7]))
    assert counting.slot_bytes(optimizer, [scalar, matrix]) == 2 * 4 * (1 + 35)
    # Two moments and an int64 for each row.
    assert counting.slot_bytes(make_optimizer("sparse_adam", catch_up=True), [matrix]) == 2 * 4 * 35 + 8 * 5


def test_the_tensors_that_the_backward_pass_reads(data):
    # Two dense layers of 6 and 5 units over M = F D: M inputs of the first product, 6 and 5 outputs of the ReLUs, which
    # the next products read too; the logit's gradient takes the labels' sigmoid, a few numbers a row.
    values = {"model.dimension": 4, "model.hidden_units": (6, 5), "model.l2": 0.0, "model.normalization": "none"}
    model = build_model(make_config("sample", "dnn", values), data)
    width, rows = data.schema.num_fields * 4, 32
    found = sum(kept_bytes(model, rows).values())
    least = 4 * rows * (width + 6 + 5)
    assert least <= found <= least + 4 * rows * 8 + 64


def test_checkpointing_keeps_less_and_counts_the_layer_that_is_computed_again(data):
    values = {"model.dimension": 4, "model.num_layers": 3, "model.num_outputs": 2, "model.dlrm_units": (64,)}
    found = {}
    for on in (False, True):
        model = build_model(make_config("sample", "dhen", values | {"model.activation_checkpointing": on}), data)
        found[on] = *counting._activations(model, 32, ["layer_1"]), kept_bytes(model, 32)
        assert model.activation_checkpointing is on
    kept, recomputed = found[False][2], found[True][2]
    assert sum(recomputed.values()) < 0.7 * sum(kept.values())
    largest = max(size for name, size in kept.items() if name.startswith("layer_"))
    assert found[True][0] == sum(recomputed.values()) + largest and found[False][0] == sum(kept.values())
    # Where layers are sharded, all are recomputed, the estimator too.
    assert found[False][1] == found[True][1] < 0.7 * sum(kept.values())


def test_a_model_larger_than_memory_is_counted(data):
    config = make_config("sample", "factorization_machine", {"model.dimension": 10_000_000})
    planned = model_bytes(config, data, 1)
    assert max(table.held for table in planned.tables) == data.schema.num_rows * 40_000_000
    (whole, columns, *_) = plans(planned, Mesh(1, 8), 8)
    assert columns.memory.tables == pytest.approx(whole.memory.tables / 8, rel=0.15)
    assert sum(table.rows for table in field_tables(data.schema)) == data.schema.num_rows


def test_what_two_replicas_exchange_is_what_is_planned(data, prepared_criteo, tmp_path):
    out = tmp_path / "counted.json"
    run_forked("tests/counted_exchange.py", "dnn", str(prepared_criteo), str(out))
    counted = json.loads(out.read_text())
    planned = model_bytes(make_config("sample", "dnn", VALUES), data, counted["rows_a_replica"])
    assert counted["replicas"] == 2
    assert counted["dense"] == planned.gradients
    plan, columns, *_ = plans(planned, Mesh(1, 2), 2 * counted["rows_a_replica"])
    # Of two devices, each sends half of the whole twice; and its own rows to the other.
    assert sum(plan.traffic.by_kind["all-reduce"]) == counted["dense"]
    assert sum(plan.traffic.by_kind["all-gather"]) == counted["rows"]
    # Statistics of normalisation and the losses, which the plan leaves out.
    assert counted["other"] < 0.3 * counted["dense"]
    # Tables in columns: ids, embeddings and their gradients. Two devices need no cut of rows, so no sums of norms.
    assert columns.name == "tables columns, dense replicated"
    assert counted["sent"].keys() == {"all_gather", "all_to_all"}
    for kind, size in counted["sent"].items():
        assert sum(columns.traffic.by_kind[kind.replace("_", "-")]) == size
    assert counted["part"]["table"] == columns.memory.tables
    assert counted["part"]["slots"] == pytest.approx(columns.memory.slots - planned.slots)
