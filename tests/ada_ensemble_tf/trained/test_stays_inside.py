"""Nothing that a stranger's working directory says or links to is read or written outside of it."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ada_ensemble_tf.inference.raw_scores import score_raw
from ada_ensemble_tf.models import LogisticRegression, model_inputs
from ada_ensemble_tf.serving.publish import export
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.run import train
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.read.dataset import open_data
from experiments import sample

OUTWARD = "../../secret/x"


@pytest.fixture
def secret(tmp_path) -> Path:
    """The file that the name of a field leads to from `vocabulary/` of `tmp_path / "run"`."""
    file = tmp_path / "secret" / "x.txt"
    file.parent.mkdir()
    file.write_text("stolen\n")
    return file


@pytest.fixture
def stranger(tmp_path, secret) -> Path:
    """A working directory with a field that is called `OUTWARD`; its level has the logit 2, all else 0."""
    path = tmp_path / "run"
    levels = {OUTWARD: pl.Series(["own"]), "plain": pl.Series(["a"])}
    inputs = [Input(OUTWARD, "c", "text"), Input("plain", "plain", "text")]
    vocabularies = Vocabularies.from_levels(RawFormat("tabular", "label", has_header=True), inputs, levels, {}, {})
    vocabularies.save(path)
    vocabularies.schema.save(path / "schema.json")
    model = LogisticRegression(**model_inputs(vocabularies.schema))
    model.level_weights.table.assign(np.array([[0.0], [2.0], [0.0], [0.0]]))
    Workdir(path).save_model_config(model)
    Checkpoint(path / "checkpoints" / "best", model.variables).save(1)
    return path


def test_a_field_that_is_called_like_a_path_outside_is_read_and_written_inside(stranger, secret, tmp_path):
    workdir = Workdir(stranger)
    model, schema = workdir.load_model(), workdir.schema()
    (tmp_path / "raw.csv").write_text("c\tplain\nown\ta\nstolen\ta\n")
    assert score_raw(model, schema, stranger, [tmp_path / "raw.csv"], tmp_path / "ctr.csv", 8) == 2
    scores = np.loadtxt(tmp_path / "ctr.csv", skiprows=1)
    np.testing.assert_allclose(scores, [1.0 / (1.0 + np.exp(-2.0)), 0.5], rtol=1e-6)
    exported = export(model, schema, stranger, stranger / "export")
    inside = [path for path in exported.rglob("*") if path.is_file()]
    assert inside and not any(b"stolen" in path.read_bytes() for path in inside)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ctr.csv", "raw.csv", "run", "secret"]
    assert os.listdir(secret.parent) == ["x.txt"] and secret.read_text() == "stolen\n"
    name = schema.vocabulary_files[OUTWARD]
    Checksums(stranger).remove(name)
    for use in (
        lambda: score_raw(model, schema, stranger, [tmp_path / "raw.csv"], tmp_path / "again.csv", 8),
        lambda: export(model, schema, stranger, stranger / "export"),
    ):
        with pytest.raises(UserError, match=f"^{stranger / name}: not listed in SHA256SUMS; "):
            use()
    assert not (tmp_path / "again.csv").exists()


def test_a_linked_vocabulary_is_not_read(stranger, secret, tmp_path):
    (stranger / "vocabulary").rename(tmp_path / "elsewhere")
    (stranger / "vocabulary").symlink_to(tmp_path / "elsewhere")
    workdir = Workdir(stranger)
    model, schema = workdir.load_model(), workdir.schema()
    (tmp_path / "raw.csv").write_text("c\tplain\nown\ta\n")
    for use in (
        lambda: score_raw(model, schema, stranger, [tmp_path / "raw.csv"], tmp_path / "ctr.csv", 8),
        lambda: export(model, schema, stranger, stranger / "export"),
    ):
        with pytest.raises(UserError, match=f"^{stranger / 'vocabulary'}: is a symbolic link, which is not followed; "):
            use()
    assert not (tmp_path / "ctr.csv").exists() and not list(stranger.glob("export/*/*"))


@pytest.mark.parametrize("name", ["vocabulary", "checkpoints", "checkpoints/last", "checkpoints/best", "tensorboard"])
def test_training_writes_to_no_link(prepared_criteo, tmp_path, name):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).symlink_to(elsewhere)
    config, data = sample.get_config("logistic_regression"), open_data(prepared_criteo)
    with pytest.raises(UserError, match=f"^{run / name}: is a symbolic link, which is not followed; "):
        train(config, data, run)
    assert not any(elsewhere.iterdir()) and (run / name).is_symlink()
