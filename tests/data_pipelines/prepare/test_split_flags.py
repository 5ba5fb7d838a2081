"""The flags that say how rows are split: what they mean together, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, sys
from absl import flags
from data_pipelines.errors import UserError
from data_pipelines.prepare.split_flags import SplitFlags
splits = SplitFlags()
for arguments in json.load(sys.stdin):
    flags.FLAGS.unparse_flags()
    for name in ("raw", "train", "validation", "test", "split", "split_by", "split_time", "split_group"):
        flags.FLAGS[name].unparse()
    flags.FLAGS(["prepare", *arguments])
    try:
        rule, shares, files = splits.rule()
        print(json.dumps([str(rule), rule.by, shares, [file.name for file in files]]))
    except UserError as error:
        print(json.dumps(str(error)))
"""
FILES = ("a.csv", "b.csv", "c.csv")
DEFAULT = [0.7, 0.1, 0.2]
CASES = [
    ("--raw=a.csv", ["a split at random by row", "rows", DEFAULT, ["a.csv"]]),
    ("--raw=a.csv --split_by=at --split=0.5,0.2,0.3", ["--split_by=at", "column", [0.5, 0.2, 0.3], ["a.csv"]]),
    (
        "--raw=a.csv,b.csv --split_by=at --split_time=%d.%m.%Y",
        ["--split_by=at (times of the form %d.%m.%Y)", "column", DEFAULT, ["a.csv", "b.csv"]],
    ),
    ("--raw=a.csv --split_group=user", ["--split_group=user", "group", DEFAULT, ["a.csv"]]),
    (
        "--train=a.csv --validation=b.csv --test=c.csv",
        ["--train, --validation and --test (1, 1, 1 files)", "files", DEFAULT, list(FILES)],
    ),
    (
        "--train=a.csv,b.csv --validation=0.1 --test=c.csv",
        ["--train, --validation=0.1 and --test (2, 0, 1 files)", "files", DEFAULT, list(FILES)],
    ),
    ("", "name the raw log as --raw, or files split already as --train, --validation and --test"),
    ("--raw=a.csv --split_by=at --split_group=user", "--split_by=at and --split_group=user: give one of them"),
    ("--raw=a.csv --split_by=", "--split_by should name a column, got ''"),
    ("--raw=a.csv --split_time=iso8601", "--split_time=iso8601 is the form of the times in --split_by; name a column"),
    (
        "--raw=a.csv --split_by=at --split_time=%Y",
        "--split_time: 'format': '%Y' has no month, and the day is not known without it",
    ),
    ("--raw=a.csv --train=b.csv", "--raw and --train: give one of them"),
    ("--train=a.csv --test=b.csv --split_by=at", "--split_by and --train: give one of them"),
    (
        "--train=a.csv --test=b.csv",
        "--validation is missing: name its files or a share of the --train rows, like 0.1",
    ),
    ("--train=a.csv --validation=0.1", "--test is missing: name its files"),
    (
        "--train=a.csv --validation=1.5 --test=b.csv",
        "--validation=1.5: a share of the --train rows should be above 0 and below 1",
    ),
    (
        "--train=a.csv --validation=nan --test=b.csv",
        "--validation=nan: a share of the --train rows should be above 0 and below 1",
    ),
    (
        "--train=a.csv --validation=b.csv --test=./a.csv",
        "a.csv: is named twice, in --train and --test; each file belongs to one split",
    ),
    (
        "--train=a.csv,a.csv --validation=b.csv --test=c.csv",
        "a.csv: is named twice, in --train and --train; each file belongs to one split",
    ),
    (
        "--train=a.csv --validation=b.csv --test=c.csv --split=0.5,0.2,0.3",
        "--split=0.5,0.2,0.3 has no meaning with --train, --validation and --test (1, 1, 1 files); leave it out",
    ),
    ("--train=a.csv --validation=none.csv --test=c.csv", "none.csv: raw file not found"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flags")
    for name in FILES:
        (folder / name).write_text("y,a\n1,2\n")
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){SCRIPT}"],
        cwd=folder, input=json.dumps([flags.split() for flags, _ in CASES]), capture_output=True, text=True,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return dict(zip((flags for flags, _ in CASES), map(json.loads, finished.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(("flags", "expected"), CASES)
def test_flags(answers, flags, expected):
    assert answers[flags] == expected
