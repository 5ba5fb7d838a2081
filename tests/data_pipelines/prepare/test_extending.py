"""Preparations that extend others: which ids levels have, which retire, and what is refused."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.extension import UNSEEN_FILE, rows_before
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.prepare.engines.memory import MemoryPlan
from data_pipelines.prepare.extending import load_old
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options, Preparation

SCHEMA = {
    "label": "y",
    "fields": [
        {"name": "ad", "kind": "categorical"},
        {"name": "x", "kind": "numeric", "bins": "equal_frequency", "count": 3},
        {"name": "tags", "kind": "multi_valued", "separator": "|", "max_values": 3},
        {"name": "hashed", "kind": "hashed", "buckets": 8, "column": "ad"},
        {"name": "shared", "kind": "categorical", "shared_with": "ad", "column": "ad"},
        {"name": "crossed", "kind": "cross", "fields": ["ad", "x"], "buckets": 16},
        {"name": "v", "kind": "numeric", "bins": "none"},
    ],
}


def _log(path, ads, tags=("p", "q|r"), factor=1):
    """100 rows of each ad, in turn, so that every split sees every ad; half are clicks."""
    rows = 100 * len(ads)
    columns = {
        "y": np.arange(rows) // len(ads) % 2,
        "ad": [ads[i % len(ads)] for i in range(rows)],
        "x": np.arange(rows) * factor,
        "tags": [tags[i // 7 % len(tags)] for i in range(rows)],
        "v": np.arange(rows) % 10 * factor,
    }
    pl.DataFrame({name: list(map(str, values)) for name, values in columns.items()}).write_csv(path)
    return path


def _options(schema=SCHEMA, **more):
    return Options(*parse_schema(schema, "s.json"), **({"min_count": 5, "block_rows": 64} | more))


def _prepare(folder, name, ads, old=None, retire_after=0, shown=None, engine=None, **log):
    raw = _log(folder / f"{name}.csv", ads, **log)
    extended = None if old is None else load_old(folder / old, retire_after)
    build(
        _options(), [raw], folder / name, engine=engine, old=extended, show=(shown if shown is not None else []).append
    )
    return open_data(folder / name)


def _levels(data, field="ad"):
    return Vocabularies.load(data.path, data.schema).levels[field].to_list()


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Four days: ads a, b, c; then a, d; then a, e, f, with retirement after two; then b again."""
    folder = tmp_path_factory.mktemp("days")
    shown = {}
    made = {}
    plans = [
        ("1", "abc", None, 0, {}),
        ("2", "ad", "1", 0, {"tags": ("p", "s|q|r"), "factor": 3}),
        ("3", "aeef", "2", 2, {}),
        ("4", "bg", "3", 2, {}),
    ]
    for name, ads, old, retire_after, log in plans:
        shown[name] = []
        made[name] = _prepare(folder, name, list(ads), old, retire_after, shown[name], **log)
    return folder, made, shown


def test_levels_keep_their_ids_and_new_ones_follow(days):
    _, made, shown = days
    assert sorted(_levels(made["1"])) == ["a", "b", "c"]
    assert _levels(made["2"]) == [*_levels(made["1"]), "d"]
    assert _levels(made["2"], "tags") == [*_levels(made["1"], "tags"), "s"]
    assert "2 new levels have new rows: ad 1, tags 1" in shown["2"]
    # A row of day 2 has the ids that day 1 gave the same texts, relative to the field.
    assert _as_day_1_reads(made, "b")[0] == _levels(made["1"]).index("b") + 1
    assert made["2"].schema.fields[2].width == 3 and made["1"].schema.fields[2].width == 2


def _as_day_1_reads(made, ad):
    from data_pipelines.fields.columns import coded

    rows = coded({"ad": [ad], "x": ["1"], "tags": ["p"], "v": ["1"]})
    ids = [Vocabularies.load(made[day].path, made[day].schema).encode(rows)[0, 0] for day in ("1", "2")]
    assert ids[0] == ids[1]
    return ids


def test_bins_and_means_stay(days):
    _, made, _ = days
    for name in ("2", "3", "4"):
        for before, after in zip(made["1"].schema.fields, made[name].schema.fields, strict=True):
            assert after.parameters == before.parameters
        assert _levels(made[name], "x") == _levels(made["1"], "x") and _levels(made[name], "v") == ["value"]
    # The sample of day 2 alone would have given other ones: its numbers are three times as large.
    assert made["1"].schema.fields[6].parameters == pytest.approx((4.5, 2.87), abs=0.15)


def test_levels_unseen_for_long_give_their_rows_away(days):
    _, made, shown = days
    first = _levels(made["1"])
    # Day 3: b and c have been unseen on days 2 and 3, d on day 3 alone. e, which is more frequent, takes the first of
    # their rows and f the second.
    expected = [{"b": "e", "c": "f"}.get(level, level) for level in first] + ["d"]
    if first.index("c") < first.index("b"):
        expected = [{"c": "e", "b": "f"}.get(level, level) for level in first] + ["d"]
    assert _levels(made["3"]) == expected
    assert "2 new levels have rows of levels unseen for 2 preparations: ad 2" in shown["3"]
    extension = made["3"].preparation.extension
    assert extension.reused == {"ad": 2} and extension.appended == {}
    assert extension.of == (made["2"].fingerprint, made["1"].fingerprint)
    assert made["3"].preparation.options.retire_after == 2
    # Day 4: only d has been unseen twice. b, which comes back, takes its row as a new level would; g has a new one.
    fourth = _levels(made["4"])
    assert fourth[:4] == [{"d": "b"}.get(level, level) for level in expected] and fourth[4:] == ["g"]


