import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from odd_columns import ODD_COLUMNS
from served_rows import serve

from ada_ensemble_tf.inference.raw_scores import encoded
from ada_ensemble_tf.models import AdaEnsemble, model_inputs
from ada_ensemble_tf.serving.session import click_probabilities
from data_pipelines.fields.columns import coded, texts
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.criteo import FORMAT, inputs
from data_pipelines.raw import RawReader


def small_model(schema: Schema) -> AdaEnsemble:
    model = AdaEnsemble(
        **model_inputs(schema), dimension=2, num_layers=2, experts=("cross", "dense", "polynomial"), k=1,
        anneal_steps=100, gate={"reduction": 2},
    )  # fmt: skip
    model.embedding.table.assign(tf.random.stateless_normal(model.embedding.table.shape, [1, 2]))
    return model


def test_k_and_depth_are_exported_at_their_final_values(prepared_criteo, criteo_raw_file, tmp_path):
    schema = Schema.load(prepared_criteo / "schema.json")
    model = small_model(schema)
    model.step.assign(10)  # K is 3 here, and 1 in the end.
    columns = next(iter(RawReader(FORMAT, inputs(), [criteo_raw_file]))).columns.slice(0, 50)
    vocabularies = Vocabularies.load(prepared_criteo, schema)
    ids = vocabularies.encode(columns)
    while_annealing = model(ids).numpy()
    rows = texts(columns).to_dict(as_series=False)
    served = serve(model, vocabularies, prepared_criteo, tmp_path, columns=rows)
    ctr = served.session("serving_default", served.rows.feed("serving_default", np.arange(50)))["ctr"]
    assert int(model.forward(ids).reports["layer_1"].k) == 1
    np.testing.assert_allclose(ctr, model(ids), atol=1e-6)
    assert np.abs(while_annealing - ctr).max() > 1e-3
    # The golden rows are these, followed by the odd ones.
    assert served.rows.real == 50 and list(served.rows.columns["C1"][:50]) == rows["C1"] and len(served.rows.ctr) > 50


def test_columns_of_any_name_and_fields_of_all_kinds_are_served(tmp_path):
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
    served = serve(model, vocabularies, tmp_path, tmp_path / "export")
    expected = model(tf.nest.map_structure(tf.constant, encoded(vocabularies, coded(raw))))
    loaded = tf.saved_model.load(str(served.folder)).signatures["serving_default"]
    assert sorted(loaded.structured_input_signature[1]) == sorted(ODD_COLUMNS.values())
    by_loader = [loaded(**{ODD_COLUMNS[column]: tf.constant(text) for column, text in raw.items()})["ctr"]]
    feed = {ODD_COLUMNS[column]: np.array([t.encode() for t in text], object) for column, text in raw.items()}
    by_loader.append(served.session("serving_default", feed)["ctr"])
    for ctr in by_loader:
        np.testing.assert_allclose(ctr, expected, atol=1e-6)
    assert np.std(expected) > 1e-3


@pytest.mark.parametrize("name", ["linear", "mixture"])
def test_every_signature_gives_the_scores_of_the_model(request, name):
    served = request.getfixturevalue(name)
    names = {"serving_default", "examples", "ids", "classify", "regress"}
    # A model without gates has nothing to explain.
    assert set(served.session.signatures) == names | ({"explain"} if name == "mixture" else set())
    rows = np.arange(len(served.rows.ctr))
    expected = served.model(tf.nest.map_structure(tf.constant, dict(served.rows.inputs))).numpy()
    assert expected.std() > 0.01
    for signature in served.session.signatures:
        outputs = served.session(signature, served.rows.feed(signature, rows))
        np.testing.assert_allclose(click_probabilities(signature, outputs), expected, rtol=1e-5, err_msg=signature)


def test_classify_and_regress_are_what_tf_serving_takes(linear):
    methods = {name: one.method_name for name, one in linear.session.signatures.items()}
    assert methods["classify"] == "tensorflow/serving/classify" and methods["regress"] == "tensorflow/serving/regress"
    assert {methods[name] for name in ("serving_default", "examples", "ids")} == {"tensorflow/serving/predict"}
    utils = tf.compat.v1.saved_model.signature_def_utils
    assert all(utils.is_valid_signature(one) for one in linear.session.signatures.values())
    outputs = linear.session("classify", linear.rows.feed("classify", [0, 3]))
    assert outputs["classes"].tolist() == [[b"0", b"1"]] * 2
    np.testing.assert_allclose(
        outputs["scores"], np.stack([1 - linear.rows.ctr, linear.rows.ctr], 1)[[0, 3]], rtol=1e-5
    )


def test_explain_tells_exits_and_the_gates_on_the_way(mixture):
    rows = np.arange(len(mixture.rows.ctr))
    outputs = mixture.session("explain", mixture.rows.feed("explain", rows))
    gates = mixture.model.gates(tf.nest.map_structure(tf.constant, dict(mixture.rows.inputs)))
    depth = outputs["exit_depth"]
    assert set(outputs) == {"ctr", "exit_depth", "gates_layer_1", "gates_layer_2", "gates_layer_3"}
    assert len(np.unique(depth)) >= 2
    np.testing.assert_array_equal(depth, np.argmax(gates["depth"], axis=1) + 1)
    for number in (1, 2, 3):
        found = outputs[f"gates_layer_{number}"]
        assert ((found > 0).sum(axis=1) == np.where(depth >= number, 1, 0)).all()
        expected = np.where(depth[:, None] >= number, gates[f"layer_{number}"], 0.0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ids_and_values_that_are_none_are_refused_by_name(linear):
    schema = linear.vocabularies.schema
    feed = linear.rows.feed("ids", np.arange(6))
    column = {name: sum(schema.widths[:i]) for i, name in enumerate(field.name for field in schema.fields)}

    def error(name: str, wrong) -> str:
        changed = {key: array.copy() for key, array in feed.items()}
        changed["ids"][4, column[name]] = wrong
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            linear.session("ids", changed)
        return str(caught.value)

    (hours,) = (field for field in schema.fields if field.name == "hour_of_day")
    rows = f"{hours.offset} to {hours.offset + hours.size - 1}"
    for wrong in (hours.offset - 1, hours.offset + hours.size, -1, schema.num_rows):
        assert f"field hour_of_day: id {wrong} is not one of its rows, {rows}" in error("hour_of_day", wrong)
    assert "field genres: id -1 is not" in error("genres", -1)
    feed["values"][2, 1] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="field log_value: a value is not finite"):
        linear.session("ids", feed)


def test_columns_of_different_lengths_are_refused_by_name(linear):
    feed = linear.rows.feed("serving_default", np.arange(4))
    # In total as many texts as 4 rows have.
    feed["weekday_column_65a5ad"] = feed["weekday_column_65a5ad"][:3]
    feed["value_column_17a25d"] = np.array([b"1"] * 5, object)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="column value column: 5 rows, but column text column has 4"
    ):
        linear.session("serving_default", feed)
