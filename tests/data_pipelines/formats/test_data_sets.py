"""The prepared real slices compared with recounts in plain Python, and the contest's own iPinYou logs."""

import bz2
import collections
import csv
import datetime
import gzip
import json
import random

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options
from data_pipelines.row_hashes import split_of_rows

MIN_COUNT = 2


def _prepared(raw, data_dir, dataset, clicks=(), **arguments):
    options = Options(*make_format(dataset, **arguments), min_count=MIN_COUNT)
    build(options, raw, data_dir, click_files=clicks, show=lambda line: None)
    return open_data(data_dir)


def _rows_of(data, split):
    batches = list(data.evaluation(split, 4096).as_numpy_iterator())
    return np.concatenate([np.column_stack([ids, label.astype(np.int32)]) for ids, label in batches])


def _check_recount(data, rows, labels):
    """`rows`: level texts of each row by field, worked out in plain Python."""
    split = split_of_rows(np.arange(len(rows)), (0.7, 0.1, 0.2), 0)
    vocabularies = Vocabularies.load(data.path, data.schema)
    known = []
    for position, field in enumerate(data.schema.fields):
        counts = collections.Counter(row[position] for row, where in zip(rows, split, strict=True) if where == 0)
        kept = sorted((level for level in counts if counts[level] >= MIN_COUNT), key=lambda v: (-counts[v], v))
        assert vocabularies.levels[field.name].to_list() == kept, field.name
        known.append({level: field.offset + 1 + i for i, level in enumerate(kept)})
    for index, name in enumerate(("train", "validation", "test")):
        chosen = [i for i in range(len(rows)) if split[i] == index]
        assert data.rows[name] == len(chosen)
        assert data.positives[name] == sum(labels[i] for i in chosen)
        expected = [
            [known[p].get(rows[i][p], data.schema.fields[p].offset) for p in range(len(known))] + [labels[i]]
            for i in chosen
        ]
        assert sorted(_rows_of(data, name).tolist()) == sorted(expected)


def _read(path, delimiter):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize("with_hour", [False, True])
def test_avazu(shared_data, tmp_path, with_hour):
    raw = shared_data / "avazu" / "train.csv"
    data = _prepared([raw], tmp_path / "d", "avazu", with_hour=with_hour)
    names = [name for name in raw.open().readline().strip().split(",") if name not in ("id", "click", "hour")]
    found = _read(raw, ",")
    assert len(names) == 21 and len(found) == 8999
    # Every row of the slice is from Tuesday, 21 October 2014, between midnight and one.
    rows = [["00", "2"] * with_hour + [row[name] for name in names] for row in found]
    assert data.schema.num_fields == 21 + 2 * with_hour
    _check_recount(data, rows, [int(row["click"]) for row in found])
    assert sum(data.positives.values()) / 8999 == pytest.approx(0.174, abs=0.001)


def _ipinyou_row(row):
    """The 16 fields of a row of train.log.txt."""
    agent = row["useragent"].lower()
    system = next((s for s in ("windows", "ios", "mac", "android", "linux") if s in agent), "other")
    names = ("chrome", "sogou", "maxthon", "safari", "firefox", "theworld", "opera", "ie")
    browser = next((b for b in names if b in agent), "other")
    price = int(row["slotprice"])
    buckets = (("0", 0), ("1-10", 10), ("11-50", 50), ("51-100", 100))
    bucket = next((text for text, top in buckets if price <= top), "101+")
    head = [row["weekday"], row["hour"], f"{system}_{browser}" if agent else ""]
    middle = ["IP", "region", "city", "adexchange", "domain", "slotid", "slotwidth", "slotheight", "slotvisibility"]
    return head + [row[name] for name in (*middle, "slotformat")] + [bucket, row["creative"], row["advertiser"]]


def test_ipinyou(shared_data, tmp_path):
    raw = shared_data / "ipinyou" / "train.log.txt"
    data = _prepared([raw], tmp_path / "d", "ipinyou")
    found = _read(raw, "\t")
    assert len(found) == 26773 and data.schema.num_fields == 16
    _check_recount(data, [_ipinyou_row(row) for row in found], [int(row["click"]) for row in found])
    assert sum(data.positives.values()) / 26773 == pytest.approx(0.0095, abs=0.0001)


def test_frappe_as_a_table(shared_data, tmp_path):
    raw = shared_data / "frappe" / "frappe.csv"
    names = raw.open().readline().strip().split(",")[1:]
    fields = [{"name": name, "kind": "categorical"} for name in names]
    (tmp_path / "schema.json").write_text(json.dumps({"label": "label", "fields": fields}))
    data = _prepared([raw], tmp_path / "d", "tabular", schema_file=tmp_path / "schema.json")
    found = _read(raw, ",")
    assert len(found) == 57722 and len(names) == 10
    _check_recount(data, [[row[name] for name in names] for row in found], [int(row["label"]) for row in found])
    assert sum(data.positives.values()) / 57722 == pytest.approx(0.330, abs=0.001)


