"""The page of a comparison whose runs are made up."""

import subprocess
import sys

import numpy as np
import pytest
from html_reading import Reading
from made_up_results import made_up_results

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.page import comparison_page, table_of
from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.trained.run_files import CONFIG_FILE
from data_pipelines.errors import UserError
from data_pipelines.json_files import save_json


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two seeds of "good", "twin" and "bad" (which is also mis-calibrated), and an unfinished run."""
    out = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(7)
    p = rng.beta(2, 5, 3000)
    labels = (rng.random(3000) < p).astype(np.uint8)
    save_array(out / "test_labels.npy", labels)
    for label, noise, factor in (("good", 0.02, 1.0), ("twin", 0.02, 1.0), ("bad", 1.5, 0.5), ("late", 0.0, 1.0)):
        for seed in range(2):
            folder = out / label / f"seed_{seed}"
            folder.mkdir(parents=True)
            config = {"seed": seed, "model": {"name": "dnn", "label": label}, "eval_batch_size": 100}
            save_json(folder / CONFIG_FILE, config)
            save_json(folder / "data.json", {"data_dir": "data", "fingerprint": "0123"})
            if label == "late":
                continue
            logit = np.log(p / (1 - p)) + rng.normal(0, noise, 3000)
            scores = (factor / (1.0 + np.exp(-logit))).astype(np.float32)
            save_array(folder / "test_probabilities.npy", scores)
            result = {"test": metrics.all_metrics(labels, scores), "parameters": 1000, "examples_per_second": 5.0}
            result |= {"flops_per_example": 2e4 + len(label), "best_step": 7, "versions": {"python": "3"}}
            save_json(folder / "metrics.json", made_up_results(**result))
            save_json(folder / "run.json", {"jobs": 1})
    return out


def test_the_page_tells_what_table_md_tells(out):
    table = table_of(out)
    text = comparison_page(table).html()
    reading = Reading(text)
    assert reading.texts["h2"] == ["Findings", "Table", "AUC", "Critical differences", "FLOPs against AUC"]
    for row in table.rows():
        if "auc_mean" in row:
            assert f"{row['auc_mean']:.5f} ± {row['auc_std']:.5f}" in reading.texts["td"]
    assert "data: fingerprint 0123" in text and len(reading.ids) == len(set(reading.ids))
    assert {address.removeprefix("#") for address in reading.addresses} <= set(reading.ids)


def test_leaders_calibration_and_missing_runs_are_findings(out):
    good, undone, off = Reading(comparison_page(table_of(out)).html()).texts["li"]
    names = sorted(["good", "twin"])
    assert any(f"{a} has the highest AUC. Not distinguishable" in good and good.endswith(f"{b}.") for a, b in
               (names, names[::-1]))  # fmt: skip
    assert undone == ": Not done: late, seed 0; late, seed 1." and "bad (0." in off and "good" not in off


def test_a_directory_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run of a comparison here"):
        table_of(tmp_path)


def test_one_model_alone_has_no_differences(out, tmp_path):
    (tmp_path / "good").symlink_to(out / "good")
    save_array(tmp_path / "test_labels.npy", np.load(out / "test_labels.npy"))
    reading = Reading(comparison_page(table_of(tmp_path)).html())
    assert reading.texts["h2"] == ["Findings", "Table", "AUC", "FLOPs against AUC"]


def test_tensorflow_is_not_imported():
    code = (
        "import sys, ada_ensemble_tf.report, ada_ensemble_tf.comparison.comparing, ada_ensemble_tf.reporting.run_page"
    )
    done = subprocess.run([sys.executable, "-c", code + "; print('tensorflow' in sys.modules)"], capture_output=True)
    assert done.stdout.decode().strip() == "False", done.stderr.decode()[-2000:]
