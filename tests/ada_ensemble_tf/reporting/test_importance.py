import numpy as np
import pytest

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.reporting.importance import Columns, importance_figure, permutation_importance

COLUMNS = {"a": Columns(slice(0, 1), slice(0, 0)), "b": Columns(slice(1, 3), slice(0, 1))}


def score(ids, values):
    """Reads the first column and nothing else."""
    return ids[:, 0] / 10.0


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(2)
    ids = np.stack([rng.integers(1, 10, 400), rng.integers(0, 5, 400), rng.integers(0, 5, 400)], axis=1)
    return (rng.random(400) < ids[:, 0] / 10.0).astype(np.float64), ids, ids[:, 1:2] * 0.5


def test_a_field_that_the_model_does_not_read_is_worth_nothing(rows):
    by_name = {one.field: one for one in permutation_importance(score, *rows, COLUMNS)}
    assert by_name["b"].auc_loss.tolist() == [0.0] * 3 and by_name["b"].logloss_rise.tolist() == [0.0] * 3


def test_the_only_field_is_worth_all_there_is(rows):
    labels, ids, _ = rows
    found = permutation_importance(score, *rows, COLUMNS)
    assert [one.field for one in found] == ["a", "b"]
    # What is left is chance: AUC 0.5, up to the noise of 400 rows.
    assert found[0].auc_loss.mean() == pytest.approx(metrics.auc(labels, ids[:, 0]) - 0.5, abs=0.04)
    order = np.random.default_rng([11, 0]).permutation(400)
    (first,) = permutation_importance(score, *rows, {"a": COLUMNS["a"]}, repeats=1, seed=11)
    p = ids[:, 0] / 10.0
    assert first.logloss_rise[0] == pytest.approx(metrics.logloss(labels, p[order]) - metrics.logloss(labels, p))
    assert first.auc_loss[0] == pytest.approx(metrics.auc(labels, p) - metrics.auc(labels, p[order]))


def test_a_fields_columns_and_floats_move_together_and_nothing_else_moves(rows):
    _, ids, _ = rows
    seen = []

    def see(one, floats):
        seen.append((one, floats))
        return np.full(len(one), 0.5)

    permutation_importance(see, *rows, {"b": COLUMNS["b"]}, repeats=1)
    (_, _), (moved, floats) = seen
    assert (moved[:, 0] == ids[:, 0]).all() and (moved[:, 1:] != ids[:, 1:]).any()
    assert (floats[:, 0] == moved[:, 1] * 0.5).all()
    pairs = {tuple(row) for row in ids[:, 1:]}
    assert {tuple(row) for row in moved[:, 1:]} <= pairs and sorted(moved[:, 1]) == sorted(ids[:, 1])


def test_progress_is_told_and_the_figure_shows_the_means(rows, monkeypatch):
    monkeypatch.setattr("data_pipelines.progress._SECONDS_BETWEEN_LINES", 0.0)
    lines = []
    found = permutation_importance(score, *rows, COLUMNS, show=lines.append)
    assert len(lines) == 2 and "permutation importance:  50%" in lines[0] and "100%" in lines[1]
    aucs, loglosses = importance_figure(found).axes
    assert [bar.get_width() for bar in aucs.patches] == pytest.approx([one.auc_loss.mean() for one in found])
    assert [bar.get_width() for bar in loglosses.patches] == pytest.approx([one.logloss_rise.mean() for one in found])
