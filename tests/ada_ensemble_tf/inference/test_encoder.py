"""The graph's ids and values against preparation's, on text of every kind."""

import random

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ada_ensemble_tf.inference.encoder import RawEncoder
from data_pipelines.fields.columns import coded
from data_pipelines.fields.declarations import TRANSFORMS, Input, RawFormat
from data_pipelines.fields.levels import TEXT_NEVER_A_LEVEL, levels, split_values
from data_pipelines.fields.vocabulary import Vocabularies

BOUNDARIES = (-1e300, -2.5, 0.0, 0.1, 3.0, 1e17, 9007199254740993.0)
INPUTS = (
    Input("words", "a"),
    Input("words again", "b"),
    Input("log_square", "a", "log_square"),
    Input("log_of_square", "b", "log_of_square"),
    Input("equal_frequency", "a", "equal_frequency", bins=8),
    Input("one_bin", "b", "equal_frequency", bins=8),
    Input("value", "a", "value"),
    Input("log_value", "a", "log_value"),
    Input("unseen_value", "b", "value"),
    Input("hour_of_day", "a", "hour_of_day"),
    Input("weekday", "a", "weekday"),
    Input("os_browser", "b", "os_browser"),
    Input("price_bucket", "a", "price_bucket"),
    Input("bars", "a", separator="|", max_values=4),
    Input("dots", "b", separator="..", max_values=3),
    Input("first", "a", separator="|", max_values=1),
    Input("unseen_bars", "a", separator="|", max_values=2),
    Input("unseen", "b"),
)
PARAMETERS = {
    "equal_frequency": tuple(sorted(BOUNDARIES)),
    "one_bin": (),
    "value": (1.25, 3.5),
    "log_value": (-0.5, 2.0),
    "unseen_value": (0.0, 1.0),
}
WIDTHS = {one.name: one.max_values for one in INPUTS if one.separator}
LARGEST = 2**63 - 1
ODD = [
    "", " ", "\t", "\n", "\r\n", "\0", "a\0b", "null", "NULL", "NaN", "nan", "-nan", "+NAN", "inf", "-Infinity",
    "=1", "log:3", "bin:0", "value", "unreadable", "unreadable\n", "true", "0x10", "1_000", "１", "٣", "1,5", "5 ",
    " 5", "5\n", "\n5", "5\0", "5\r", "--3", "-", "+", ".", "e5", "1e", "1e+", "1.e5", ".5", "5.", "+5", "-.5e-3",
    "1e5.0", "1e999", "-1e999", "1e-400", "-1e-400", "1e99999999999999999999", "0e999", "1" * 400, "-" + "1" * 400,
    "0" * 400, "0" * 400 + "7", "0." + "0" * 400 + "1", "1" * 308, "1" * 309, "1.7976931348623159e308", "4.9e-324",
    "3.0000000000000004", "9007199254740993", "9007199254740992.999", "0.1", "0.10000000000000000555", "-2.5",
    "0.09999999999999999", "-0", "-0.0", "00", "-00", "007", str(LARGEST), str(LARGEST + 1), str(-LARGEST - 1),
    str(-LARGEST - 2), "0" * 9 + str(LARGEST), "14102123", "14102124", "14130123", "14003123", "14102100\n",
    "1410212", "2014102123", "20141021230000000", "201410212300000000", "2014-10-21 23:00", "2014-10-21T05",
    "2014-10-21 2", "2014-10-21 235", "2014-10-21 23:00\n", "2014-10-21 23\n", "2014-10-21 23é", "2014-02-31 00",
    "2014-10-21 23 " + "x" * 10_000, "0099-02-28 00", "0000-01-01 00", "2000-02-29 12Z", "1900-03-01 12",
    "9999-12-31 23", "２014-10-21 23:00", "2014-10-21\t23:00", "|", "||", "|a", "a|", "a||b", "a|b|c|d|e|f", "..",
    "...", "....", "a..b", "a...b", "..a..", "a|\0|b", "\n|a", "|null|", "|".join("abcdefgh" * 600), "\ufffd",
    "..".join("abc" * 1000), "x" * 10_000, "é" * 5_000, "😀" * 2_500, '"quoted"', 'say "hi"', "'", "a\tb",
    "e\u0301", "é", "\u200d👩\u200d🔬", "\ufeff5", "\u2028", "\x85", "\x7f", "ÅK", "İOS", "日本語", "\U0010ffff",
    "100", "100.0", "100.00", "-100.0", "0.0", "-0.000", "007.0", "9007199254740993.0", "9" * 40 + ".0", "1.0\n",
    "1e+16", "1.0E16", "1e16", "10000000000000000", "1.2345678E7", "12345678", "1.2345678901234568e18", "9.3e+18",
    "1.2345678901234568e+19", "1.5e+0", "1.25E1", "68e12345", "-1e+16", "1.0e99", "9.223372036854775e18", "-NaN",
    "Nan", "True", "TRUE", "true", "False", "FALSE", "false", "tRUE", "1.0|nan|TRUE|1", "nan|NaN", "1.0..1..x",
]  # fmt: skip
AGENTS = ["Windows NT 6.1", "WINDOWS", "iOS 8", "Macintosh", "Android 4", "Linux", "KITKAT", "\u212aindows"]
BROWSERS = ["Chrome/35", "Sogou", "Maxthon", "Safari", "FIREFOX", "TheWorld", "Opera", "MSIE 9", "ſafari", "\n", "é"]


