import json

import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input
from data_pipelines.formats import make_format
from data_pipelines.formats.tabular import parse_schema, read_schema_file

FULL = {
    "label": "clicked",
    "file": {"format": "tsv", "quoted": True},
    "min_count": 10,
    "fields": [
        {"name": "user", "kind": "categorical", "min_count": 2},
        {"name": "city", "kind": "categorical", "column": "town"},
        {"name": "age", "kind": "numeric", "bins": "equal_frequency", "count": 20},
        {"name": "income", "kind": "numeric", "bins": "equal_frequency"},
        {"name": "views", "kind": "numeric"},
        {"name": "price", "kind": "numeric", "bins": "none", "scale": "log"},
        {"name": "rate", "kind": "numeric", "bins": "none"},
        {"name": "genres", "kind": "multi_valued", "separator": ";", "max_values": 8},
        {"name": "tags", "kind": "multi_valued"},
        {"name": "ad", "kind": "hashed", "buckets": 1000},
        {"name": "ads", "kind": "hashed", "buckets": 50, "separator": " ", "max_values": 3},
        {"name": "user x ad", "kind": "cross", "fields": ["user", "ad"], "buckets": 99},
        {"name": "hour", "kind": "time", "part": "hour_of_day", "column": "at"},
        {"name": "day", "kind": "time", "part": "weekday", "column": "at"},
    ],
}


def test_every_kind_of_field():
    raw_format, inputs = parse_schema(FULL, "s.json", "log_of_square")
    assert (raw_format.label, raw_format.delimiter, raw_format.has_header, raw_format.quoted) == (
        *("clicked", "\t", True, True),
    )
    assert inputs == (
        Input("user", "user", min_count=2),
        Input("city", "town", min_count=10),
        Input("age", "age", "equal_frequency", 10, 20),
        Input("income", "income", "equal_frequency", 10, 10),
        Input("views", "views", "log_of_square", 10),
        Input("price", "price", "log_value", 10),
        Input("rate", "rate", "value", 10),
        Input("genres", "genres", min_count=10, separator=";", max_values=8),
        Input("tags", "tags", min_count=10, separator="|", max_values=16),
        Input("ad", "ad", "hashed", buckets=1000),
        Input("ads", "ads", "hashed", separator=" ", max_values=3, buckets=50),
        Input("user x ad", "", "hashed", buckets=99, crossed=("user", "ad")),
        Input("hour", "at", "hour_of_day", 10),
        Input("day", "at", "weekday", 10),
    )


def test_files_have_their_usual_delimiters_and_quotes():
    for name, delimiter, quoted in (("csv", ",", True), ("tsv", "\t", False), ("parquet", "", False)):
        raw_format, _ = parse_schema(FULL | {"file": {"format": name}}, "s.json")
        assert (raw_format.delimiter, raw_format.quoted, raw_format.is_parquet) == (delimiter, quoted, not delimiter)
    raw_format, _ = parse_schema(FULL | {"file": {"delimiter": ";", "quoted": False}}, "s.json")
    assert (raw_format.delimiter, raw_format.quoted) == (";", False)


def _with_field(**field):
    return FULL | {"fields": [{"name": "a", "kind": "categorical"} | field]}


def _crossing(*names, buckets=9, **first):
    crosses = [{"name": "c", "kind": "cross", "fields": list(names), "buckets": buckets}]
    crosses += [{"name": "d", "kind": "cross", "fields": ["a", "b"], "buckets": 9}]
    fields = [{"name": "a", "kind": "categorical"} | first, {"name": "b", "kind": "categorical"}, *crosses]
    return FULL | {"fields": fields}


def _sharing(first=None, third=None, **second):
    a = {"name": "a", "kind": "categorical"} | (first or {})
    b = {"name": "b", "kind": "categorical", "shared_with": "a"} | second
    return FULL | {"fields": [a, b, *([third] if third else [])]}


