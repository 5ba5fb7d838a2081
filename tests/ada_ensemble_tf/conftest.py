"""Models and an export shared by the tests of serving."""

from typing import NamedTuple

import keras
import numpy as np
import polars as pl
import pytest
from served_rows import Served, serve

from ada_ensemble_tf.models import AdaEnsemble, LogisticRegression, model_inputs
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.readings import PLAIN, Reading
from data_pipelines.fields.vocabulary import Vocabularies

BOUNDARIES = (-1.5, 0.0, 7.25)


class Kinds(NamedTuple):
    """A field of each kind."""

    vocabularies: Vocabularies
    folder: str


@pytest.fixture(scope="session")
def kinds(tmp_path_factory) -> Kinds:
    """A field for each rule, each with its own column; the vocabularies are saved in `folder`."""
    levels = {
        "text": ["a", "", "b c"],
        "log_square": ["=-1", "=0", "=2", "log:1", "log:9", ""],
        "log_of_square": ["=0", "log:0", "log:3", "-log:0", "-log:5", ""],
        "log1p_of_square": ["log:0", "log:1", "log:9", ""],
        "equal_frequency": ["bin:0", "bin:1", "bin:2", "bin:3", ""],
        "value": ["value", ""],
        "log_value": ["value"],
        "hour_of_day": ["00", "07", "23", ""],
        "weekday": [*"0123456", ""],
        "os_browser": ["windows_chrome", "mac_other", "other_ie", ""],
        "price_bucket": ["0", "1-10", "11-50", "51-100", "101+", ""],
        "genres": ["x", "y", "z", ""],
    }
    rules = {"genres": "text"}
    inputs = [
        Input(
            name, f"{name} column", rules.get(name, name),
            bins=4 if name == "equal_frequency" else 0,
            separator="|" if name == "genres" else "", max_values=3 if name == "genres" else 1,
            reading=Reading(time="YYMMDDHH") if name in ("hour_of_day", "weekday") else PLAIN,
        )
        for name in levels
    ]  # fmt: skip
    parameters = {"equal_frequency": BOUNDARIES, "value": (2.0, 0.5), "log_value": (1.0, 2.0)}
    known = {name: pl.Series(texts) for name, texts in levels.items()}
    vocabularies = Vocabularies.from_levels(RawFormat("kinds", "label"), inputs, known, parameters, {"genres": 3})
    folder = tmp_path_factory.mktemp("kinds")
    vocabularies.save(folder)
    return Kinds(vocabularies, str(folder))


@pytest.fixture(scope="session")
def linear(kinds, tmp_path_factory) -> Served:
    """A logistic regression on `kinds`, exported with numbers in tf.Examples."""
    schema = kinds.vocabularies.schema
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(np.random.default_rng(1).normal(size=(schema.num_rows, 1)))
    return serve(model, kinds.vocabularies, kinds.folder, tmp_path_factory.mktemp("linear"), example_numbers="native")


@pytest.fixture(scope="session")
def mixture(kinds, tmp_path_factory) -> Served:
    """A small AdaEnsemble of three layers on `kinds`, exported; its rows take several exits."""
    schema = kinds.vocabularies.schema
    keras.utils.set_random_seed(3)
    model = AdaEnsemble(
        **model_inputs(schema), dimension=2, num_layers=3, experts=("cross", "dense"), k=1,
        embedding_normalization="layer", normalization="layer", gate={"reduction": 2},
    )  # fmt: skip
    model.embedding.table.assign(np.random.default_rng(2).normal(size=(schema.num_rows, 2)))
    return serve(model, kinds.vocabularies, kinds.folder, tmp_path_factory.mktemp("mixture"))
