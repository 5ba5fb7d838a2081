"""Tests of the synthetic rows: their format, their truth, and that predicting them needs interactions."""

import gzip
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import scipy.sparse
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data_pipelines import synthetic
from data_pipelines.errors import UserError

TRAIN_ROWS, TEST_ROWS = 120_000, 30_000
NUMERIC = [f"I{number}" for number in range(1, 14)]
CATEGORICAL = [f"C{number}" for number in range(1, 27)]


@pytest.fixture(scope="module")
def rows() -> synthetic.Chunk:
    return _join(synthetic.generate(TRAIN_ROWS + TEST_ROWS, seed=5))


def _join(chunks) -> synthetic.Chunk:
    frames, *truth = zip(*chunks, strict=True)
    return synthetic.Chunk(pl.concat(frames), *map(np.concatenate, truth))


def _silent(line: str) -> None:
    del line


def test_rows_have_criteos_format(rows):
    frame = rows.frame
    assert frame.columns == ["label", *NUMERIC, *CATEGORICAL]
    assert set(frame["label"]) == {0, 1}
    assert all(frame[name].dtype.is_integer() for name in NUMERIC)
    for name in CATEGORICAL:
        assert frame[name].drop_nulls().str.contains(r"^[0-9a-f]{8}$").all(), name
    assert frame["I2"].min() < 0
    assert frame["I1"].min() == 0


def test_cardinalities_run_from_a_handful_to_a_long_tail(rows):
    distinct = {name: rows.frame[name].drop_nulls().n_unique() for name in CATEGORICAL}
    assert [distinct[name] for name in ("C9", "C17", "C5", "C14")] == [3, 10, 12, 26]
    assert 1_000 < distinct["C1"] <= 1_400
    assert distinct["C3"] > 40_000
    shares = rows.frame["C3"].drop_nulls().value_counts(sort=True)["count"] / len(rows.labels)
    assert 0.03 < shares[0] < 0.06
    # A text belongs to one column: 8 digits of 26 columns may meet by chance, but whole columns do not.
    assert not set(rows.frame["C2"]) & set(rows.frame["C8"])


def test_values_are_missing_in_blocks_at_criteos_rates(rows):
    missing = rows.frame.select(pl.all().is_null())
    means = missing.mean().row(0, named=True)
    assert means["label"] == means["I2"] == means["C17"] == 0
    for name, rate in (("I1", 0.45), ("I4", 0.2), ("I9", 0.05), ("I12", 0.77), ("C3", 0.036), ("C22", 0.81)):
        assert means[name] == pytest.approx(rate, abs=0.01), name
    assert missing["C20"].equals(missing["I1"], check_names=False)
    assert missing["C24"].equals(missing["C3"], check_names=False)


def test_labels_follow_the_probabilities_in_every_group(rows):
    assert rows.labels.mean() == pytest.approx(synthetic.BASE_RATE, abs=0.01)
    assert np.array_equal(rows.frame["label"].to_numpy(), rows.labels)
    for index, share in enumerate((0.344, 0.302, 0.354)):
        members = rows.groups == index
        assert members.mean() == pytest.approx(share, abs=0.01)
        probabilities = rows.probabilities[members]
        deviation = np.sqrt((probabilities * (1 - probabilities)).sum())
        assert abs(rows.labels[members].sum() - probabilities.sum()) < 4 * deviation


def test_group_of_reads_the_group_from_c17(rows):
    assert np.array_equal(synthetic.group_of(rows.frame["C17"]), rows.groups)
    with pytest.raises(UserError, match="C17 should hold only"):
        synthetic.group_of(pl.Series(["00000000"]))
    with pytest.raises(UserError, match="C17 should hold only"):
        synthetic.group_of(pl.Series([None], dtype=pl.String))


