import json

import pytest

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.readings import Reading
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.json_files import save_json

FORMAT = RawFormat("tiny", "label", ("label", "I1", "C1"))
SCHEMA = Schema(FORMAT, (Field("I1", "log_square", 4, 0), Field("C1", "text", 3, 4)))
MANY = Schema(
    RawFormat("tabular", "clicked", (), ",", True, True),
    (
        Field("age", "value", 3, 0, "years", (30.5, 12.25)),
        Field("genres", "text", 5, 3, separator="|", width=4),
        Field("views", "equal_frequency", 4, 8, parameters=(1.5, 1e300)),
    ),
)


def test_sizes_and_round_trip(tmp_path):
    assert (SCHEMA.num_fields, SCHEMA.num_rows) == (2, 7)
    SCHEMA.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == SCHEMA
    for schema in (SCHEMA, MANY):
        assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_columns_of_ids_values_and_raw_columns():
    assert (SCHEMA.widths, SCHEMA.value_fields, SCHEMA.columns) == ((1, 1), (), ("I1", "C1"))
    assert (MANY.widths, MANY.value_fields, MANY.columns) == ((1, 4, 1), (0,), ("years", "genres", "views"))
    form = Reading(time="iso8601")
    two = (
        Field("hour", "hour_of_day", 2, 0, "time", reading=form),
        Field("day", "weekday", 2, 2, "time", reading=form),
    )
    assert Schema(FORMAT, two).columns == ("time",)


def test_times_whose_form_is_not_known_are_refused():
    with pytest.raises(UserError, match="field hour: the form of its times is not known; prepare the data again"):
        Schema(FORMAT, (Field("hour", "hour_of_day", 2, 0, "time"),))


def test_fingerprint_tells_schemas_apart():
    other = Schema(FORMAT, (Field("I1", "log_square", 4, 0), Field("C1", "text", 4, 4)))
    assert len(SCHEMA.fingerprint()) == 16
    assert SCHEMA.fingerprint() == Schema.from_json(SCHEMA.to_json()).fingerprint() != other.fingerprint()


def test_fields_must_tile_the_table():
    with pytest.raises(UserError, match="C1.*offset 4"):
        Schema(FORMAT, (Field("I1", "log_square", 4, 0), Field("C1", "text", 3, 5)))
    with pytest.raises(UserError, match="repeat: C1, C1"):
        Schema(FORMAT, (Field("C1", "text", 1, 0), Field("C1", "text", 1, 1)))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda j: j.pop("format"), "'format' is missing"),
        (lambda j: j["format"].pop("label"), "format: key 'label' is missing"),
        (lambda j: j["format"].update(quoted="no"), "format.quoted: expected bool, got 'no'"),
        (lambda j: j.update(fields=[]), "a schema needs at least one field"),
        (lambda j: j["fields"][0].update(width=0), "width 1 to 65536"),
        (lambda j: j.update(extra=1), "unknown key 'extra'"),
        (lambda j: j["fields"][1].update(size="3"), r"fields\[1\].size: expected int, got '3'"),
        (lambda j: j["fields"][0].update(transform="cube"), "I1: unknown transform 'cube'"),
    ],
)
def test_malformed_schema_names_file_and_key(tmp_path, change, message):
    value = SCHEMA.to_json()
    value = json.loads(json.dumps(value))
    change(value)
    path = tmp_path / "schema.json"
    save_json(path, value)
    with pytest.raises(UserError, match=f"schema.json.*{message}"):
        Schema.load(path)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UserError, match="SHA256SUMS: file not found"):
        Schema.load(tmp_path / "schema.json")
    (tmp_path / "schema.json").write_text('{"dataset": ')
    Checksums(tmp_path).add(["schema.json"])
    with pytest.raises(UserError, match="schema.json: not valid JSON"):
        Schema.load(tmp_path / "schema.json")
