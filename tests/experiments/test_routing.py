import numpy as np
import polars as pl
import pytest

from data_pipelines import synthetic
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.vocabulary import Vocabularies
from experiments.routing import classes_of, report

EMPTY = pl.Series([], dtype=pl.String)
CLASSES = np.array([0, 0, 1, 1])
FOLLOWS = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.0, 0.3, 0.7], [0.0, 0.4, 0.6]])


def test_report_names_choices_and_classes():
    text = report({"depth": FOLLOWS}, {"depth": ["exit_1", "exit_2", "exit_3"]}, CLASSES, ["a", "b", "unseen"])
    assert "| depth | 1.000 | 1.000 |" in text
    assert "| a | 100.0% | 0.0% | 0.0% |" in text and "| b | 0.0% | 0.0% | 100.0% |" in text
    assert "| all rows | 50.0% | 0.0% | 50.0% |" in text
    assert "unseen" not in text


def vocabularies(levels) -> Vocabularies:
    inputs = [Input(name, name) for name in levels]
    raw_format = RawFormat("table", "label", tuple(levels))
    return Vocabularies.from_levels(raw_format, inputs, {name: pl.Series(texts) for name, texts in levels.items()})


def test_classes_are_planted_groups_or_a_field_levels():
    texts = list(synthetic.generate(2000).__next__().frame["C17"].unique(maintain_order=True))
    known = vocabularies({"user": ["ann", "bob"], "C17": texts})
    # Rows 3 onwards are those of C17, the first of them out of vocabulary.
    ids = np.array([[1, 4], [2, 5], [0, 6]])
    groups, names = classes_of(ids, known.schema, known, None)
    assert names == ["additive", "pair", "triple"]
    assert groups.tolist() == synthetic.group_of(pl.Series(texts[:3])).tolist()
    users, names = classes_of(ids, known.schema, known, "user")
    assert users.tolist() == [1, 2, 0] and names == ["(other)", "ann", "bob"]
    ads = [Input("ad", "ad", "hashed", buckets=3)]
    hashed = Vocabularies.from_levels(RawFormat("table", "label"), ads, {"ad": EMPTY})
    rows, names = classes_of(np.array([[1], [4]]), hashed.schema, hashed, "ad")
    assert rows.tolist() == [1, 4] and names == ["(other)", "", "bucket 0", "bucket 1", "bucket 2"]
    with pytest.raises(UserError, match="there is no field 'age'; the fields are user, C17"):
        classes_of(ids, known.schema, known, "age")
    with pytest.raises(UserError, match="C17 has levels that are out of vocabulary"):
        classes_of(np.array([[1, 3]]), known.schema, known, None)
