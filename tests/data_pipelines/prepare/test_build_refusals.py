import collections
import dataclasses
import errno

import pytest
from criteo_build import FORMAT, INPUTS, OTHER_BINS, build_criteo, files_of
from made_up_rows import criteo_lines

from data_pipelines.errors import UserError
from data_pipelines.prepare.engines import shuffle
from data_pipelines.read.preparation import Options


@pytest.mark.parametrize(
    "options, message",
    [
        (Options(FORMAT, INPUTS, min_count=3, block_rows=128), "--min_count=2, not 3"),
        (Options(FORMAT, INPUTS, 2, (0.8, 0.1, 0.1), block_rows=128), r"--split=\(0.7, 0.1, 0.2\), not \(0.8"),
        (Options(FORMAT, INPUTS, 2, seed=7, block_rows=128), "--seed=0, not 7"),
        (
            Options(FORMAT, OTHER_BINS, 2, block_rows=128),
            r"criteo of 39 fields with I1 \(transform='log_square'\), not .* with I1 \(transform='log_of_square'\)",
        ),
        (
            Options(FORMAT, (dataclasses.replace(INPUTS[0], min_count=5), *INPUTS[1:]), 2, block_rows=128),
            r"criteo of 39 fields with I1 \(min_count=None\), not criteo of 39 fields with I1 \(min_count=5\);",
        ),
        (
            Options(FORMAT, INPUTS[::-1], 2, block_rows=128),
            "criteo of 39 fields with I1 as field 1, not criteo of 39 fields with C26 as field 1;",
        ),
        (
            Options(dataclasses.replace(FORMAT, quoted=True), INPUTS, 2, block_rows=128),
            "criteo of 39 fields with quoted=False, not criteo of 39 fields with quoted=True;",
        ),
        (Options(FORMAT, INPUTS, 2), "--block_rows=128, not 4096"),
    ],
)
def test_other_options_than_there_are_named(prepared_criteo, criteo_raw_file, options, message):
    before = files_of(prepared_criteo)
    with pytest.raises(UserError, match=f"was prepared (with|as) {message}.*delete it"):
        build_criteo(criteo_raw_file, prepared_criteo, options)
    assert files_of(prepared_criteo) == before


def test_existing_directories(prepared_criteo, criteo_raw_file, tmp_path):
    shown = []
    build_criteo(criteo_raw_file, prepared_criteo, shown=shown)
    assert shown == [f"{prepared_criteo}: already prepared"]
    other = tmp_path / "train.txt"
    other.write_text("\n".join(criteo_lines(100, seed=9)))
    with pytest.raises(UserError, match="was prepared from train.txt .* not from this train.txt"):
        build_criteo(other, prepared_criteo)
    (tmp_path / "mine").mkdir()
    build_criteo(criteo_raw_file, tmp_path / "mine")  # an empty directory is as good as none
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    with pytest.raises(UserError, match="notes: exists and is not a prepared data directory"):
        build_criteo(criteo_raw_file, tmp_path / "notes")
    (tmp_path / "mine" / "schema.json").unlink()
    with pytest.raises(UserError, match="schema.json.*prepare the data again"):
        build_criteo(criteo_raw_file, tmp_path / "mine")


def _constant_labels(label):
    return [label + line[1:] for line in criteo_lines(300, seed=2)]


@pytest.mark.parametrize(
    "lines, message",
    [
        (criteo_lines(50, seed=2) + ["a\tb"], r"train.txt:51: the line has 2 fields instead of 40"),
        (_constant_labels("0"), "no positives"),
        (_constant_labels("1"), "no negatives"),
        (criteo_lines(2, seed=2), "split gets none of the 2 rows"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, lines, message):
    (tmp_path / "train.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        build_criteo(tmp_path / "train.txt", tmp_path / "criteo")
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_a_failing_second_pass_leaves_nothing_behind(monkeypatch, criteo_raw_file, tmp_path):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shuffle, "write_shard", full)
    with pytest.raises(UserError, match="criteo: the disk is full .* bytes free"):
        build_criteo(criteo_raw_file, tmp_path / "criteo")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_found_before_writing(monkeypatch, criteo_raw_file, tmp_path):
    usage = collections.namedtuple("usage", "total used free")(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="not enough space: about 471,000 bytes needed, 1,000 free"):
        build_criteo(criteo_raw_file, tmp_path / "criteo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"min_count": 0}, "--min_count"),
        ({"split": (0.7, 0.1, 0.1)}, "--split"),
        ({"split": (0.9, 0.0, 0.1)}, "--split"),
        ({"seed": -1}, "--seed"),
        ({"block_rows": 0}, "--block_rows"),
    ],
)
def test_options_out_of_range(arguments, message):
    with pytest.raises(UserError, match=message):
        Options(FORMAT, INPUTS, **arguments)
