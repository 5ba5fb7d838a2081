"""Files of pre-trained vectors: what is kept, what is told, what is refused."""

import json

import numpy as np
import polars as pl
import pytest

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vectors import checked_vectors, keep_vectors, load_vectors
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema

FORMAT = RawFormat("tiny", "label")
LEVELS = {"a": pl.Series(["", "x", "100", "y"]), "n": pl.Series(["2", "0", "7"]), "w": pl.Series(["x"])}


def _parquet(folder, ids=("y", "z", "100.0"), vectors=((1, 2), (3, 4), (5, 6)), name="a.parquet"):
    pl.DataFrame({"id": list(ids), "vector": [list(one) for one in vectors]}, strict=False).write_parquet(folder / name)
    return str(folder / name)


def _inputs(folder, **other):
    np.save(folder / "n.npy", np.arange(6.0).reshape(3, 2))
    a = Input("a", "a", vectors=_parquet(folder), frozen=True)
    return Input("w", "w"), a, Input("n", "n", vectors=str(folder / "n.npy"))


def test_levels_with_a_vector_are_kept_and_the_others_are_counted(tmp_path):
    inputs, shown = checked_vectors(_inputs(tmp_path)), []
    assert [len(one.vectors_hash) for one in inputs] == [0, 16, 16]
    made = Vocabularies.from_levels(FORMAT, inputs, LEVELS)
    made.save(tmp_path / "d")
    schema = keep_vectors(made, inputs, tmp_path / "d", shown.append).schema
    assert [line.replace(f"{tmp_path}/", "") for line in shown] == [
        "field a: 2 of 4 levels have a vector in a.parquet; 1 levels without a vector ('x') start at random",
        "field n: 2 of 3 levels have a vector in n.npy; 1 levels without a vector ('7') start at random",
    ]
    assert [(one.vector_width, one.vector_rows, one.frozen) for one in schema.fields] == [
        *((0, 0, False), (2, 2, True), (2, 2, False))
    ]
    assert schema.frozen_rows == (2, 2) and made.schema.frozen_rows == (0, 0)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    # w: rows 0 and 1; a: 2 unknown, 3 missing, 4 "x", 5 "100", 6 "y"; n: 7 unknown, 8 "2", 9 "0", 10 "7".
    for name, rows, vectors in (("a", [5, 6], [[5, 6], [1, 2]]), ("n", [8, 9], [[4, 5], [0, 1]])):
        field = next(one for one in schema.fields if one.name == name)
        found_rows, found = load_vectors(tmp_path / "d", schema, field)
        assert (found_rows.tolist(), found.tolist(), found.dtype) == (rows, vectors, "float32")
    Checksums(tmp_path / "d").write({"vectors/a.npy": b"no matrix"})
    with pytest.raises(UserError, match=r"vectors/a.npy: no vectors \(.*\); "):
        load_vectors(tmp_path / "d", schema, schema.fields[1])


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (["x", "y"], [[1, 2], [3]], "the vector of id 'y' has 1 numbers, but that of id 'x' has 2"),
        (
            ["x", "y"],
            [[1, 2], [3, float("nan")]],
            "the vector of id 'y' has the number nan; mend it or leave the id out",
        ),
        (["x", "y"], [[1, 2], [1e300, 0]], "the vector of id 'y' has the number inf; mend it"),
        (["x", "y"], [[1, 2], [3, None]], "the vector of id 'y' has the number nan"),
        (["1", "1.0"], [[1, 2], [3, 4]], "id '1' has several vectors; leave one"),
        (["x"], [[1]], "expected at least one vector of two or more numbers, got 1 of 1"),
        (["u", "v"], [[1, 2], [3, 4]], r"none of its 4 levels \('', 'x', '100', ...\) is among the 2 ids \('u', 'v'\)"),
        ([1.5], [[1, 2]], "column id should be text or integers, got Float64"),
        (["x"], [["a", "b"]], "column vector should be lists of numbers, got List"),
    ],
)
def test_a_bad_parquet_file_is_one_line_with_file_and_field(tmp_path, ids, vectors, message):
    file = _parquet(tmp_path, ids, vectors)
    inputs = (Input("a", "a", vectors=file),)
    with pytest.raises(UserError, match=f"^{file}: field a: {message}") as caught:
        keep_vectors(Vocabularies.from_levels(FORMAT, inputs, LEVELS), checked_vectors(inputs), tmp_path / "d", print)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"expected a matrix of numbers, whose row i is the vector of id i, got float64 of shape \[3\]"),
        (np.array([["a"]]), "expected a matrix of numbers, .* got <U1"),
        (np.array([{}], object), r"not a readable .npy file \(Object arrays cannot be loaded"),
        (np.full((2, 2), np.inf), "the vector of id '0' has the number inf"),
    ],
)
def test_a_bad_npy_file(tmp_path, array, message):
    np.save(tmp_path / "n.npy", array)
    with pytest.raises(UserError, match=f"n.npy: field n: {message}"):
        checked_vectors([Input("n", "n", vectors=str(tmp_path / "n.npy"))])


def test_other_files(tmp_path):
    (tmp_path / "a.csv").write_text("id\n")
    (tmp_path / "a.parquet").write_text("no")
    pl.DataFrame({"key": ["x"]}).write_parquet(tmp_path / "b.parquet")
    for name, message in (
        ("c.npy", "field a: file not found; 'vectors' is looked for beside the schema file"),
        ("a.csv", "field a: 'vectors' should be a .npy or .parquet file"),
        ("a.parquet", r"field a: not a readable .parquet file \("),
        ("b.parquet", "field a: expected the columns id and vector, got key"),
    ):
        with pytest.raises(UserError, match=f"{name}: {message}"):
            checked_vectors([Input("a", "a", vectors=str(tmp_path / name))])
    a, other = _parquet(tmp_path), _parquet(tmp_path, vectors=[[1, 2, 3]] * 3, name="wide.parquet")
    with pytest.raises(
        UserError, match="wide.parquet: field b: its vectors have 3 numbers, but those of field a have 2"
    ):
        checked_vectors([Input("a", "a", vectors=a), Input("b", "b", vectors=other)])


def test_a_schema_file_names_vectors_beside_it(tmp_path):
    fields = [{"name": "a", "kind": "categorical", "vectors": "a.npy", "frozen": True}]
    fields += [{"name": "b", "kind": "multi_valued", "vectors": "/abs/b.npy"}]
    (a, b) = parse_schema({"label": "y", "fields": fields}, "folder/s.json")[1]
    assert (a.vectors, a.frozen, b.vectors, b.frozen) == ("folder/a.npy", True, "/abs/b.npy", False)
    for changed, message in (
        ({"kind": "hashed", "buckets": 9}, "unknown key 'vectors'"),
        ({"vectors": 1}, "'vectors' should be str, got 1"),
        ({"frozen": "yes"}, "'frozen' should be bool, got 'yes'"),
        ({"shared_with": "b"}, "'vectors' belong to field b, whose rows a shares"),
    ):
        with pytest.raises(UserError, match=rf"s.json: fields\[0\]: {message}"):
            parse_schema({"label": "y", "fields": [fields[0] | changed, fields[1]]}, "s.json")
    with pytest.raises(UserError, match="'frozen' is for fields with 'vectors'"):
        parse_schema({"label": "y", "fields": [{"name": "a", "kind": "categorical", "frozen": True}]}, "s.json")
