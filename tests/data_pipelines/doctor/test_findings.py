"""What the doctor finds in undamaged rows: shifts, leaks, copies and uninformative fields."""

import numpy as np
from doctor_tables import ROWS, SCHEMA, as_json, findings, made_up, only, prepare, rewrite

from data_pipelines.doctor.prepared import examine_prepared
from data_pipelines.doctor.raw import examine_raw
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.read.dataset import open_data


def test_a_shifted_split(data_dir):
    rewrite(
        data_dir, "validation", lambda rows: rows[rows["ids"][:, 0] != open_data(data_dir).schema.fields[0].offset + 1]
    )
    report = examine_prepared(data_dir)
    message = only(report, "shift", "warning")
    assert message.startswith("field color: ") and "% of the validation rows would have to change" in message
    assert report.exit_code == 0


def test_a_shifted_value(data_dir):
    def change(rows):
        rows["values"] += np.float32(0.5)
        return rows

    rewrite(data_dir, "test", change)
    assert "field price: " in only(examine_prepared(data_dir), "shift", "warning")


def test_a_level_that_gives_the_label_away(tmp_path):
    rows = made_up()
    for row in [row for row in rows if row["label"] == "1"][:200]:
        row["color"] = "gold"
    report = examine_prepared(prepare(tmp_path, rows))
    message = only(report, "leaking_level", "warning")
    assert message.startswith("field color: level 'gold' is positive in 200 of 200 rows (") and report.exit_code == 0


def test_a_column_that_gives_the_label_away(tmp_path):
    rows = made_up()
    for i, row in enumerate(rows):
        row["city"] = f"{'yes' if row['label'] == '1' else 'no'}{i % 3}"
    report = examine_prepared(prepare(tmp_path, rows))
    assert "field city: gives the label away" in only(report, "leaking_field", "error")
    assert "AUC 1.0000" in only(report, "leaking_field", "error") and report.exit_code == 1


def test_a_number_that_gives_the_label_away(tmp_path):
    rows = made_up()
    rng = np.random.default_rng(0)
    for row in rows:
        row["price"] = f"{float(row['label']) + rng.normal(0, 0.2):.3f}"
    report = examine_prepared(prepare(tmp_path, rows))
    assert "field price: gives the label away" in only(report, "leaking_field", "error")


def test_a_column_that_nearly_gives_the_label_away(tmp_path):
    rows = made_up()
    rng = np.random.default_rng(0)
    for row in rows:
        row["city"] = str((row["label"] == "1") != (rng.random() < 0.06))
    message = only(examine_prepared(prepare(tmp_path, rows)), "strong_field", "warning")
    assert "field city: the rates of positives of its levels alone rank held-out rows" in message


def test_copied_rows(tmp_path):
    rows = made_up()
    order = np.random.default_rng(0).permutation(2 * ROWS) % ROWS
    report = examine_prepared(prepare(tmp_path, [rows[i] for i in order]))
    message = only(report, "copied_rows", "warning")
    assert "% of the rows are repeated, and " in message and "% of test is in train too" in message
    assert as_json(report)["facts"]["identical_rows"] > 0.8


def test_rows_that_look_alike_are_no_copies(tmp_path):
    rows = [row | {"city": "", "tags": "", "age": "", "price": row["price"][:1]} for row in made_up()]
    report = examine_prepared(prepare(tmp_path, rows))
    assert as_json(report)["facts"]["identical_rows"] > 0.9 and not findings(report, "copied_rows")


def test_a_field_of_one_level(tmp_path):
    rows = [row | {"color": "red", "age": "", "price": ""} for row in made_up()]
    report = examine_prepared(prepare(tmp_path, rows))
    messages = [finding.message for finding in findings(report, "one_level")]
    assert messages == [
        "field color: is 'red' in every row, so it tells nothing; leave it out",
        "field age: is empty in every row, so it tells nothing; leave it out",
        "field price: is one number or empty in every row, so it tells nothing; leave it out",
    ]


def test_names_that_no_exported_model_can_have(tmp_path):
    rows = [row | {"Color": row["city"]} for row in made_up()]
    schema = SCHEMA | {"fields": [*SCHEMA["fields"], {"name": "Color", "kind": "categorical"}]}
    tabular = parse_schema(schema, "schema")
    data_dir = prepare(tmp_path, rows, tabular)
    for report in (examine_prepared(data_dir), examine_raw(*tabular, [tmp_path / "table.csv"])):
        assert only(report, "names", "warning").startswith("columns 'color' and 'Color' would be")
        assert report.exit_code == 0
