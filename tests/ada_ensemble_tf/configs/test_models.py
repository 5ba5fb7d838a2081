import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import flags
from ml_collections import config_flags
from published_layers import PUBLISHED_LAYERS

import ada_ensemble_tf
import experiments
from ada_ensemble_tf.arguments import constructor_parameters
from ada_ensemble_tf.configs import defaults, models
from ada_ensemble_tf.gates import GATES, Gate
from ada_ensemble_tf.models import MODELS
from ada_ensemble_tf.models.keys import keys_of
from ada_ensemble_tf.training.setup import build_model
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema
from experiments import studies

SMALL = ("--config.model.dimension=2", "--config.precision=float32")


def parsed(config: str, *arguments: str):
    """The config as the command line of `train` makes it."""
    values = flags.FlagValues()
    argv = ["train", f"--config={Path(experiments.__file__).parent / config}", *arguments]
    holder = config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values, sys_argv=argv)
    values(argv)
    return holder.value


DATA = SimpleNamespace(
    schema=Schema(RawFormat("madeup", "label"), (Field("a", "text", 3, 0), Field("b", "text", 4, 3))),
    rows={"train": 81920},
    positives={"train": 20480},
    negative_rate=1.0,
)
"""Two fields; a quarter of the rows are positive."""


def built(config: str, *arguments: str):
    """The model that the command line trains on DATA."""
    return build_model(parsed(config, *SMALL, *arguments), DATA)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_key_has_a_sentence_and_a_line_in_the_table(name):
    keys = keys_of(MODELS[name])
    assert all(key.sentence.endswith((".", "one.")) for key in keys.values()), keys
    lines = models.key_lines(name)
    assert [line.split("=")[0] for line in lines] == list(keys)
    config = models.model_config(name).to_dict()
    flat = {f"gate.{key}": value for key, value in config.pop("gate", {}).items()} | config
    assert flat.pop("name") == name and {key: declared.default for key, declared in keys.items()} == flat


def test_a_sentence_of_several_keys_and_one_in_epochs():
    keys = keys_of(MODELS["hilomoe"])
    assert keys["dropout"].sentence == keys["activation"].sentence == "for the dense layers; see `MLP`."
    assert keys["stage_epochs"].sentence.startswith("epochs of stages 1 and 2") and "stage_steps" not in keys
    assert keys["l2"].sentence == "the coefficient of the sum of squares of all dense kernels."
    assert keys["l2"].default == 1e-4


def test_the_gates_keys_hold_for_any_gate():
    # None leaves an option to the gate's default, where the gate has one of that name.
    options = models.model_config("ada_ensemble").gate.items()
    shared = {name: value for name, value in options if name != "name" and value is not None}
    for gate in GATES.values():
        parameters = constructor_parameters(gate, Gate)
        assert {name: parameters[name].default for name in shared} == shared


@pytest.mark.parametrize("config", ["criteo.py:ada_ensemble", "synthetic.py:ada_ensemble", "frappe.py:dense_moe"])
def test_any_key_can_be_set_alone(config):
    two = built(config, "--config.model.num_layers=2")
    assert two.num_layers == 2 and two.auxiliary_losses.depth_prior == (0.5, 0.5)
    uniform = built(config, "--config.model.depth_prior=None", "--config.model.expert_prior=None")
    assert set(uniform.auxiliary_losses.depth_prior) == {1 / uniform.num_layers}
    assert set(uniform.auxiliary_losses.expert_prior) == {1 / len(uniform.moe_layers[0].experts)}
    pair = built(config, "--config.model.experts=('dense', 'cross')")
    assert pair.moe_layers[-1].expert_names == ("dense", "cross") and pair.auxiliary_losses.expert_prior == (0.5, 0.5)
    assert pair.k_schedule.final == 2
    assert built(config, "--config.model.l2=0", "--config.model.dropout=0").l2 == 0.0


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("depth_objective=none", lambda model: model.depth_gate is None and model.deep_supervision == 0.0),
        ("depth_objective=straight_through", lambda model: model.deep_supervision == 0.0),
        ("deep_supervision=None", lambda model: model.deep_supervision == 0.1),
        ("deep_supervision=0", lambda model: model.deep_supervision == 0.0),
        ("deep_supervision=0.5", lambda model: model.deep_supervision == 0.5),
        ("experts=('cross',)", lambda model: model.k_schedule.final == 1),
        ("k=3", lambda model: model.k_schedule.final == 3),
        ("num_layers=1", lambda model: len(model.estimators) == 1),
        ("head_units=()", lambda model: [e.hidden_units for e in model.estimators] == [()] * 3),
        ("shared_expert=None", lambda model: model.moe_layers[0].shared is None),
        ("shared_expert={'name': 'cross', 'diag_scale': 0.5}", lambda model: model.moe_layers[0].shared.diag_scale),
        ("dispatcher=vector_fusion", lambda model: model.moe_layers[0].gate is None),
        ("expert_embeddings=own", lambda model: len(model.expert_embeddings) == 4),
        ("exits=summed", lambda model: model.summed_exits),
        ("normalization=pre", lambda model: model.get_config()["normalization"] == "pre"),
        ("load_anneal_epochs=0", lambda model: model.load_factor is None),
    ],
)
def test_each_key_of_the_default_layers_can_be_set_alone(key, found):
    assert found(built("synthetic.py:ada_ensemble", f"--config.model.{key}"))