def _contest_logs(rows, seed):
    """(impressions, clicks, the same as make-ipinyou-data writes it): made-up rows in the contest's 24 columns."""
    draw = random.Random(seed)
    impressions, clicks, log = [], [], []
    for number in range(rows):
        bid, creative = f"{draw.getrandbits(128):032x}", str(draw.randrange(10))
        time = datetime.datetime(2013, 10, 19) + datetime.timedelta(minutes=draw.randrange(9 * 24 * 60))
        agent = draw.choice(["Mozilla/5.0 (Windows NT 6.1) Chrome/28.0", "Mozilla/4.0 (compatible; MSIE 8.0; Mac)", ""])
        columns = [bid, time.strftime("%Y%m%d%H%M%S123"), "1", "null", agent, f"1.2.{draw.randrange(9)}.*"]
        columns += [str(draw.randrange(400)) for _ in range(2)] + [str(draw.randrange(4)), f"d{draw.randrange(50)}"]
        columns += ["u", "null", f"s{draw.randrange(99)}", "300", "250", "FirstView", "Na", str(draw.randrange(200))]
        columns += [creative, "300", "70", "null", "2997", "10063,10006"]
        clicked = draw.random() < 0.1
        impressions.append("\t".join(columns))
        if clicked:
            clicks.append("\t".join([columns[0], columns[1], "2", *columns[3:]]))
        elif number % 10 == 0:
            # Another creative of the same auction was clicked.
            clicks.append("\t".join([*columns[:18], "999", *columns[19:]]))
        log.append("\t".join([str(int(clicked)), time.strftime("%w"), time.strftime("%H"), *columns]))
    return impressions, clicks, log


def test_the_contests_own_logs_equal_the_scripts_file(tmp_path):
    impressions, clicks, log = _contest_logs(3000, seed=1)
    names = "bidid timestamp logtype ipinyouid useragent IP region city adexchange domain url urlid slotid slotwidth"
    names += " slotheight slotvisibility slotformat slotprice creative bidprice payprice keypage advertiser usertag"
    header = "\t".join(["click", "weekday", "hour", *names.split()])
    (tmp_path / "train.log.txt").write_text("\n".join([header, *log]) + "\n")
    raw = [tmp_path / "imp.20131019.txt.bz2", tmp_path / "imp.20131020.txt", tmp_path / "imp.20131021.txt.gz"]
    raw[0].write_bytes(bz2.compress("\n".join(impressions[:1000]).encode()))
    raw[1].write_text("\n".join(impressions[1000:2500]) + "\n")
    raw[2].write_bytes(gzip.compress("\n".join(impressions[2500:]).encode()))
    click_files = [tmp_path / "clk.20131019.txt.bz2", tmp_path / "clk.20131020.txt"]
    click_files[0].write_bytes(bz2.compress("\n".join(clicks[:100]).encode()))
    click_files[1].write_text("\n".join(clicks[100:]) + "\n")
    scripts = _prepared([tmp_path / "train.log.txt"], tmp_path / "scripts", "ipinyou")
    contest = _prepared(raw, tmp_path / "contest", "ipinyou_contest", clicks=click_files)
    assert scripts.rows == contest.rows and scripts.positives == contest.positives
    assert [f.name for f in scripts.schema.fields] == [f.name for f in contest.schema.fields]
    for split in scripts.rows:
        assert _rows_of(scripts, split).tolist() == _rows_of(contest, split).tolist()
    files = [file.name for file in contest.preparation.clicks]
    assert files == ["clk.20131019.txt.bz2", "clk.20131020.txt"]


def test_contest_logs_without_clicks_or_of_another_form(tmp_path):
    impressions, _, _ = _contest_logs(20, seed=1)
    (tmp_path / "imp.txt").write_text("\n".join(impressions))
    with pytest.raises(UserError, match="the labels are in the click logs; name them with --clicks"):
        _prepared([tmp_path / "imp.txt"], tmp_path / "d", "ipinyou_contest")
    # The first season's logs have no advertiser and no user tags.
    (tmp_path / "imp.txt").write_text("\n".join(line.rsplit("\t", 2)[0] for line in impressions))
    with pytest.raises(UserError, match="imp.txt:1: the line has 22 fields instead of 24"):
        _prepared([tmp_path / "imp.txt"], tmp_path / "d", "ipinyou_contest", clicks=[tmp_path / "imp.txt"])


def test_one_class_in_a_small_split_and_poor_fields_are_named(tmp_path):
    lines = ["y,a,b,A", *(f"{int(i % 100 == 0)},x,{i},{i % 2}" for i in range(400))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    fields = [{"name": name, "kind": "categorical"} for name in "abA"]
    (tmp_path / "schema.json").write_text(json.dumps({"label": "y", "fields": fields}))
    arguments = {"dataset": "tabular", "schema_file": tmp_path / "schema.json"}
    with pytest.raises(UserError, match="the validation split has .* rows but no positives: its AUC"):
        _prepared([tmp_path / "a.csv"], tmp_path / "d", **arguments)
    shown = []
    options = Options(*make_format(**arguments), min_count=MIN_COUNT, split=(0.4, 0.3, 0.3), seed=1)
    build(options, [tmp_path / "a.csv"], tmp_path / "d", show=shown.append)
    assert "note: field a: only one level is frequent enough for a row of its own, so it tells little" in shown
    assert "note: field b: no level is frequent enough for a row of its own, so it tells little" in shown
    (names,) = (line for line in shown if line.startswith("note: columns"))
    assert names == (
        "note: columns 'a' and 'A' would be the signature's inputs a and A, which TensorFlow does not tell apart, so a "
        "model of this data cannot be exported; rename one of them in the log"
    )
