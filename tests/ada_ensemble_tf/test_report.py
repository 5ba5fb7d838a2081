"""The report of working directories whose weights were set by hand, and the command line."""

import dataclasses
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from command_line import error_of_forked, run
from made_up_results import made_up_results

from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.reporting.gathering import Gathering, columns_of
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.reporting.run_page import run_page
from ada_ensemble_tf.reporting.vocabulary_coverage import coverage
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.monitoring.tensorboard import TensorBoardWriter
from ada_ensemble_tf.training.run import score_split
from ada_ensemble_tf.training.setup import build_model, seed_everything
from data_pipelines.errors import UserError
from data_pipelines.fields.level_names import level_name
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.json_files import save_json
from data_pipelines.read.dataset import open_data

REPORT = "ada_ensemble_tf.report"
SMALL = {
    "model.dimension": 2,
    "model.num_layers": 2,
    "model.depth_prior": (0.5, 0.5),
    "model.experts": (("dense", "cross", {"name": "dense", "activation": "tanh"}), ("cross", "gated_dense", "dense")),
    "model.expert_prior": (1 / 3, 1 / 3, 1 / 3),
    "model.k": 2,
    "model.anneal_epochs": 0.0,
    "eval_batch_size": 128,
}


def make_workdir(path, data_dir, change=lambda model: None, model_name="ada_ensemble", values=SMALL) -> Workdir:
    """A training's working directory, for a model as initialised and then changed by `change`."""
    data = open_data(data_dir)
    config = make_config("experiments/sample.py", model_name, values)
    seed_everything(0, False)
    model = build_model(config, data)
    change(model)
    workdir = Workdir(path)
    workdir.claim(config.to_dict(), data)
    workdir.save_model_config(model)
    Checkpoint(workdir.path / "checkpoints" / "best", model.variables).save(3)
    test, flops = score_split(Scorer(model), data.evaluation("test", 128), data)
    results = {"test": test, "flops_per_example": flops, "parameters": 1234, "best_step": 3, "config": config.to_dict()}
    results |= {"command": "ada-ensemble train --config=sample:x"}
    save_json(workdir.metrics_file, made_up_results(**results, data_fingerprint=data.fingerprint))
    board = TensorBoardWriter(workdir.path / "tensorboard")
    for step in (3, 6):
        board.validation(step, {"auc": 0.5, "logloss": 0.6})
    board.close()
    return workdir


def choose(gate, weights: list[float]) -> None:
    """Makes a cosine gate prefer choices of larger weight, whatever the row."""
    gate.project.bias.assign(tf.fill(gate.project.bias.shape, 100.0))
    gate.choices.assign(tf.constant(weights)[:, None] + 0.1 * gate.choices)


def sick(model) -> None:
    """Layer 1 never chooses its second dense expert, the depth gate only exit_1; predictions are too high."""
    choose(model.moe_layers[0].gate, [1.0, 1.0, -1.0])
    choose(model.depth_gate, [1.0, -1.0])
    for estimator in model.estimators:
        bias = next(v for v in estimator.weights if v.path.endswith("bias"))
        bias.assign(bias + 1.0)


@pytest.fixture(scope="module")
def sick_evidence(prepared_criteo, tmp_path_factory):
    workdir = make_workdir(tmp_path_factory.mktemp("runs") / "sick", prepared_criteo, sick)
    return Gathering(workdir, None, rows=250, importance_rows=40).evidence()


def test_what_was_broken_on_purpose_is_named_on_the_page(sick_evidence):
    text = run_page(sick_evidence).html()
    found = [line.split('"')[0] for line in text.split('data-kind="')[1:]]
    assert {"dead_expert", "collapsed_gate", "miscalibrated", "unreached_layer"} <= set(found)
    assert "vocabulary_flood" not in found
    assert "Dead expert: dense_2 in layer_1 gets 0.00%" in text and "depth gives exit_1 to 100.0%" in text
    assert "too high" in text