def test_the_command_line_gives_experts_options_and_lists_of_layers():
    one = built("criteo.py:ada_ensemble", "--config.model.experts=('dense', {'name': 'cin', 'feature_maps': (3,)})")
    assert [layer.experts[1].network.feature_maps for layer in one.moe_layers] == [(3,)] * 4
    assert one.k_schedule.final == 2 and one.auxiliary_losses.expert_prior == (0.5, 0.5)
    assert one.get_config()["experts"] == ["dense", {"name": "cin", "feature_maps": [3]}]
    lists = "--config.model.experts=(('cross', 'cross'), ('dense',))"
    several = built("criteo.py:ada_ensemble", lists, "--config.model.num_layers=2")
    assert several.choice_names()["layer_1"] == ["cross", "cross_2"] and several.k_schedule.final == 1
    dense = built("frappe.py:dense_moe", lists, "--config.model.num_layers=2")
    assert dense.k_schedule.final == 2
    single = built("criteo.py:single_expert", "--config.model.expert={'name': 'cross', 'diag_scale': 0.5}")
    assert {expert.diag_scale for expert in single.experts} == {0.5}
    assert built("criteo.py:single_expert", "--config.model.expert=dense").experts[0].name == "dense_1"


def test_the_papers_priors_stand_in_the_papers_configs():
    losses = built("criteo.py:ada_ensemble").auxiliary_losses
    assert losses.depth_prior == (0.1, 0.2, 0.6, 0.1) and losses.expert_prior == (0.2, 0.2, 0.4, 0.1, 0.1)
    given = built("criteo.py:ada_ensemble", "--config.model.num_layers=2", "--config.model.depth_prior=(0.3, 0.7)")
    assert given.auxiliary_losses.depth_prior == (0.3, 0.7)
    assert defaults.config_for("ada_ensemble").model.depth_prior is None


