"""Experts, gates and models of a user's own module: found by name, remembered by files, never imported unasked."""

import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf import plugins
from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.experts import EXPERTS
from ada_ensemble_tf.gates import GATES
from ada_ensemble_tf.models import MODELS, AdaEnsemble
from ada_ensemble_tf.moe import SparseMoE
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.trained.config_ranges import check_config
from ada_ensemble_tf.trained.workdir import Workdir
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema

SOURCE = """
    import keras
    import tensorflow as tf

    from ada_ensemble_tf.experts import EXPERTS, Expert
    from ada_ensemble_tf.gates import GATES, NoisyTopKGate
    from ada_ensemble_tf.models import MODELS, CTRModel, Forward


    @keras.saving.register_keras_serializable(package="own")
    class Halving(Expert):
        def call(self, x0, x):
            return x / 2.0

        def flops(self):
            return self.width


    @keras.saving.register_keras_serializable(package="own")
    class OwnGate(NoisyTopKGate):
        pass


    @keras.saving.register_keras_serializable(package="own")
    class Linear(CTRModel):
        registered_name = "own_linear"

        def __init__(self, *, scale: float = 0.5, **common):
            super().__init__(**common)
            self.table, self.scale = self.make_embedding(1, "table"), scale
            self.built = True

        def forward(self, inputs, training=False):
            logit = self.scale * tf.reduce_sum(self.table(inputs), axis=1)
            return Forward(logit=logit, flops=self.table.rows_read(inputs), tensors={"logit": logit})


    EXPERTS["halving"], GATES["own_gate"], MODELS["own_linear"] = Halving, OwnGate, Linear
"""
SIZES = {"num_rows": 7, "num_fields": 2}
MIXTURE = SIZES | {"experts": ("halving", "cross"), "k": 1, "num_layers": 1, "dimension": 2}
ROWS = tf.constant([[0, 3], [2, 6]])


@pytest.fixture
def own_parts(tmp_path, monkeypatch):
    """The name of a module that can be imported; afterwards it is as if it had never been."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    (tmp_path / "own_parts.py").write_text(textwrap.dedent(SOURCE))
    yield "own_parts"
    forget()


def forget() -> None:
    """What a process without the plugin knows."""
    sys.modules.pop("own_parts", None)
    for entries in (EXPERTS, GATES, MODELS):
        for name in ("halving", "own_gate", "own_linear"):
            entries.pop(name, None)
    for name in ("Halving", "OwnGate", "Linear"):
        keras.saving.get_custom_objects().pop(f"own>{name}", None)


def small_mixture() -> AdaEnsemble:
    return AdaEnsemble(**MIXTURE, gate={"name": "own_gate", "reduction": 2})


def test_a_plugins_parts_are_found_by_name_and_a_keras_file_remembers_it(own_parts, tmp_path):
    check_config(config_for("ada_ensemble").to_dict() | {"plugins": (own_parts,)})
    plugins.load_plugins([own_parts])
    model = small_mixture()
    assert model.get_config()["plugins"] == ["own_parts"]
    assert "scale" in config_for("own_linear").model
    assert MODELS["own_linear"](**SIZES).get_config()["plugins"] == ["own_parts"]
    expected = model(ROWS).numpy()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(ROWS), expected)
    forget()
    with pytest.raises(Exception, match=f"needs the plugin own_parts, .*set {plugins.VARIABLE}=own_parts"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_a_class_and_an_instance_need_no_name(own_parts, tmp_path):
    plugins.load_plugins([own_parts])
    halving = EXPERTS.pop("halving")
    model = AdaEnsemble(**MIXTURE | {"experts": (halving, halving(num_fields=2, name="second"), "cross")})
    assert model.get_config()["plugins"] == ["own_parts"]
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(ROWS), model(ROWS))
    layer = SparseMoE([halving, "cross"], num_fields=2)
    assert layer(tf.ones([3, 4]), tf.ones([3, 4]), k=1)[0].shape == (3, 4)


def test_only_the_models_parts_count():
    assert "plugins" not in AdaEnsemble(**MIXTURE | {"experts": ("dense", "cross")}).get_config()


def test_a_working_directory_needs_consent_and_then_loads(own_parts, tmp_path, monkeypatch):
    plugins.load_plugins([own_parts])
    model, workdir = small_mixture(), Workdir(tmp_path / "run")
    workdir.path.mkdir()
    fields = (Field("a", "text", 3, 0), Field("b", "text", 4, 3))
    Schema(RawFormat("tiny", "label"), fields).save(workdir.path / "schema.json")
    workdir.save_model_config(model)
    Checkpoint(workdir.path / "checkpoints" / "best", model.variables).save(1)
    expected = model(ROWS).numpy()
    forget()
    with pytest.raises(UserError, match="model.json: its model needs the plugin own_parts, which is not imported"):
        workdir.load_model()
    assert own_parts not in sys.modules
    monkeypatch.setenv(plugins.VARIABLE, f"other, {own_parts}")
    np.testing.assert_array_equal(workdir.load_model()(ROWS), expected)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "config.plugins: plugin 'own_parts' is missing .*; install it, or add its folder to PYTHONPATH"),
        ("1 / 0", "config.plugins: plugin 'own_parts' fails: ZeroDivisionError: division by zero"),
        (
            "from ada_ensemble_tf.experts import EXPERTS, CrossExpert\nEXPERTS['dense'] = CrossExpert",
            "plugin 'own_parts' takes the name 'dense', which ada_ensemble_tf.experts.dense has; give its class",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_line(own_parts, tmp_path, source, message):
    file, before = tmp_path / "own_parts.py", dict(EXPERTS)
    file.unlink() if source is None else file.write_text(source)
    with pytest.raises(UserError, match=message) as caught:
        plugins.load_plugins([own_parts])
    assert "\n" not in str(caught.value) and EXPERTS == before


@pytest.mark.parametrize("value", ["my_package.experts", (3,), ("",)])
def test_names_that_are_no_names_are_one_line(value):
    with pytest.raises(UserError, match="config.plugins should be a tuple of modules' names, such as"):
        check_config({"plugins": value})