def test_a_flood_of_unknown_values_is_named_on_the_page(sick_evidence):
    ids = sick_evidence.ids.copy()
    offset = next(f.offset for f in open_schema(sick_evidence).fields if f.name == "I1")
    ids[:, sick_evidence.columns["I1"].ids] = offset
    shares = coverage({"train": sick_evidence.ids, "test": ids}, {"I1": sick_evidence.columns["I1"]}, {"I1": offset})
    text = run_page(dataclasses.replace(sick_evidence, coverage=shares)).html()
    assert 'data-kind="vocabulary_flood"' in text and "100.0% of test values of I1 are unknown" in text


def open_schema(evidence):
    """The schema of the working directory that evidence is of."""
    return Workdir(evidence.name).schema()


def test_the_evidence_is_that_of_the_model(sick_evidence, prepared_criteo):
    data, workdir = open_data(prepared_criteo), Workdir(sick_evidence.name)
    model = workdir.load_model()
    (inputs, labels), *_ = data.evaluation("test", 250)
    assert sick_evidence.ids.tolist() == inputs.numpy().tolist()
    assert (
        len(sick_evidence.labels) == data.rows["test"]
        and sick_evidence.labels[:250].tolist() == labels.numpy().tolist()
    )
    np.testing.assert_allclose(sick_evidence.probabilities[:250], model(inputs).numpy(), rtol=1e-5)
    assert list(sick_evidence.gates) == ["layer_1", "layer_2", "depth"]
    np.testing.assert_allclose(sick_evidence.gates["layer_1"], model.gates(inputs)["layer_1"].numpy(), atol=1e-6)
    assert sick_evidence.validation["metrics/auc"].steps.tolist() == [3, 6]
    assert {one.field for one in sick_evidence.importance} == {field.name for field in data.schema.fields}
    assert sick_evidence.value_name("I1", data.schema.fields[0].offset) == "(out of vocabulary)"
    assert [one.label for one in sick_evidence.costs] == ["as routed", "exit_1", "exit_2"]
    # All rows leave at exit 1, so that exit has the same AUC, and the same cost without the depth gate.
    routed, first, second = sick_evidence.costs
    assert first.auc.value == pytest.approx(routed.auc.value, abs=1e-9) and second.flops > 1.5 * first.flops
    assert routed.flops == pytest.approx(first.flops + model.depth_gate.flops(), rel=1e-5)
    assert {(one.label, one.batch) for one in sick_evidence.latencies} == {
        (label, batch) for label in ("as routed", "exit_1", "exit_2") for batch in (1, 512)
    }


def test_the_evidence_names_label_bins_command_and_what_is_not_default(sick_evidence):
    assert sick_evidence.positive == "label = 1" and sick_evidence.command == "ada-ensemble train --config=sample:x"
    assert ("model.dimension", "2", "16") in sick_evidence.changed
    assert "seed" not in [key for key, *_ in sick_evidence.changed]
    schema, field = open_schema(sick_evidence), open_schema(sick_evidence).fields[0]
    levels = Vocabularies.load(sick_evidence.name, schema).levels[field.name]
    named = [sick_evidence.value_name(field.name, field.offset + 1 + i) for i in range(len(levels))]
    assert named == [level_name(field, level) for level in levels] and not any(":" in name for name in named)
    assert sick_evidence.facts["trained"].endswith(" UTC") and "training time" in sick_evidence.facts


def test_a_model_is_compared_with_the_base_rate_and_the_logistic_regression_beside_it(prepared_criteo, tmp_path):
    simple = make_workdir(tmp_path / "lr", prepared_criteo, model_name="logistic_regression", values={})
    values = {"model.dimension": 2, "model.hidden_units": (4,), "eval_batch_size": 128}
    mine = make_workdir(tmp_path / "dnn", prepared_criteo, model_name="dnn", values=values)
    data = open_data(prepared_criteo)
    base, other = Gathering(mine, None, rows=20, importance_rows=1).evidence().baselines
    rate = data.positives["train"] / data.rows["train"]
    assert base.name == "base rate" and np.unique(base.probabilities).tolist() == [rate]
    assert base.where == f"{rate:.5f} for every row, the share of label = 1 in the training split"
    assert (other.name, other.where) == ("logistic_regression", str(simple.path))
    scored = np.concatenate([simple.load_model()(x).numpy() for x, _ in data.evaluation("test", 500)])
    np.testing.assert_allclose(other.probabilities, scored, rtol=1e-5)
    named = Gathering(simple, None, rows=20, importance_rows=1, baseline=str(mine.path)).evidence().baselines
    assert [one.name for one in named] == ["base rate", "dnn"]
    save_json(simple.path / "data.json", {"data_dir": str(data.path), "fingerprint": "other"})
    with pytest.raises(UserError, match="lr: trained on other data than .*dnn; choose another --baseline"):
        Gathering(mine, None, rows=20, importance_rows=1, baseline=str(simple.path))
    with pytest.raises(UserError, match="none: no completely trained model here; --baseline names"):
        Gathering(mine, None, rows=20, importance_rows=1, baseline=str(tmp_path / "none"))