def test_a_chunk_depends_on_seed_and_number_alone():
    first, second, third = synthetic.generate(250, seed=3, chunk_rows=100)
    assert [len(chunk.labels) for chunk in (first, second, third)] == [100, 100, 50]
    assert not first.frame["I5"].equals(second.frame["I5"])
    again = list(synthetic.generate(200, seed=3, chunk_rows=100))
    assert again[1].frame.equals(second.frame)
    assert np.array_equal(again[1].probabilities, second.probabilities)
    other = next(synthetic.generate(100, seed=4))
    assert not other.frame["I5"].equals(first.frame["I5"])


def test_the_click_model_is_the_same_for_every_seed(rows):
    other = _join(synthetic.generate(100_000, seed=6))
    means = []
    for chunk in (rows, other):
        table = pl.DataFrame({"level": chunk.frame["C14"], "p": chunk.probabilities})
        additive = table.filter(pl.Series(chunk.groups == synthetic.GROUPS.index("additive")))
        means.append(additive.group_by("level").agg(pl.col("p").mean()).sort("level"))
    assert means[0]["level"].equals(means[1]["level"])
    assert means[0]["p"].max() - means[0]["p"].min() > 0.1
    assert np.corrcoef(means[0]["p"], means[1]["p"])[0, 1] > 0.95


def test_figures_are_those_of_the_truth(tmp_path):
    out = tmp_path / "train.txt"
    figures = synthetic.write(out, 3_000, seed=2, show=_silent)
    assert json.loads((tmp_path / "train.txt.json").read_text()) == figures
    truth = _join(synthetic.generate(3_000, seed=2))
    selections = {"all": truth.groups >= 0}
    selections |= {name: truth.groups == index for index, name in enumerate(synthetic.GROUPS)}
    for name, selected in selections.items():
        found = figures if name == "all" else figures["groups"][name]
        labels, probabilities = truth.labels[selected], truth.probabilities[selected]
        positives = labels.sum()
        ranks = scipy.stats.rankdata(probabilities)[labels == 1].sum() - positives * (positives + 1) / 2
        assert found["rows"] == len(labels)
        assert found["base_rate"] == pytest.approx(labels.mean())
        assert found["bayes_auc"] == pytest.approx(ranks / positives / (len(labels) - positives))
        loss = -np.log(np.where(labels == 1, probabilities, 1 - probabilities)).mean()
        assert found["bayes_logloss"] == pytest.approx(loss)
    assert "pair: 1.3 * C2 * C8" in figures["logit"]["terms"]


def test_a_figure_that_does_not_exist_is_null(tmp_path):
    figures = synthetic.write(tmp_path / "one.txt", 1, show=_silent)
    assert figures["bayes_auc"] is None
    assert sorted(group["rows"] for group in figures["groups"].values()) == [0, 0, 1]


def test_file_holds_the_rows_as_text_plain_or_gzip(tmp_path):
    synthetic.write(tmp_path / "train.txt", 500, seed=1, show=_silent)
    synthetic.write(tmp_path / "train.txt.gz", 500, seed=1, show=_silent)
    text = (tmp_path / "train.txt").read_bytes()
    assert gzip.decompress((tmp_path / "train.txt.gz").read_bytes()) == text
    expected = next(synthetic.generate(500, seed=1)).frame
    lines = [line.split("\t") for line in text.decode().split("\n")[:-1]]
    assert lines == [["" if value is None else str(value) for value in row] for row in expected.iter_rows()]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["train.txt", "train.txt.gz", "train.txt.gz.json", "train.txt.json"]


def test_rows_that_are_there_are_left_alone_and_others_never_overwritten(tmp_path):
    out = tmp_path / "train.txt"
    figures = synthetic.write(out, 50, seed=1, show=_silent)
    before, lines = out.stat(), []
    assert synthetic.write(out, 50, seed=1, show=lines.append) == figures
    assert lines == [f"{out} is already there"]
    for rows, seed in ((51, 1), (50, 2)):
        with pytest.raises(UserError, match="delete it or choose another --out"):
            synthetic.write(out, rows, seed, show=_silent)
    (tmp_path / "train.txt.json").unlink()
    with pytest.raises(UserError, match="'rows': 'unknown'"):
        synthetic.write(out, 50, seed=1, show=_silent)
    assert out.stat() == before


