"""Made-up tables for the doctor's tests, and looking at its reports."""

import csv
import dataclasses
import json

import numpy as np

from data_pipelines.checksums import Checksums
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options
from data_pipelines.read.records import row_dtype, write_shard

ROWS = 6000
SCHEMA = {
    "label": "label",
    "fields": [
        {"name": "color", "kind": "categorical"},
        {"name": "city", "kind": "categorical"},
        {"name": "tags", "kind": "multi_valued", "separator": "|", "max_values": 3},
        {"name": "age", "kind": "numeric", "bins": "equal_frequency", "count": 5},
        {"name": "price", "kind": "numeric", "bins": "none"},
    ],
}
TABULAR = parse_schema(SCHEMA, "schema")


def made_up(seed=0):
    """Rows of a healthy table, as dictionaries of text."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(ROWS):
        color = rng.choice(["red", "green", "blue", ""], p=[0.5, 0.3, 0.1, 0.1])
        tags = rng.choice(["news", "sport", "film", "food"], rng.integers(0, 4), replace=False)
        row = {"label": int(rng.random() < (0.4 if color == "red" else 0.2)), "color": color}
        row |= {"city": f"c{rng.zipf(1.4) % 500}", "tags": "|".join(tags)}
        row |= {"age": int(rng.integers(15, 80)), "price": "" if rng.random() < 0.1 else f"{rng.lognormal():.3f}"}
        rows.append({key: str(value) for key, value in row.items()})
    return rows


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def prepare(directory, rows, schema=TABULAR, min_count=2):
    raw = write_table(directory / "table.csv", rows)
    build(Options(*schema, min_count=min_count, block_rows=128), [raw], directory / "d", show=lambda line: None)
    return directory / "d"


def evaluated(data, split):
    batches = list(data.evaluation(split, 1000).as_numpy_iterator())
    ids, values = (np.concatenate([inputs[key] for inputs, _ in batches]) for key in ("ids", "values"))
    return ids, values, np.concatenate([label for _, label in batches])


def rewrite(data_dir, split, change):
    """Applies `change` to the rows of a split and makes everything else consistent with the new rows."""
    data = open_data(data_dir)
    ids, values, label = evaluated(data, split)
    rows = np.empty(len(label), row_dtype(ids.shape[1], values.shape[1]))
    rows["ids"], rows["values"], rows["label"] = ids, values, label
    rows = change(rows)
    first, *others = data.preparation.shards[split]
    for shard in others:
        (data_dir / shard.file).unlink()
    shard = write_shard(data_dir / first.file, rows, data.preparation.options.block_rows)
    positives = data.preparation.positives | {split: int((rows["label"] == 1).sum())}
    shards = data.preparation.shards | {split: (shard,)}
    dataclasses.replace(data.preparation, positives=positives, shards=shards).save(data_dir)
    Checksums(data_dir).add([first.file])


def changed(values):
    """A change of rows by assignments {(name, column): value}; the label has no columns."""

    def change(rows):
        for (name, *column), value in values.items():
            rows[name][(..., *column)] = value
        return rows

    return change


def findings(report, kind):
    return [finding for finding in report.findings if finding.kind == kind]


def only(report, kind, severity):
    (found,) = findings(report, kind)
    assert found.severity == severity
    return found.message


def as_json(report):
    return json.loads(report.to_json())
