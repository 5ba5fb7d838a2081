"""Curves over depth and K, from runs that are made up."""

import numpy as np
import pytest
from made_up_results import FIGURES, made_up_results

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.runs import PROBABILITIES, Run
from ada_ensemble_tf.comparison.series import find_series, series_figure
from ada_ensemble_tf.evaluation.intervals import auc_interval
from ada_ensemble_tf.trained.run_files import CONFIG_FILE
from data_pipelines.errors import UserError
from data_pipelines.json_files import save_json
from experiments.figures import figure5

LABELS = (np.arange(400) % 3 == 0).astype(np.uint8)
SCORES = (0.2 + 0.3 * LABELS + np.random.default_rng(0).uniform(0, 0.4, 400)).astype(np.float32)


def _run(folder, model, seed, auc=0.8, done=True, **own) -> Run:
    folder.mkdir(parents=True)
    config = {"seed": seed, "batch_size": 512, "eval_batch_size": 100, "model": {"name": model} | own}
    save_json(folder / CONFIG_FILE, config)
    save_json(folder / "data.json", {"data_dir": "data", "fingerprint": "0123"})
    if done:
        save_json(folder / "metrics.json", made_up_results(test=FIGURES | {"auc": auc, "logloss": 1.0 - auc}))
        save_json(folder / "run.json", {"jobs": 1})
        save_array(folder / PROBABILITIES, SCORES)
    return Run(folder.parent.name, config, folder, folder)


@pytest.fixture
def runs(tmp_path):
    """Depths 1 and 2 of an AdaEnsemble with two seeds and 3 with one; K = 1 at depth 2; another model."""
    save_array(tmp_path / "test_labels.npy", LABELS)
    found = []
    for layers, seed, auc in ((2, 0, 0.82), (1, 0, 0.7), (1, 1, 0.72), (2, 1, 0.8), (3, 0, 0.9)):
        prior = [1.0 / layers] * layers
        where = tmp_path / f"depth_{layers}" / f"seed_{seed}"
        found.append(_run(where, "ada_ensemble", seed, auc, num_layers=layers, k=3, depth_prior=prior))
    found.append(_run(tmp_path / "k_1" / "seed_0", "ada_ensemble", 0, num_layers=2, k=1, depth_prior=[0.5, 0.5]))
    found.append(_run(tmp_path / "dnn" / "seed_0", "dnn", 0, hidden_units=[4]))
    found.append(_run(tmp_path / "late" / "seed_0", "ada_ensemble", 0, done=False, num_layers=4, k=3))
    return found


def test_series_are_of_finished_runs_that_differ_in_one_key_and_the_seed(runs):
    depth, kept = find_series(runs)
    assert (depth.key, depth.model, kept.key) == ("model.num_layers", "ada_ensemble", "model.k")
    assert {value: sorted(run.seed for run in ones) for value, ones in depth.runs.items()} == {
        1: [0, 1],
        2: [0, 1],
        3: [0],
    }
    assert list(kept.runs) == [1, 3] and {run.label for run in kept.runs[1]} == {"k_1"}


def test_points_are_means_and_bars_the_deviation_of_seeds_or_the_interval_of_one(runs, tmp_path):
    depth = find_series(runs)[0]
    auc, logloss = series_figure([(depth, tmp_path / "test_labels.npy")]).axes
    points, _, (bars,) = auc.containers[0]
    interval = auc_interval(LABELS, SCORES)
    np.testing.assert_allclose(points.get_xydata(), [[1, 0.71], [2, 0.81], [3, interval.value]], rtol=1e-6)
    half = np.sqrt(0.0002)
    expected = [(0.71 - half, 0.71 + half), (0.81 - half, 0.81 + half), interval[1:]]
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], expected, rtol=1e-6)
    np.testing.assert_allclose(logloss.containers[0][0].get_ydata()[:2], [0.29, 0.19], rtol=1e-6)


def test_figure_5_reads_the_directories_of_comparisons(runs, tmp_path):
    assert len(figure5([str(tmp_path)]).axes) == 4
    for run in runs[:6]:
        (run.folder / "run.json").unlink()
    with pytest.raises(UserError, match="no two finished runs differ in model.num_layers or model.k alone"):
        figure5([str(tmp_path)])
