"""Explanations of rows: the arithmetic of a linear model, and the gates of a mixture."""

import json

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ada_ensemble_tf.inference.explaining import Explainer, encoded
from ada_ensemble_tf.inference.raw_scores import score_raw
from ada_ensemble_tf.models import AdaEnsemble, LogisticRegression, model_inputs
from data_pipelines.fields.columns import coded
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.read.inputs import ids_of, values_of
from data_pipelines.read.preparation import Options

FIELDS = [
    {"name": "user", "kind": "categorical"},
    {"name": "price", "kind": "numeric", "bins": "none"},
    {"name": "genres", "kind": "multi_valued", "max_values": 3},
]
RAW = {"user": ["0", "", "3", "8"], "price": ["2.5", "1", "", "7"], "genres": ["a|b", "", "c", "b|c|a"]}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("explained"), np.random.default_rng(2)
    lines = [f"{i % 2},{rng.integers(9)},{rng.integers(1, 9)},{'|'.join(rng.permutation(['a', 'b', 'c'])[:2])}"
             for i in range(300)]  # fmt: skip
    (folder / "train.csv").write_text("click,user,price,genres\n" + "\n".join(lines) + "\n")
    (folder / "fields.json").write_text(json.dumps({"label": "click", "fields": FIELDS}))
    options = Options(*make_format("tabular", schema_file=folder / "fields.json"), min_count=1)
    build(options, [folder / "train.csv"], folder / "data", show=lambda line: None)
    return folder / "data"


@pytest.fixture(scope="module")
def vocabularies(data_dir):
    return Vocabularies.load(data_dir, Schema.load(data_dir / "schema.json"))


def test_a_linear_models_fields_change_the_logit_by_their_weights(vocabularies):
    model = LogisticRegression(**model_inputs(vocabularies.schema))
    weights = np.random.default_rng(1).normal(size=(vocabularies.schema.num_rows, 1)).astype(np.float32)
    model.level_weights.table.assign(weights)
    rows, blank = encoded(vocabularies, coded(RAW)), encoded(vocabularies, coded({name: [""] for name in RAW}))
    explained = Explainer(model, vocabularies)(rows)
    assert explained.columns == ["blank_user", "blank_price", "blank_genres"]

    def part(inputs, row, field) -> float:
        """What a field adds to a row's logit: its weight, the weight times the float, or the mean of its weights."""
        ids, values = ids_of(inputs)[row], values_of(inputs)[row]
        own = {"user": ids[:1], "price": ids[1:2], "genres": ids[2:][ids[2:] >= 0]}[field]
        if not len(own):
            return 0.0
        factor = values[0] if field == "price" and own[0] == vocabularies.schema.fields[1].offset + 1 else 1.0
        return factor * weights[own, 0].mean()

    for field in RAW:
        expected = [part(blank, 0, field) - part(rows, row, field) for row in range(4)]
        np.testing.assert_allclose(explained[f"blank_{field}"], expected, atol=1e-5)
    # The rows in which a field is blank already.
    assert [explained[f"blank_{field}"][row] for field, row in (("user", 1), ("price", 2), ("genres", 1))] == [0.0] * 3


def test_exits_and_experts_of_a_mixture_and_the_file_that_has_them(vocabularies, data_dir, tmp_path):
    arguments = {"experts": ("dense", "cross"), "k": 1, "num_layers": 2, "dimension": 2, "gate": {"reduction": 2}}
    model = AdaEnsemble(**model_inputs(vocabularies.schema), **arguments)
    model.embedding.table.assign(tf.random.stateless_normal(model.embedding.table.shape, [7, 7]) * 3.0)
    model.finish_annealing()
    (tmp_path / "raw.csv").write_text(pl.DataFrame(RAW).write_csv())
    out = tmp_path / "scores.parquet"
    score_raw(model, vocabularies.schema, data_dir, [tmp_path / "raw.csv"], out, 3, keep=["user"], explain=True)
    scores, rows = pl.read_parquet(out), encoded(vocabularies, coded(RAW))
    blanks = [f"blank_{field}" for field in RAW]
    assert scores.columns == ["user", "ctr", "exit_depth", "experts_layer_1", "experts_layer_2", *blanks]
    np.testing.assert_allclose(scores["ctr"], model(tf.nest.map_structure(tf.constant, rows)), atol=1e-6)
    gates = {place: gate.numpy() for place, gate in model.gates(tf.nest.map_structure(tf.constant, rows)).items()}
    assert scores["exit_depth"].to_list() == (gates["depth"].argmax(axis=1) + 1).tolist()
    for number, place in enumerate(("layer_1", "layer_2")):
        for row, text in enumerate(scores[f"experts_{place}"]):
            gate = gates[place][row]
            chosen = f"{arguments['experts'][gate.argmax()]} {gate.max():.2f}"
            assert text == (chosen if scores["exit_depth"][row] > number else "")
    assert np.abs(scores.select(blanks).to_numpy()).max() > 1e-4
