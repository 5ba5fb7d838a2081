import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.serving.raw_scores import encoded
from ada_ensemble_tf.serving.signatures import argument_names, export
from ada_ensemble_tf.training.setup import model_inputs
from data_pipelines.columns import coded, texts
from data_pipelines.criteo import FORMAT, inputs
from data_pipelines.errors import DataError
from data_pipelines.raw import RawReader
from data_pipelines.raw_format import Input, RawFormat
from data_pipelines.schema import Schema
from data_pipelines.vocabulary import Vocabularies


@pytest.fixture(scope="module")
def schema(prepared_criteo) -> Schema:
    return Schema.load(prepared_criteo / "schema.json")


def small_model(schema: Schema) -> AdaEnsemble:
    model = AdaEnsemble(
        **model_inputs(schema), dimension=2, num_layers=2, experts=("cross", "dense", "polynomial"), k=1,
        anneal_steps=100, gate={"reduction": 2},
    )  # fmt: skip
    model.embedding.table.assign(tf.random.stateless_normal(model.embedding.table.shape, [1, 2]))
    return model


@pytest.fixture
def model(schema) -> AdaEnsemble:
    return small_model(schema)


def test_k_and_depth_are_exported_at_their_final_values(model, schema, prepared_criteo, criteo_raw_file, tmp_path):
    model.step.assign(10)  # K is 3 here, and 1 in the end.
    columns = next(iter(RawReader(FORMAT, inputs(), [criteo_raw_file]))).columns.slice(0, 50)
    ids = Vocabularies.load(prepared_criteo, schema).encode(columns)
    while_annealing = model(ids).numpy()
    folder = export(model, schema, prepared_criteo, tmp_path)
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    frame = texts(columns)
    ctr = served(**{column: tf.constant(frame[column].to_list()) for column in schema.columns})["ctr"]
    assert int(model.forward(ids).reports["layer_1"].k) == 1
    np.testing.assert_allclose(ctr, model(ids), atol=1e-6)
    assert np.abs(while_annealing - ctr).max() > 1e-3


ODD_COLUMNS = {
    "plain_1": "plain_1",
    "site id": "site_id",
    "1st": "column_3",
    "class": "column_4",
    "名": "column_5",
    "user.age": "user_age",
    "user/age": "column_7",
    "Plain_1": "column_8",
    "self": "column_9",
    "_hidden": "column_10",
    " ": "column_11",
    "a-b": "column_12",
    "a_b": "a_b",
    "column_12_": "column_12_",
    "column_14": "column_14",
    "column 14": "column_16",
    "name": "name",
    "kwargs": "kwargs",
}


def test_names_of_arguments():
    assert argument_names(list(ODD_COLUMNS)) == ODD_COLUMNS
    assert argument_names(["1st", "column_1", "COLUMN_1_"]) == {
        "1st": "column_1__", "column_1": "column_1", "COLUMN_1_": "COLUMN_1_",
    }  # fmt: skip


@pytest.mark.parametrize("loader", ["tf2", "tf1"])
def test_columns_of_any_name_and_fields_of_all_kinds_are_served(tmp_path, loader):
    fields = [Input(f"field {i}", column) for i, column in enumerate(ODD_COLUMNS)]
    fields += [Input("words", "名", separator=" ", max_values=3), Input("number", "名", "value")]
    known = {field.name: pl.Series(["a", "", "b", "5"]) for field in fields} | {"number": pl.Series(["value", ""])}
    vocabularies = Vocabularies.from_levels(
        RawFormat("odd", "label"), fields, known, {"number": (1.0, 2.0)}, {"words": 3}
    )
    vocabularies.save(tmp_path)
    model = small_model(vocabularies.schema)
    rng = np.random.default_rng(0)
    raw = {column: rng.choice(["a", "b", "", "c", "5", "a b 5", "-2.5"], 40).tolist() for column in ODD_COLUMNS}
    folder = export(model, vocabularies.schema, tmp_path, tmp_path / "export")
    if loader == "tf2":
        served = tf.saved_model.load(str(folder)).signatures["serving_default"]
        assert sorted(served.structured_input_signature[1]) == sorted(ODD_COLUMNS.values())
        ctr = served(**{ODD_COLUMNS[column]: tf.constant(text) for column, text in raw.items()})["ctr"]
    else:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
            signature = meta.signature_def["serving_default"]
            feed = {signature.inputs[ODD_COLUMNS[column]].name: text for column, text in raw.items()}
            ctr = session.run(signature.outputs["ctr"].name, feed)
    expected = model(tf.nest.map_structure(tf.constant, encoded(vocabularies, coded(raw))))
    np.testing.assert_allclose(ctr, expected, atol=1e-6)
    assert np.std(ctr) > 1e-3


def test_versions_count_up_past_folders_that_are_none(model, schema, prepared_criteo, tmp_path):
    for name in ("7", "8.incomplete", "notes"):
        (tmp_path / name).mkdir()
    assert export(model, schema, prepared_criteo, tmp_path).name == "8"
    assert not (tmp_path / "8.incomplete").exists()


def test_a_full_disk_leaves_nothing(model, schema, prepared_criteo, tmp_path, monkeypatch):
    def save(module, path, **_):
        raise tf.errors.UnknownError(None, None, f"{path}; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(DataError, match="the disk is full; free some space or choose another --export_dir"):
        export(model, schema, prepared_criteo, tmp_path)
    assert list(tmp_path.iterdir()) == []