@pytest.mark.parametrize(
    "schema, message",
    [
        ({"fields": FULL["fields"]}, "s.json: key 'label' is missing"),
        (FULL | {"lable": "x"}, "s.json: unknown key 'lable'"),
        (FULL | {"fields": []}, "s.json: there are no fields; name at least one"),
        (FULL | {"file": {"format": "xlsx"}}, "s.json, file: 'format' should be csv, tsv or parquet, got 'xlsx'"),
        (FULL | {"file": {"delimiter": "||"}}, "s.json, file: 'delimiter' should be one ASCII character"),
        (FULL | {"file": {"format": "parquet", "quoted": True}}, "a Parquet file has no delimiter and no quotes"),
        (_with_field(kind="number"), r"s.json: fields\[0\]: 'kind' should be categorical, numeric, .* got 'number'"),
        (_with_field(count=3), r"fields\[0\]: unknown key 'count'"),
        (_with_field(min_count=0), "field a: min_count should be at least 1"),
        (_with_field(kind="numeric", bins="deciles"), "'bins' should be log_square, .* got 'deciles'"),
        (_with_field(kind="numeric", count=3), "'count' is for equal_frequency bins"),
        (_with_field(kind="numeric", bins="equal_frequency", count=1), "field a: bins should be 2 to 4096"),
        (_with_field(kind="numeric", scale="log"), '\'scale\' is linear or log, of "bins": "none"'),
        (_with_field(kind="multi_valued", separator=""), "'separator' should be text without line ends"),
        (_with_field(kind="multi_valued", max_values=0), "max_values=0"),
        (_with_field(kind="hashed"), r"s.json: fields\[0\]: 'buckets' is missing; give the number of rows"),
        (_with_field(kind="hashed", buckets=1), "s.json: field a: buckets should be 2 to 1,073,741,824 .* got 1"),
        (_with_field(kind="hashed", buckets="9"), r"fields\[0\]: 'buckets' should be"),
        (_with_field(kind="hashed", buckets=9, min_count=2), r"fields\[0\]: unknown key 'min_count'"),
        (_with_field(kind="hashed", buckets=9, max_values=2), "'max_values' is for fields of several values; give"),
        (_with_field(buckets=9), r"fields\[0\]: unknown key 'buckets'"),
        (_sharing(shared_with="c"), r"fields\[1\]: 'shared_with' should name a field \(a, b\), got 'c'"),
        (_sharing(shared_with=5), r"fields\[1\]: 'shared_with' should name a field \(a, b\), got 5"),
        (_sharing(shared_with="b"), "field b is shared with itself; leave 'shared_with' out"),
        (_sharing({"shared_with": "b"}), "field a is shared with b, which is shared with a; leave it out of b"),
        (
            _sharing({"shared_with": "c"}, third={"name": "c", "kind": "categorical"}),
            "field b is shared with a, which is shared with c; name c here",
        ),
        (_sharing({"kind": "numeric"}), "field b is categorical and shared with a, which is numeric; a categorical"),
        (_sharing({"kind": "hashed", "buckets": 9}), "field b is categorical and shared with a, which is hashed"),
        (_sharing({"shared": 1}), r"fields\[0\]: unknown key 'shared'"),
        (_sharing(min_count=3), r"fields\[1\]: 'min_count' is that of field a, whose rows b shares; leave it out"),
        (_sharing({"kind": "hashed", "buckets": 9}, kind="hashed", buckets=9), "'buckets' is that of field a"),
        (_sharing(kind="time", part="weekday"), r"fields\[1\]: unknown key 'shared_with'"),
        (_crossing("a", "e"), "s.json: field c: it crosses 'e', which is no field; the fields are a, b, c, d"),
        (_crossing("a", "c"), "field c: it crosses 'c', which is a cross; name the fields of that cross"),
        (_crossing("a", "d"), r"field c: it crosses 'd', which is a cross; name the fields of that cross \(a, b\)"),
        (_crossing("a"), r"fields\[2\]: 'fields' should be the names of two or more fields, each once, got \['a'\]"),
        (_crossing("a", "a"), "'fields' should be the names of two or more fields, each once"),
        (_crossing("a", 1), "'fields' should be the names of two or more fields, each once"),
        (_crossing("a", "b", kind="multi_valued"), "field c: it crosses 'a', which has several values a row"),
        (_crossing("a", "b", kind="numeric", bins="none"), "it crosses 'a', which is a number without bins; add"),
        (_crossing("a", "b", buckets=1), "s.json: field c: buckets should be 2 to 1,073,741,824 .* got 1"),
        (_with_field(kind="cross"), r"fields\[0\]: key 'fields' is missing"),
        (_with_field(kind="cross", column="x"), r"fields\[0\]: unknown key 'column'"),
        (_with_field(kind="time"), "'part' should be hour_of_day or weekday, got None"),
        (_with_field(column="clicked"), "field a reads the label column 'clicked'"),
        (_with_field(name=""), "a field of column '' has an empty name"),
        (FULL | {"fields": FULL["fields"][:1] * 2}, "field names repeat: user, user"),
    ],
)
def test_a_wrong_schema_is_one_message(schema, message):
    with pytest.raises(UserError, match=message):
        parse_schema(json.loads(json.dumps(schema)), "s.json")


def test_a_missing_or_malformed_file(tmp_path):
    with pytest.raises(UserError, match="s.json: file not found; write one, or let doctor --suggest_schema do it"):
        read_schema_file(tmp_path / "s.json")
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(UserError, match="s.json: not valid JSON"):
        make_format("tabular", schema_file=tmp_path / "s.json")


def test_equal_frequency_bins_and_values_of_criteo():
    binned = make_format("criteo", "equal_frequency", bin_count=7)[1]
    assert [(one.transform, one.bins) for one in binned[12:14]] == [("equal_frequency", 7), ("text", 0)]
    assert make_format("criteo", "equal_frequency")[1][0].bins == 10
    assert [one.transform for one in make_format("criteo", numeric="value")[1][12:14]] == ["value", "text"]
    schema = {"label": "y", "fields": [{"name": "a", "kind": "numeric"}, {"name": "b", "kind": "numeric"}]}
    schema["fields"][1]["bins"] = "log_square"
    found = parse_schema(schema, "s.json", "equal_frequency", 7)[1]
    assert [(one.transform, one.bins) for one in found] == [("equal_frequency", 7), ("log_square", 0)]


def test_options_that_a_data_set_does_not_have():
    for arguments, message in (
        (("movies",), "unknown dataset 'movies'; known: criteo, avazu"),
        (("criteo", "cube"), "--numeric_bins should be log_square"),
        (("avazu", "log_of_square"), "--numeric_bins: avazu has no integer columns"),
        (("criteo", "log_of_square", False, None, 5), "--bin_count is for --numeric_bins=equal_frequency"),
        (("avazu", "log_square", False, None, None, "value"), "--numeric is for criteo"),
        (("criteo", "log_of_square", False, None, None, "value"), "--numeric=value makes no bins: leave out"),
        (("criteo", "log_square", False, None, None, "text"), "--numeric should be bins, value or log_value"),
        (("ipinyou", "log_square", True), "--with_hour is for avazu"),
        (("tabular",), "--schema says what the columns of --dataset=tabular are"),
        (("criteo", "log_square", False, "s.json"), "--schema says"),
    ):
        with pytest.raises(UserError, match=message):
            make_format(*arguments)