@pytest.mark.parametrize(
    "model, key, message",
    [
        ("ada_ensemble", "k=7", "config.model.k must lie between 1 and the 5 experts; received 7"),
        ("ada_ensemble", "k=0", "config.model.k must be a whole number of at least 1; received 0"),
        ("ada_ensemble", "num_layers=0", "config.model.num_layers must be a whole number of at least 1; received 0"),
        ("ada_ensemble", "dimension=0", "config.model.dimension must be a whole number of at least 1; received 0"),
        (
            "ada_ensemble",
            "depth_prior=(0.5, 0.5)",
            "config.model.depth_prior must hold 4 positive shares that sum to 1",
        ),
        ("ada_ensemble", "depth_prior=3", "config.model.depth_prior must be finite numbers above 0, or be None"),
        ("ada_ensemble", "z_weight=nan", "config.model.z_weight must be a finite number of at least 0; received nan"),
        ("ada_ensemble", "gate.reduction=0", "config.model.gate.reduction must be a whole number of at least 1"),
        ("ada_ensemble", "anneal_epochs=inf", "config.model.anneal_epochs must be a finite number of at least 0"),
        (
            "hilomoe",
            "stage_epochs=(1, -1)",
            "config.model.stage_epochs must be a finite number of at least 0; received -1",
        ),
        ("dnn", "l2=-0.1", "config.model.l2 must be a finite number of at least 0; received -0.1"),
        ("dnn", "dropout=1.5", r"config.model.dropout must lie in [0, 1); received 1.5"),
        ("dnn", "hidden_units=()", "config.model.hidden_units must be one or more whole numbers of at least 1"),
        ("dnn", "normalization=bach", "config.model.normalization must be 'batch', 'layer' or 'none'; received 'bach'"),
        ("xdeepint", "subspaces=3", "config.model.subspaces must divide dimension=2; received 3"),
        ("hilomoe", "stage_epochs=(1,)", "config.model.stage_epochs must be the lengths of stages 1 and 2, or"),
        ("ada_ensemble", "experts=('cross', 'crss')", "config.model.experts must be among attention, cin, "),
        (
            "ada_ensemble",
            "experts=('dense', {'name': 'cin', 'feature_map': 64})",
            "config.model.experts.cin.feature_map must be left out: expert 'cin' has no option feature_map; it has ",
        ),
        (
            "ada_ensemble",
            "experts=('cross', {'name': 'cross', 'diag_scale': 'x'})",
            "config.model.experts.cross_2.diag_scale must be a finite number of at least 0; received 'x'",
        ),
        (
            "dense_moe",
            "experts=({'name': 'attention', 'heads': 3},)",
            "config.model.experts.attention.heads must divide inner_size=8; received 3",
        ),
        (
            "ada_ensemble",
            "experts=({'name': 'subspace_crossing', 'subspaces': 3},)",
            "config.model.experts.subspace_crossing.subspaces must divide D=2; received 3",
        ),
        ("ada_ensemble", "experts=({'feature_maps': 3},)", 'config.model.experts must have a "name" in each mapping; '),
        ("ada_ensemble", "experts=(['dense'], 'cross')", "config.model.experts must be one list for all layers, or"),
        ("ada_ensemble", "experts=(['dense'], [])", "config.model.experts must be one or more experts in each layer"),
        (
            "ada_ensemble",
            "experts=(['dense'], ['cross'])",
            "config.model.experts must be one list, or one for each of the 4 layers; received [['dense'], ['cross']]",
        ),
        (
            "single_expert",
            "expert={'name': 'cin', 'feature_maps': ()}",
            "config.model.expert.cin.feature_maps must be one or more whole numbers of at least 1; received []",
        ),
        ("single_expert", "expert=crss", "config.model.expert must be among attention, cin, "),
        ("ada_ensemble", "anneal_epochs=0.01", "config.model.anneal_epochs must be 0 or last at least 3 weight"),
        ("ada_ensemble", "gate.name=softmax", "config.model.gate.name must be among dselect_k, gumbel_threshold, "),
        ("dhen", "dlrm_compressed=1", "config.model.dlrm_compressed must be at least 2, or 0 for no compression"),
        ("dhen", "modules=('attention',)", "config.model.heads must divide dimension=3; received 2"),
        ("autoint", "attention_size=9", "config.model.attention_size must be a multiple of heads=2; received 9"),
        ("wide_and_deep", "crosses=((0, 2),)", "config.model.crosses must each have two or more of the fields of one"),
    ],
)
def test_values_out_of_range_name_their_key(model, key, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        dimension = "3" if "heads" in message else "2"
        built(f"criteo.py:{model}", f"--config.model.dimension={dimension}", f"--config.model.{key}")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_nonsense_in_any_key_is_told_by_its_key(name):
    """Text that nothing is called, and a count below every range."""
    config, wrong = models.model_config(name), 0
    for key, declared in keys_of(MODELS[name]).items():
        nonsense = {str: "nonsense", int: -1, float: -1.0, tuple: (-1,)}.get(type(declared.default))
        if key == "crosses" or nonsense is None:
            continue
        outer, dot, option = key.rpartition(".")
        changed = config.copy_and_resolve_references()
        (changed[outer] if dot else changed)[option] = nonsense
        with pytest.raises(UserError, match=rf"^config\.model\.{re.escape(key)} must .*; received"):
            build_model(SimpleNamespace(model=changed, precision="float32", batch_size=4096), DATA)
        wrong += 1
    assert wrong > 0 or name == "logistic_regression"


def test_an_option_that_the_gate_lacks_is_told_by_its_key():
    config = models.model_config("ada_ensemble")
    config.gate.threshold = 0.1
    with pytest.raises(UserError, match=r"config\.model\.gate\.threshold must be left out: .* received 0\.1$"):
        build_model(SimpleNamespace(model=config, precision="float32", batch_size=4096), DATA)


def test_python_and_command_line_have_the_same_defaults():
    """Only the data's settings differ: the initial logit, steps counted in epochs, sizes; and the paper's."""
    rows = {"num_rows": 7, "num_fields": 2, "widths": (1, 1), "dimension": 2}
    data = {"initial_logit", "anneal_steps", "load_anneal_steps", "gate"}
    paper = {"expert_prior", "depth_prior", "embedding_normalization", "embedding_scale", "embedding_truncated"}
    for config, arguments, others in (
        ("sample.py:dnn", {}, set()),
        ("sample.py:d_moe", {}, set()),
        ("synthetic.py:ada_ensemble", {}, {"head_units", "num_layers", "dropout"}),
        ("criteo.py:ada_ensemble", PUBLISHED_LAYERS, paper),
    ):
        ours = MODELS[config.split(":")[1]](**rows, **arguments).get_config()
        from_config = built(config).get_config()
        assert {key for key in ours if ours[key] != from_config[key]} <= data | others, config


def test_the_study_that_compare_documents_exists():
    # Read, as importing it would define its flags.
    source = Path(ada_ensemble_tf.__file__).with_name("compare.py").read_text(encoding="utf-8")
    (study,) = re.findall(r"--study=experiments/studies\.py:(\w+)", source)
    assert callable(getattr(studies, study))
