import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.serving.signatures import export
from data_pipelines.criteo import FORMAT
from data_pipelines.errors import DataError
from data_pipelines.raw import read_raw
from data_pipelines.schema import Schema
from data_pipelines.vocabulary import Vocabularies


@pytest.fixture(scope="module")
def schema(prepared_criteo) -> Schema:
    return Schema.load(prepared_criteo / "schema.json")


@pytest.fixture
def model(schema) -> AdaEnsemble:
    model = AdaEnsemble(
        schema.num_rows, schema.num_fields, dimension=2, num_layers=2, experts=("cross", "dense", "polynomial"), k=1,
        anneal_steps=100, gate_reduction=2,
    )  # fmt: skip
    model.embedding.table.assign(tf.random.stateless_normal(model.embedding.table.shape, [1, 2]))
    return model


def test_k_and_depth_are_exported_at_their_final_values(model, schema, prepared_criteo, criteo_raw_file, tmp_path):
    model.step.assign(10)  # K is 3 here, and 1 in the end.
    frame = next(iter(read_raw(FORMAT, [criteo_raw_file]))).frame.head(50)
    ids = Vocabularies.load(prepared_criteo, schema).encode(frame)
    while_annealing = model(ids).numpy()
    folder = export(model, schema, prepared_criteo, tmp_path)
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    ctr = served(**{field.name: tf.constant(frame[field.name].to_list()) for field in schema.fields})["ctr"]
    assert int(model.forward(ids).reports["layer_1"].k) == 1
    np.testing.assert_allclose(ctr, model(ids), atol=1e-6)
    assert np.abs(while_annealing - ctr).max() > 1e-3


def test_versions_count_up_past_folders_that_are_none(model, schema, prepared_criteo, tmp_path):
    for name in ("7", "8.incomplete", "notes"):
        (tmp_path / name).mkdir()
    assert export(model, schema, prepared_criteo, tmp_path).name == "8"
    assert not (tmp_path / "8.incomplete").exists()


def test_a_full_disk_leaves_nothing(model, schema, prepared_criteo, tmp_path, monkeypatch):
    def save(module, path, **_):
        raise tf.errors.UnknownError(None, None, f"{path}; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(DataError, match="the disk is full; free some space or choose another --export_dir"):
        export(model, schema, prepared_criteo, tmp_path)
    assert list(tmp_path.iterdir()) == []