def test_how_long_levels_have_been_unseen_is_counted(days):
    folder, made, _ = days
    old = load_old(folder / "4")
    unseen = dict(zip(_levels(made["4"]), old.base.unseen["ad"].tolist(), strict=True))
    assert unseen == {"a": 1, "e": 1, "f": 1, "b": 0, "g": 0}
    assert set(old.base.unseen["x"].tolist()) == {0}
    assert load_old(folder / "1").base.unseen["ad"].tolist() == [0, 0, 0]


def test_rows_are_mapped_by_lines(days):
    _, made, _ = days
    known = {name: Vocabularies.load(data.path, data.schema) for name, data in made.items()}
    names = {name: _row_names(vocabularies) for name, vocabularies in known.items()}
    for old, new in (("1", "2"), ("2", "3"), ("1", "3"), ("3", "4")):
        rows = rows_before(known[old], known[new])
        for row, before in enumerate(rows.tolist()):
            if before >= 0:
                assert names[old][before] == names[new][row]
        # Every level of both that nobody took the row of is mapped, and all rows out of vocabulary are.
        assert (rows >= 0).sum() == len(set(names[old]) & set(names[new]))
    with pytest.raises(UserError, match="field ad: it is read otherwise, or has fewer rows"):
        rows_before(known["2"], known["1"])


def _row_names(vocabularies):
    """(field, level) of each row of the fused table; the level is None out of vocabulary, a number if it is hashed."""
    return [
        (field.name, level)
        for field in vocabularies.schema.fields
        if not field.shared_with
        for level in (None, *(range(field.size - 1) if field.buckets else vocabularies.levels[field.name]))
    ]


def test_the_same_command_again_finds_it_prepared_and_another_base_is_refused(days):
    folder, made, _ = days
    shown = []
    assert _prepare(folder, "2", ["a", "d"], "1", shown=shown, tags=("p", "s|q|r"), factor=3).fingerprint == (
        made["2"].fingerprint
    )
    assert shown == [f"{folder / '2'}: already prepared"]
    with pytest.raises(UserError, match=r"as an extension of data with fingerprint \w{16}, not as no extension; ch"):
        _prepare(folder, "2", ["a", "d"], None, tags=("p", "s|q|r"), factor=3)
    with pytest.raises(UserError, match="with --retire_after=0, not 3"):
        _prepare(folder, "2", ["a", "d"], "1", 3, tags=("p", "s|q|r"), factor=3)


def test_counts_that_spill_to_disk_extend_alike(days, monkeypatch):
    folder, made, _ = days
    from data_pipelines.prepare.engines.local import LocalEngine

    engine = LocalEngine(3.0, lambda line: None)
    monkeypatch.setattr(
        engine, "_plan", dataclasses.replace(MemoryPlan.within(3.0), count_bytes=1, chunk_bytes=1 << 12)
    )
    spilled = _prepare(folder, "3_spilled", list("aeef"), "2", 2, engine=engine)
    assert _levels(spilled) == _levels(made["3"])
    assert (spilled.path / UNSEEN_FILE).read_bytes() == (made["3"].path / UNSEEN_FILE).read_bytes()


def test_other_fields_another_seed_and_damage_are_refused(days, tmp_path):
    folder, _, _ = days
    raw, old = folder / "2.csv", load_old(folder / "1")
    other = json.loads(json.dumps(SCHEMA))
    other["fields"][0]["min_count"] = 3
    way_out = "an extension has the same fields: prepare all rows anew without --extend"
    with pytest.raises(UserError, match=rf"with ad \(min_count=None\), not .* with ad \(min_count=3\); {way_out}"):
        build(_options(other), [raw], tmp_path / "d", old=old)
    with pytest.raises(UserError, match="with --seed=0, not 1; leave out --seed: an extension has the same"):
        build(_options(seed=1), [raw], tmp_path / "d", old=old)
    with pytest.raises(UserError, match="--retire_after should be at least 1, or 0 for never; got -1"):
        load_old(folder / "1", -1)
    with pytest.raises(UserError, match="no such directory; prepare it first"):
        load_old(folder / "none")
    assert not (tmp_path / "d").exists()


def test_preparation_json_is_the_same_without_an_extension_and_read_back_with_one(days):
    _, made, _ = days
    plain = json.loads((made["1"].path / "preparation.json").read_text())
    assert "extension" not in plain and not {"extends", "retire_after"} & plain["options"].keys()
    assert not (made["1"].path / UNSEEN_FILE).exists()
    assert Preparation.load(made["3"].path) == made["3"].preparation