def made_up(rng: random.Random) -> str:
    """A random text of one of the kinds that rules read, or nearly."""
    digits = "".join(rng.choices("0123456789", k=rng.choice([0, 1, 2, 3, 8, 17, 20, 40])))
    kind = rng.randrange(10)
    if kind == 0:
        return str(int(rng.choice([-1, 1]) * 10 ** rng.uniform(0, 20)))
    if kind == 1:
        return rng.choice(["", "-", "+"]) + digits + rng.choice(["", ".", ".5", "." + digits])
    if kind == 2:
        return f"{rng.gauss(0, 1) * 10 ** rng.uniform(-30, 30)!r}"
    if kind == 3:
        return digits + rng.choice("eE") + rng.choice(["", "-", "+"]) + str(rng.randrange(500))
    if kind == 4:
        return f"{rng.randrange(100):02d}{rng.randrange(14):02d}{rng.randrange(33):02d}{rng.randrange(25):02d}"
    if kind == 5:
        date = f"{rng.randrange(10_000):04d}-{rng.randrange(14):02d}-{rng.randrange(33):02d}"
        time = f"{rng.randrange(25):02d}{rng.choice(['', ':59:59.9', 'Z', '日', '1'])}"
        return rng.choice([f"{date} {time}", f"{date}T{time}", f"{date}{time}".replace("-", "")])
    if kind == 6:
        return " ".join(rng.choices(AGENTS + BROWSERS, k=rng.randrange(4)))
    if kind == 7:
        return rng.choice(["|", "..", "||"]).join(
            rng.choices(["a", "b", "c", "", "null", "1", "é"], k=rng.randrange(9))
        )
    if kind == 8:
        whole = rng.choice([-1, 1]) * rng.randrange(10 ** rng.randrange(1, 21))
        return rng.choice([f"{whole}.0", f"{float(whole)}", f"{whole:e}", f"{float(whole):.16e}", f"{whole:E}", "nan"])
    points = [
        rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000), rng.randrange(128)]) for _ in range(8)
    ]
    return "".join(map(chr, points))


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    """10,000 rows of two columns."""
    rng = random.Random(7)
    column = ODD + [made_up(rng) for _ in range(10_000 - len(ODD))]
    return {"a": column, "b": rng.sample(column, len(column))}


@pytest.fixture(scope="module")
def prepared(texts, tmp_path_factory) -> tuple[Vocabularies, RawEncoder]:
    """Preparation's side and the graph's, with every other level of each field in the vocabularies."""
    known = {}
    for one in INPUTS:
        text = pl.Series(texts[one.column])
        found = split_values(text, one.separator).explode() if one.separator else None
        if found is None:
            found = levels(text, one.transform, PARAMETERS.get(one.name, ()))
        found = found.unique().sort()
        found = found.filter(~found.str.contains(TEXT_NEVER_A_LEVEL))
        few = len(found) < 100
        known[one.name] = found.clear() if one.name.startswith("unseen") else found if few else found.gather_every(2)
    vocabularies = Vocabularies.from_levels(RawFormat("odd", "label"), INPUTS, known, PARAMETERS, WIDTHS)
    folder = tmp_path_factory.mktemp("vocabularies")
    vocabularies.save(folder)
    return vocabularies, RawEncoder(vocabularies.schema, folder)


def in_graph(encoder, texts) -> dict[str, np.ndarray]:
    """What the graph makes of columns of text or bytes."""
    tensors = {
        name: tf.constant([t.encode() if isinstance(t, str) else t for t in column], tf.string)
        for name, column in texts.items()
    }
    return {name: tensor.numpy() for name, tensor in tf.function(encoder.__call__)(tensors).items()}


