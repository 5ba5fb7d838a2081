"""The page of made-up evidence, also in a real browser."""

import os
import re
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pytest
from html_reading import Reading
from made_up_evidence import CHOICES, made_up_evidence

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import metric_intervals
from ada_ensemble_tf.reporting.baselines import Baseline
from ada_ensemble_tf.reporting.common_sections import calibration_section, metrics_section, ranking_section
from ada_ensemble_tf.reporting.figures import WIDTH
from ada_ensemble_tf.reporting.gate_use import gate_uses
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.reporting.run_page import run_page

SECTIONS = [
    "Findings", "Metrics", "ROC and precision", "Calibration", "Learning curves", "Which experts rows choose",
    "Exit depths", "Which fields and values route where", "Permutation importance", "Worst slices",
    "Out-of-vocabulary values", "FLOPs, AUC and latency", "The run",
]  # fmt: skip
FIGURES = [
    "ranking", "reliability", "learning-curves", "alluvial", "gate-use", "exit-depths", "field-routing", "importance",
    "costs",
]  # fmt: skip
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def text() -> str:
    return run_page(made_up_evidence()).html()


def test_sections_and_figures_are_there(text):
    reading = Reading(text)
    assert reading.texts["h2"] == SECTIONS
    assert re.findall(r'<figure id="figure-([\w-]+)">', text) == FIGURES
    assert len(reading.ids) == len(set(reading.ids))
    outside = {address.removeprefix("#") for address in reading.addresses} - set(reading.ids)
    # Heat maps are images embedded in the page.
    assert outside and all(address.startswith("data:image/png;base64,") for address in outside)


def test_figures_and_tables_tell_the_numbers(text):
    evidence, reading = made_up_evidence(), Reading(text)
    cells = reading.texts["td"]
    assert f"{evidence.results['test']['auc']:.5f}" in cells and "1,234" in cells and "1.50 (2.50)" in cells
    assert "made up <by hand>" in cells and "city no. 3" in cells
    share = f"exit_1 {np.mean(evidence.gates['depth'][:, 0]):.0%}"
    assert share in [one.strip() for one in reading.texts["text"]]
    assert "No dead expert" in text and "measured while this page was written, on an abacus" in text


def test_the_label_is_named_as_the_user_does_and_nothing_is_a_click(text):
    reading, evidence = Reading(text), made_up_evidence()
    positives = int(evidence.labels.sum())
    subtitle = f"4,000 test rows, of which {positives:,} have liked = yes: {positives / 40:.2f} %."
    assert reading.texts["p"][0] == f"{subtitle} Trained 2026-01-02 03:04 UTC"
    assert "liked = yes" in reading.texts["th"] and "share of liked = yes" in reading.texts["th"]
    assert "click" not in text.lower()


def test_the_run_is_there_to_be_repeated(text):
    reading = Reading(text)
    assert reading.texts["pre"] == ["ada-ensemble train --config=mine.py:dnn", "model.k = 2\nseed = 7"]
    cells = reading.texts["td"]
    assert cells[cells.index("training time") + 1] == "5 s"
    place = cells.index("seed")
    assert cells[place : place + 3] == ["seed", "7", "0"]


def test_baselines_stand_beside_the_metrics():
    evidence = made_up_evidence()
    rate = float(evidence.labels.mean())
    base = Baseline("base rate", np.full(len(evidence.labels), rate), "0.45 for every row")
    noisy = np.clip(
        evidence.probabilities + np.random.default_rng(1).normal(0.0, 0.2, len(evidence.labels)), 0.01, 0.99
    )
    simple = Baseline("logistic_regression", noisy, "runs/beside")
    evidence = made_up_evidence(with_gates=False, baselines=[base, simple])
    page = Page("t", "s")
    metrics_section(page, evidence, metric_intervals(evidence.labels, evidence.probabilities))
    ranking_section(page, evidence)
    text = page.html()
    reading = Reading(text)
    heads, cells = reading.texts["th"], reading.texts["td"]
    assert ["this model", "from", "to", "base rate", "logistic_regression"] == heads[:5]
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    for name, values in {
        "AUC": (0.5, metrics.auc(evidence.labels, noisy)),
        "LogLoss": (entropy, metrics.logloss(evidence.labels, noisy)),
        "NE": (1.0, metrics.logloss(evidence.labels, noisy) / entropy),
    }.items():
        place = cells.index(name)
        assert cells[place + 4 : place + 6] == [f"{value:.5f}" for value in values]
    assert "The base rate predicts 0.45 for every row" in text and "logistic_regression is runs/beside" in text
    assert any(one.startswith("logistic_regression: AUC 0.") for one in map(str.strip, reading.texts["text"]))