def test_a_model_without_exits_that_reports_on_its_gate(prepared_criteo, tmp_path):
    """D-MoE does not give gates row by row, so its gate use comes from its reports."""
    values = {"model.dimension": 2, "model.hidden_units": (4,), "eval_batch_size": 128}
    workdir = make_workdir(tmp_path / "run", prepared_criteo, model_name="d_moe", values=values)
    evidence = Gathering(workdir, None, rows=200, importance_rows=1).evidence()
    (use,) = evidence.uses
    (inputs, _), *_ = open_data(prepared_criteo).evaluation("test", 200)
    report = workdir.load_model().forward(inputs).reports["gate"]
    assert use.place == "gate" and use.rows == 200
    np.testing.assert_allclose(use.weight, report.probability.numpy(), rtol=1e-4)
    np.testing.assert_allclose(use.load, report.load.numpy(), atol=1e-6)
    text = run_page(evidence).html()
    assert "Which experts rows choose" in text and "Exit depths" not in text and len(evidence.costs) == 1


def test_fields_of_several_values_and_floats_have_their_columns(tmp_path):
    from prepared_rows import write_rows

    data, _ = write_rows(tmp_path, {"train": 40, "validation": 8, "test": 8}, files=1)
    columns = columns_of(data.schema)
    assert {name: (one.ids, one.values) for name, one in columns.items()} == {
        "row": (slice(0, 1), slice(0, 0)),
        "price": (slice(1, 2), slice(0, 1)),
        "genres": (slice(2, 5), slice(0, 0)),
        "age": (slice(5, 6), slice(1, 2)),
    }


def test_the_command_writes_a_page_that_appears_whole(prepared_criteo, tmp_path):
    workdir = make_workdir(tmp_path / "run", prepared_criteo, model_name="logistic_regression", values={})
    out = tmp_path / "pages" / "report.html"
    printed = run(REPORT, f"--workdir={workdir.path}", f"--out={out}", "--rows=100", "--importance_rows=10")
    assert printed.strip() == f"report: {out}" and [file.name for file in out.parent.iterdir()] == ["report.html"]
    assert f"logistic_regression: {workdir.path}" in out.read_text()


def test_a_page_goes_through_links_pipes_and_standard_output(tmp_path, capfd):
    page, read = Page("A page", "of nothing"), []
    (tmp_path / "link").symlink_to("file")
    page.write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == page.html()
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    page.write(tmp_path / "pipe")
    reader.join()
    page.write(Path("/dev/stdout"))
    assert read == [page.html()] == [capfd.readouterr().out] and (tmp_path / "pipe").is_fifo()


def test_wrong_use_is_one_clear_error(prepared_criteo, tmp_path):
    assert "give one of --workdir and --compare" in error_of_forked(REPORT)
    assert "no finished run of a comparison here" in error_of_forked(REPORT, f"--compare={tmp_path}")
    workdir = make_workdir(tmp_path / "run", prepared_criteo, model_name="logistic_regression", values={})
    with pytest.raises(UserError, match="--rows must be at least 1; received 0"):
        Gathering(workdir, None, rows=0, importance_rows=1)
    with pytest.raises(UserError, match="nowhere"):
        Gathering(workdir, "/nowhere", rows=1, importance_rows=1)
    workdir.metrics_file.unlink()
    message = error_of_forked(REPORT, f"--workdir={workdir.path}")
    assert f"{workdir.path}: no completely trained model here; train first" in message
    assert not (workdir.path / "report.html").exists()