def test_the_cases_are_what_they_should_be(texts):
    assert {one.transform for one in INPUTS} == set(TRANSFORMS)
    assert len(texts["a"]) == len(texts["b"]) == 10_000 and max(map(len, texts["a"])) >= 10_000


def test_agrees_with_preparation_on_10_000_odd_rows(prepared, texts):
    vocabularies, encoder = prepared
    schema, batch = vocabularies.schema, coded(texts)
    got, expected = in_graph(encoder, texts), vocabularies.encode(batch)
    assert got["ids"].dtype == np.int32 and got["ids"].shape == (10_000, sum(schema.widths))
    ends = np.cumsum(schema.widths)
    for field, start, end in zip(schema.fields, ends - schema.widths, ends, strict=True):
        wrong = np.flatnonzero((got["ids"][:, start:end] != expected[:, start:end]).any(axis=1))
        cases = [(texts[field.column][i][:50], got["ids"][i, start:end], expected[i, start:end]) for i in wrong[:5]]
        assert len(wrong) == 0, f"{field.name}: {len(wrong)} rows, such as {cases}"
        assert len(np.unique(expected[:, start:end])) >= (1 if field.name.startswith("unseen") else 3), field.name
    values = vocabularies.values(batch)
    assert got["values"].dtype == np.float32 and len(np.unique(values)) > 1000
    np.testing.assert_allclose(got["values"], values, rtol=1e-6, atol=1e-6)
    assert np.isfinite(values).all() and (np.abs(values) == 10).any()


def test_no_bytes_fail_a_batch(prepared):
    vocabularies, encoder = prepared
    odd = [b"\xff", b"5\xff", b"\xff5", b"1410212\xff", b"2014-10-21 23\xff", b"2014-10-21 23:\xc3", b"a|\xff|\xc3"]
    odd += [
        b"\x80",
        b"\xff" * 10_000,
        b"Windows\xff Chrome",
        b"\xe6\x97",
        b"\xff\xfe\xe5\x65",
        b"\xed\xa0\x80",
        b"-\xff",
    ]
    ids = in_graph(encoder, {"a": odd, "b": odd})["ids"]
    columns = {field.name: i for i, field in enumerate(vocabularies.schema.fields[:13])}
    for name, column in columns.items():
        if name != "os_browser":
            assert (ids[:, column] == vocabularies.schema.fields[column].offset).all(), name
    field = vocabularies.schema.fields[columns["os_browser"]]
    found = vocabularies.levels["os_browser"].to_list().index("windows_chrome")
    assert ids[9, columns["os_browser"]] == field.offset + 1 + found


@pytest.mark.parametrize("name", ["a", "b"])
def test_every_odd_text_alone_and_no_rows(prepared, name):
    """A batch of one has no neighbours that its ops could lean on."""
    vocabularies, encoder = prepared
    encode = tf.function(encoder.__call__, input_signature=[dict.fromkeys("ab", tf.TensorSpec([None], tf.string))])
    for text in ODD:
        batch = {"a": ["5"], "b": ["5"]} | {name: [text]}
        ids = encode({column: tf.constant([value[0].encode()]) for column, value in batch.items()})["ids"]
        np.testing.assert_array_equal(ids, vocabularies.encode(coded(batch)), err_msg=repr(text[:50]))
    none = encode(dict.fromkeys("ab", tf.zeros([0], tf.string)))
    assert none["ids"].shape == (0, sum(vocabularies.schema.widths)) and none["values"].shape == (0, 3)


def test_ids_alone_where_no_field_has_a_value(tmp_path):
    inputs = (Input("word", "w"), Input("words", "w", separator=" ", max_values=3))
    known = {"word": pl.Series(["a b"]), "words": pl.Series(["a", ""])}
    vocabularies = Vocabularies.from_levels(RawFormat("odd", "label"), inputs, known, widths={"words": 3})
    vocabularies.save(tmp_path)
    ids = RawEncoder(vocabularies.schema, tmp_path)({"w": tf.constant(["a b", "", "b  a b a", "a"])})
    # word: 0 unknown, 1 "a b"; words: 2 unknown, 3 "a", 4 missing.
    assert ids.numpy().tolist() == [[1, 3, 2, -1], [0, 4, -1, -1], [0, 2, 3, 2], [0, 3, -1, -1]]