@pytest.mark.parametrize(
    ("factor", "words"), [(1.0, "the interval holds 1"), (1.2, "too high by"), (0.8, "too low by")]
)
def test_the_sentence_on_calibration_is_that_of_the_table(factor, words):
    evidence = made_up_evidence(with_gates=False)
    scores = np.minimum(evidence.probabilities * factor, 0.99)
    intervals = metric_intervals(evidence.labels, scores)
    page, changed = Page("t", "s"), made_up_evidence(with_gates=False, probabilities=scores)
    metrics_section(page, changed, intervals)
    calibration_section(page, changed, intervals["calibration"])
    reading = Reading(page.html())
    cells = reading.texts["td"]
    value, low, high = cells[cells.index("calibration") + 1 :][:3]
    (sentence,) = (one for one in reading.texts["p"] if one.startswith("Mean prediction over the share of liked = yes"))
    assert f"is {value}, 95 % interval {low} to {high}: " in sentence and words in sentence
    assert (float(low) <= 1.0 <= float(high)) == ("holds 1" in sentence)


def test_figures_take_the_width_of_the_page(text):
    widths = [float(one) for one in re.findall(r'<svg role="img".*?width="([\d.]+)pt"', text)]
    assert widths == pytest.approx([WIDTH * 72] * len(FIGURES))


def test_a_model_without_gates_has_the_sections_that_apply():
    reading = Reading(run_page(made_up_evidence(with_gates=False, training={}, validation={})).html())
    left_out = {"Learning curves", "Which experts rows choose", "Exit depths", "Which fields and values route where"}
    assert reading.texts["h2"] == [section for section in SECTIONS if section not in left_out]


def test_problems_stand_at_the_top():
    evidence = made_up_evidence()
    gates = evidence.gates | {"layer_1": np.tile([0.0, 1.0, 0.0], (len(evidence.ids), 1))}
    text = run_page(made_up_evidence(gates=gates, uses=gate_uses(gates, CHOICES))).html()
    assert '<li class="problem" data-kind="collapsed_gate">' in text.split('<h2 id="metrics">')[0]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: apt-get install chromium)")
def test_chromium_shows_the_charts_without_network(text, tmp_path):
    (tmp_path / "report.html").write_text(text)
    # As if there were no network: no name resolves.
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={tmp_path}/user", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1100,5200", "--enable-logging=stderr",
    ]  # fmt: skip
    address = f"file://{tmp_path}/report.html"
    environment = os.environ | {"HOME": str(tmp_path)}
    shot = [*command, f"--screenshot={tmp_path}/page.png", address]
    done = subprocess.run(shot, capture_output=True, text=True, timeout=120, env=environment, check=True)
    # A console message would mean that the page's own policy refused something, or that something is broken.
    assert "CONSOLE" not in done.stderr
    dump = subprocess.run(
        [*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, env=environment, check=True
    ).stdout
    for name in FIGURES:
        (svg,) = re.findall(rf'<figure id="figure-{name}"><svg.*?</svg>', dump, re.DOTALL)
        assert "<path" in svg and "<text" in svg, name
    pixels = (matplotlib.image.imread(tmp_path / "page.png")[..., :3] * 255).round().astype(int)
    # The colours of experts, exits and bars were painted, not just text on white.
    for paint in ("#0072b2", "#e69f00", "#009e73", "#8a8f98", "#d55e00"):
        wanted = [int(paint[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == wanted).all(axis=-1).sum() > 200, paint