def test_an_interrupted_run_leaves_no_file(tmp_path, monkeypatch):
    first = next(synthetic.generate(10))

    def interrupted(rows, seed):
        yield first
        assert [path.suffix for path in tmp_path.iterdir()] == [".incomplete"]
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write(tmp_path / "train.txt", 20, show=_silent)
    assert list(tmp_path.iterdir()) == []


def test_wrong_requests_say_what_should_hold(tmp_path):
    with pytest.raises(UserError, match="rows should be at least 1, got 0"):
        synthetic.write(tmp_path / "train.txt", 0, show=_silent)
    with pytest.raises(UserError, match="seed should be at least 0, got -1"):
        next(synthetic.generate(1, seed=-1))
    with pytest.raises(UserError, match="chunk_rows should be at least 1, got 0"):
        next(synthetic.generate(1, chunk_rows=0))
    with pytest.raises(UserError, match="not a directory that can be written"):
        synthetic.write(tmp_path / "missing" / "train.txt", 1, show=_silent)
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path):
    command = [sys.executable, "-m", "data_pipelines.synthetic", f"--out={tmp_path / 'train.txt'}"]
    done = subprocess.run([*command, "--rows=200", "--seed=7"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rows 200, base_rate 0." in done.stdout
    assert len((tmp_path / "train.txt").read_text().splitlines()) == 200
    refused = subprocess.run([*command, "--rows=300"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ") and "Traceback" not in refused.stderr


@pytest.mark.filterwarnings("ignore:newton-cg failed to converge")  # more steps change nothing here
def test_sums_of_effects_fall_short_where_crossed_columns_do_not(rows):
    bins = rows.frame.drop("label").with_columns(
        pl.when(pl.col(name) > 2).then(1000 + pl.col(name).log().pow(2).floor()).otherwise(name).alias(name)
        for name in NUMERIC
    )
    single = [bins[name].rank("dense").fill_null(0).to_numpy() for name in bins.columns]
    crossed = []
    for group, columns, _ in synthetic.TERMS:
        cells = bins.select(pl.struct(columns).rank("dense")).to_series().to_numpy()
        inside = True if group == "every" else rows.groups == synthetic.GROUPS.index(group)
        crossed.append(np.where(inside, cells, 0))
    test = slice(TRAIN_ROWS, None)
    labels, best = rows.labels[test], rows.probabilities[test]
    scores = {"sums": _fit(rows.labels, single, 20, 0.03), "crosses": _fit(rows.labels, crossed, 3, 0.3)}
    way = {
        name: (roc_auc_score(labels, score) - 0.5) / (roc_auc_score(labels, best) - 0.5)
        for name, score in scores.items()
    }
    assert 0.35 < way["sums"] < 0.55
    assert way["crosses"] > 0.88


def _fit(labels: np.ndarray, columns: list[np.ndarray], least: int, strength: float) -> np.ndarray:
    """Scores of the test rows by a logistic regression on the one-hot levels that training has `least` times."""
    parts = []
    for levels in columns:
        seen = np.bincount(levels[:TRAIN_ROWS], minlength=levels.max() + 1) >= least
        position = np.where(seen, np.cumsum(seen), 0)[levels]
        ones = np.ones(len(levels), np.float32)
        parts.append(scipy.sparse.csr_matrix((ones, position, np.arange(len(levels) + 1))))
    features = scipy.sparse.hstack(parts, format="csr")
    model = LogisticRegression(C=strength, solver="newton-cg", max_iter=8)
    model.fit(features[:TRAIN_ROWS], labels[:TRAIN_ROWS])
    return model.decision_function(features[TRAIN_ROWS:])
