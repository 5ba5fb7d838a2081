"""A table that is written in its own way, from the raw file to the scores of predict and of the served model."""

import datetime

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from served_rows import serve

from ada_ensemble_tf.inference.raw_scores import score_raw
from ada_ensemble_tf.models import LogisticRegression
from ada_ensemble_tf.training.setup import model_inputs
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

COLUMNS = ["spend", "at", "flat", "gain", "tags", "word"]
FIELDS = [
    {"name": "spend", "kind": "numeric", "bins": "none", "scale": "log"},
    {"name": "weekday", "kind": "time", "part": "weekday", "column": "at"},
    {"name": "hour", "kind": "time", "part": "hour_of_day", "column": "at"},
    {"name": "flat", "kind": "numeric", "bins": "none"},
    {"name": "gain", "kind": "numeric", "bins": "equal_frequency", "count": 8},
    {"name": "tags", "kind": "multi_valued", "max_values": 3},
    {"name": "word", "kind": "categorical"},
]
OWN_FILE = {"delimiter": ";", "decimal": ",", "thousands": ".", "missing": ["NA", "-"], "trim": True}
ODD = [
    ("1.234.567,5;31.12.2023 23:59;0,1;0;a| NA |b;x", "1234567.5,2023-12-31 23:59,0.1,0,a|b,x"),
    (" 1234567,5\t;31.12.2023 23:01;0,100001;-;NA|b|NA;unseen", "1234567.5,2023-12-31 23:01,0.1,,b,unseen"),
    ("NA;-;0,2;0,0;NA; NA ", ",,0.1,0.0,,"),
    (";;NA;1e3;|;-", ",,,1000,,"),
    ("-1,5; 1.1.2024 0:00 ;0,1;+1.000;b | a;100,0", "-1.5,2024-01-01 00:00,0.1,1000,b|a,\"100,0\""),
    ("nan;29.02.2024 05:00;-NaN;,5;c|c|a|b;100.0", ",2024-02-29 05:00,,.5,c|c|a,100"),
]  # fmt: skip
"""Rows in the table's own form and the same rows in a plain form. For a constant column any number will do."""


def _rows(number: int) -> list[tuple[str, str]]:
    """Made-up rows in the table's own form and in a plain form; most gains are 0."""
    rng = np.random.default_rng(5)
    start, found = datetime.datetime(2023, 3, 4), []
    for _ in range(number):
        spend, gain = round(float(rng.lognormal(5, 3)), 2), int(rng.integers(1, 5000)) * int(rng.random() < 0.3)
        at = start + datetime.timedelta(hours=int(rng.integers(9000)))
        tags, word = rng.choice(["a", "b", "c"], rng.integers(1, 4)).tolist(), str(rng.choice(["x", "y", "100"]))
        known = rng.random() < 0.8
        own = f"{spend:,.2f}".translate(str.maketrans(",.", ".,"))
        found.append(
            (
                f"{own if known else 'NA'};{at:%d.%m.%Y %H:%M};0,1;{gain};{' | '.join(tags)}; {word}",
                f"{spend if known else ''},{at:%Y-%m-%d %H:%M},0.1,{gain},{'|'.join(tags)},{word}",
            )
        )
    return found


def _prepared(folder, schema, lines):
    folder.mkdir()
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    build(
        Options(*parse_schema(schema, "s.json"), min_count=1), [folder / "train.csv"], folder / "d", show=lambda _: None
    )
    return open_data(folder / "d").schema


def _model(schema):
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(tf.random.stateless_normal([schema.num_rows, 1], [1, 2]))
    return model


def _scores(model, schema, folder, lines):
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    score_raw(model, schema, folder / "d", [folder / "test.csv"], folder / "ctr.csv", 64)
    return pl.read_csv(folder / "ctr.csv")["ctr"].to_numpy()


def test_own_ways_of_writing_score_as_plain_ones_do_in_predict_and_served(tmp_path):
    rows, label = _rows(300), [str(i % 3 // 2) for i in range(300)]
    file = OWN_FILE | {"columns": [*COLUMNS, "bought"]}
    fields = [one | ({"format": "%d.%m.%Y %H:%M"} if one["kind"] == "time" else {}) for one in FIELDS]
    own = {"label": "bought", "file": file, "fields": fields}
    own_schema = _prepared(tmp_path / "own", own, [f"{row};{y}" for (row, _), y in zip(rows, label, strict=True)])
    plain = {"label": "bought", "fields": FIELDS}
    header = ",".join(COLUMNS)
    plain_lines = [f"{header},bought", *(f"{row},{y}" for (_, row), y in zip(rows, label, strict=True))]
    plain_schema = _prepared(tmp_path / "plain", plain, plain_lines)
    assert [(one.size, one.parameters) for one in own_schema.fields] == [
        (one.size, one.parameters) for one in plain_schema.fields
    ]
    # Zero has a bin of its own, and a constant no deviation.
    parameters = {one.name: one.parameters for one in own_schema.fields}
    assert len(parameters["gain"]) == 7 and parameters["gain"][0] > 0 and parameters["flat"][1] == 0
    model = _model(own_schema)
    lines = [row for row, _ in ODD + rows]
    scores = _scores(model, own_schema, tmp_path / "own", lines)
    expected = _scores(
        _model(plain_schema), plain_schema, tmp_path / "plain", [header, *(row for _, row in ODD + rows)]
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert len(np.unique(scores)) > 200
    columns = dict(zip(COLUMNS, map(list, zip(*(line.split(";") for line in lines), strict=True)), strict=True))
    vocabularies = Vocabularies.load(tmp_path / "own" / "d", own_schema)
    served = serve(model, vocabularies, tmp_path / "own" / "d", tmp_path / "export", columns=columns)
    feed = {name: np.array([text.encode() for text in column], object) for name, column in columns.items()}
    np.testing.assert_allclose(served.session("serving_default", feed)["ctr"], scores, rtol=1e-5)


@pytest.mark.parametrize("bins", ["none", "equal_frequency"])
def test_a_constant_and_what_is_near_it_score_alike(cases, tmp_path, bins):
    schema = {"label": "bought", "fields": [{"name": "c", "kind": "numeric", "bins": bins}]}
    prepared = _prepared(tmp_path / "d", schema, (cases / "constant.csv").read_text().splitlines())
    lines = (cases / "constant_other_values.csv").read_text().splitlines()
    assert {"0.1", "0.100001", "0.2"} <= set(pl.read_csv(cases / "constant_other_values.csv", infer_schema=False)["c"])
    scores = _scores(_model(prepared), prepared, tmp_path / "d", lines)
    assert len(scores) == len(lines) - 1 and len(np.unique(scores)) == 1
