"""How a model trained on real rows answers requests with missing, unseen or oversized text or the wrong type."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from served_rows import Served, serve

from ada_ensemble_tf.models import LogisticRegression, model_inputs
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.serving.session import click_probabilities
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.raw import RawReader
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

SIGNATURES = ("serving_default", "examples", "classify", "regress")


@pytest.fixture(scope="module")
def trained(shared_data, tmp_path_factory) -> Served:
    """A logistic regression trained on the Criteo slice; each field's share of its scores can be computed."""
    folder, raw = tmp_path_factory.mktemp("slice"), shared_data / "criteo" / "train.txt"
    build(Options(*make_format("criteo"), min_count=2), [raw], folder / "data", show=lambda line: None)
    data = open_data(folder / "data")
    model = LogisticRegression(**model_inputs(data.schema))
    model.compile(
        embedding_optimizer=GroupFtrl(learning_rate=0.1, l1=0.0, l2=0.1), weight_optimizer=keras.optimizers.Adam(0.01)
    )
    model.fit(data.train(512), steps_per_epoch=20, epochs=1, verbose=0, shuffle=False)
    chunk = next(iter(RawReader(data.schema.format, data.schema.fields, [raw])))
    columns = texts(chunk.columns.slice(0, 40)).to_dict(as_series=False)
    vocabularies = Vocabularies.load(folder / "data", data.schema)
    return serve(model, vocabularies, folder / "data", folder / "export", columns=columns)


def score(trained: Served, signature: str, row: dict[str, str]) -> float:
    """The score of a row of text; columns that it lacks are left out of the tf.Example."""
    if signature == "serving_default":
        feed = {name: np.array([row[name].encode()], object) for name in trained.rows.columns}
    else:
        example = tf.train.Example()
        for name, text in row.items():
            example.features.feature[name].bytes_list.value.append(text.encode())
        feed = {"examples" if signature == "examples" else "inputs": np.array([example.SerializeToString()], object)}
    return float(click_probabilities(signature, trained.session(signature, feed))[0])


def by_hand(trained: Served, row: dict[str, str], replaced: str, table_row: int) -> float:
    """The score of a row with one field's weight replaced by another."""
    weights = trained.model.level_weights.table.numpy()[:, 0].astype(np.float64)
    logit = float(trained.model.bias.numpy())
    for field in trained.vocabularies.schema.fields:
        levels = trained.vocabularies.levels[field.name].to_list()
        text = row[field.column]
        if field.name == replaced:
            logit += weights[table_row]
        elif field.transform == "text":
            logit += weights[field.offset + 1 + levels.index(text) if text in levels else field.offset]
        else:
            value = None if text == "" else int(text)
            level = "" if value is None else f"={value}" if value <= 2 else f"log:{int(np.log(value) ** 2)}"
            logit += weights[field.offset + 1 + levels.index(level) if level in levels else field.offset]
    return 1.0 / (1.0 + np.exp(-logit))


@pytest.mark.parametrize("name", ["C3", "I1"])
def test_missing_unseen_oversized_and_unreadable_text(trained, name):
    schema = trained.vocabularies.schema
    (field,) = (field for field in schema.fields if field.name == name)
    levels = trained.vocabularies.levels[name].to_list()
    missing = field.offset + 1 + levels.index("") if "" in levels else field.offset
    row = {column: text[0] for column, text in trained.rows.columns.items()}
    cases = {"": missing, "never seen": field.offset, "x" * 100_000: field.offset, "é\n\0": field.offset}
    if name == "I1":
        cases |= {"abc": field.offset, "9" * 30: field.offset, "1.5": field.offset}
    for text, table_row in cases.items():
        expected = by_hand(trained, row, name, table_row)
        for signature in SIGNATURES:
            assert score(trained, signature, row | {name: text}) == pytest.approx(expected, rel=1e-5), (
                text[:9],
                signature,
            )
    absent = {column: text for column, text in row.items() if column != name}
    for signature in SIGNATURES[1:]:
        assert score(trained, signature, absent) == pytest.approx(by_hand(trained, row, name, missing), rel=1e-5)
    # The weights differ, so that a score from another row would be seen.
    weights = trained.model.level_weights.table.numpy()[:, 0]
    assert weights[field.offset] != 0.0 and weights[field.offset] != weights[field.offset + 1]


def test_columns_of_another_type_or_left_out_are_errors_that_name_them(trained):
    feed = trained.rows.feed("serving_default", np.arange(3))
    with pytest.raises(UserError, match="input I5 takes string, received int64"):
        trained.session("serving_default", feed | {"I5": np.array([1, 2, 3])})
    with pytest.raises(UserError, match="input C7 is missing"):
        trained.session("serving_default", {name: text for name, text in feed.items() if name != "C7"})
    example = tf.train.Example()
    example.features.feature["I5"].float_list.value.append(1.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Key: I5.*float.*string"):
        trained.session("regress", {"inputs": np.array([example.SerializeToString()], object)})
