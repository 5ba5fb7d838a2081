import collections

import numpy as np
import pytest
from doctor_tables import ROWS, TABULAR, as_json, findings, made_up, only, write_table
from sklearn.metrics import roc_auc_score

from data_pipelines.doctor.prepared import examine_prepared
from data_pipelines.doctor.raw import examine_raw
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.read.preparation import Options
from data_pipelines.row_hashes import split_of_rows


def _raw(directory, rows, **arguments):
    return examine_raw(*TABULAR, [write_table(directory / "table.csv", rows)], **arguments)


def test_raw_numbers_are_those_of_a_recount(tmp_path):
    rows = made_up()
    report = _raw(tmp_path, rows)
    assert report.findings == [] and max(map(len, report.to_text().splitlines())) <= 120
    content = as_json(report)
    assert (content["facts"]["rows"], content["facts"]["bad_rows"]) == (ROWS, 0)
    assert content["facts"]["positives"] == sum(row["label"] == "1" for row in rows)
    for field in content["fields"]:
        texts = [row[field["field"]] for row in rows]
        assert field["missing"] == pytest.approx(texts.count("") / ROWS)
        if field["field"] == "tags":
            texts = [tag for text in texts for tag in text.split("|")]
        counts = collections.Counter(texts)
        assert field["levels"] == len(counts)
        if field["field"] in ("age", "price"):
            assert field["rare"] is None and field["top_level"] is None
            continue
        assert field["rare"] == pytest.approx(sum(c for c in counts.values() if c < 20) / len(texts))
        assert field["top_share"] == pytest.approx(max(counts.values()) / len(texts))
        assert counts[field["top_level"]] == max(counts.values())
    color = content["fields"][0]
    half = split_of_rows(np.arange(ROWS), (0.5, 0.5), 0) == 0
    label = np.array([row["label"] == "1" for row in rows])
    texts = np.array([row["color"] for row in rows])
    rate = {text: label[half & (texts == text)].mean() for text in set(texts)}
    assert color["auc"] == pytest.approx(roc_auc_score(label[~half], [rate[text] for text in texts[~half]]))
    keys = collections.Counter(tuple(row.values()) for row in rows)
    assert content["facts"]["identical_rows"] == pytest.approx(sum(c for c in keys.values() if c > 1) / ROWS)


def test_raw_criteo_rows_have_no_findings(criteo_raw_file):
    report = examine_raw(*make_format("criteo"), [criteo_raw_file])
    assert report.findings == [] and len(as_json(report)["fields"]) == 39


def test_bad_raw_rows_are_shown_and_counted(tmp_path):
    rows = made_up()
    for i in range(10, 17):
        rows[i]["age"] = "old"
    report = _raw(tmp_path, rows)
    message = only(report, "bad_rows", "error")
    assert message.startswith("7 bad rows, but --max_bad_rows=0; the first: ")
    assert f"{tmp_path / 'table.csv'}:12: field age: 'old' is not a number" in message
    assert report.to_text().count("bad row: ") == 5 and as_json(report)["facts"]["rows"] == ROWS - 7
    assert findings(_raw(tmp_path, rows, max_bad_rows=7), "bad_rows") == []


def test_a_raw_log_of_one_label(tmp_path):
    message = only(_raw(tmp_path, [row | {"label": "0"} for row in made_up()]), "one_class", "error")
    assert message == "the label is 0 in all 6,000 rows; check the label column"


def test_raw_fields_that_tell_nothing_or_too_much(tmp_path):
    rows = [row | {"city": f"visit {i}", "age": "7"} for i, row in enumerate(made_up())]
    for row in [row for row in rows if row["label"] == "1"][:200]:
        row["tags"] += "|buyer"
    for row in rows:
        row["color"] = "sold" if row["label"] == "1" else "free"
        row["price"] = f"{float(row['label']) + len(row['tags']) / 100:.2f}"
    report = _raw(tmp_path, rows)
    assert "field city: 6,000 levels in 6,000 rows: it names the row" in only(report, "names_the_row", "warning")
    assert "field age: is one number or empty in every row" in only(report, "one_level", "warning")
    assert [finding.field for finding in findings(report, "leaking_field")] == ["color", "price"]
    messages = [finding.message for finding in findings(report, "leaking_level")]
    assert any(message.startswith("field tags: level 'buyer' is positive in 200 of 200 rows") for message in messages)


def test_copied_raw_rows(tmp_path):
    rows = made_up()
    assert "repeated" in only(_raw(tmp_path, rows + rows[:3000]), "copied_rows", "warning")


def test_an_unreadable_raw_log(tmp_path):
    assert "raw file not found" in only(examine_raw(*TABULAR, [tmp_path / "none.csv"]), "unreadable", "error")
    rows = [{key: value for key, value in row.items() if key != "city"} for row in made_up()[:10]]
    assert "has no column 'city'" in only(_raw(tmp_path, rows), "unreadable", "error")


def test_labels_from_click_logs(tmp_path):
    impressions, clicks = tmp_path / "imp.txt", tmp_path / "clk.txt"
    raw_format, inputs = make_format("ipinyou_contest")
    rng = np.random.default_rng(0)
    lines = []
    for i in range(500):
        row = {name: str(rng.integers(5)) for name in raw_format.columns}
        row |= {"bidid": f"b{i}", "timestamp": "20131019160000000", "useragent": "Windows MSIE", "slotprice": "5"}
        lines.append("\t".join(row.values()) + "\n")
    impressions.write_text("".join(lines))
    clicks.write_text("".join(lines[:50]))
    content = as_json(examine_raw(raw_format, inputs, [impressions], [clicks]))
    assert (content["facts"]["rows"], content["facts"]["positives"]) == (500, 50)
    report = examine_raw(raw_format, inputs, [impressions])
    assert "the labels are in the click logs; name them with --clicks" in only(report, "unreadable", "error")
    report = examine_raw(*make_format("criteo"), [impressions], [clicks])
    assert "--clicks: criteo has a label column" in only(report, "unreadable", "error")


@pytest.mark.parametrize("name, file", [("criteo", "train.txt"), ("avazu", "train.csv"), ("ipinyou", "train.log.txt")])
def test_the_real_slices_raise_no_false_alarms(shared_data, tmp_path, name, file):
    raw_format, inputs = make_format(name)
    raw = shared_data / name / file
    build(Options(raw_format, inputs, min_count=2), [raw], tmp_path / "d", show=lambda line: None)
    # The iPinYou slice covers one advertiser and hour, so several columns hold one level.
    expected = {"one_level"} if name == "ipinyou" else set()
    for report in (examine_raw(raw_format, inputs, [raw]), examine_prepared(tmp_path / "d")):
        assert {finding.kind for finding in report.findings} == expected
