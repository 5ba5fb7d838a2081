"""Search spaces, overrides and tuned values."""

import json

import pytest

from ada_ensemble_tf.configs import defaults
from ada_ensemble_tf.configs.models import MODELS
from ada_ensemble_tf.configs.overrides import override, parse
from ada_ensemble_tf.configs.published import paper_config
from ada_ensemble_tf.configs.search_spaces import LAYERS, SPACES, WIDTH, Choice, Int, overrides, paper, present, wide


def lowest(space):
    return {name: r.values[0] if isinstance(r, Choice) else r.low for name, r in space.items()}


def highest(space):
    return {name: r.values[-1] if isinstance(r, Choice) else r.high for name, r in space.items()}


@pytest.mark.parametrize("space", sorted(SPACES))
@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_sample_fits_every_config(model, space):
    config = defaults.config_for(model).lock()
    ranges = SPACES[space](config)
    assert ranges
    for sample in (lowest(ranges), highest(ranges), lowest(ranges) | present(ranges, config)):
        values = overrides(sample)
        changed = defaults.config_for(model).lock()
        override(changed, values)
        # Both ends of a space set the same keys.
        assert values.keys() == overrides(lowest(ranges)).keys()


def test_the_papers_space():
    assert paper(defaults.config_for("logistic_regression")).keys() == {"embedding_optimizer.learning_rate"}
    space = paper(defaults.config_for("dnn"))
    rates = {"weight_optimizer.learning_rate", "embedding_optimizer.learning_rate"}
    assert space.keys() == rates | {"model.l2", LAYERS, WIDTH, "model.normalization"}
    assert {"model.num_layers", "model.k", "model.expert_load_weight"} < paper(
        defaults.config_for("ada_ensemble")
    ).keys()
    more = wide(defaults.config_for("dnn"))
    assert more["weight_optimizer.learning_rate"].high == 3e-3
    assert {"model.dropout", "model.dimension", "embedding_optimizer.l2"} < more.keys()


@pytest.mark.parametrize("space", sorted(SPACES))
def test_every_model_that_can_normalise_may_go_without(space):
    for model in MODELS:
        config = defaults.config_for(model)
        for key in {"normalization", "embedding_normalization"} & set(config.model):
            kind = config.model[key]
            assert SPACES[space](config)[f"model.{key}"] == Choice(("batch" if kind == "none" else kind, "none"))


def test_rates_fit_the_optimiser_of_the_embeddings():
    config = defaults.config_for("dcn_v2")
    assert wide(config)["embedding_optimizer.learning_rate"].high == 3e-1
    assert "gate_optimizer.learning_rate" not in wide(config)
    assert "gate_optimizer.learning_rate" in wide(defaults.config_for("ada_ensemble"))
    config = paper_config("dcn_v2")
    assert wide(config)["embedding_optimizer.learning_rate"].high == 3e-3
    # The paper's Adam has one rate, and the embeddings' follows the weights'.
    assert "embedding_optimizer.learning_rate" not in paper(config)
    override(config, {"weight_optimizer.learning_rate": 3e-4})
    assert config.embedding_optimizer.learning_rate == 3e-4


def test_what_a_model_goes_without_is_not_searched():
    config = defaults.config_for("dnn")
    config.model.hidden_units = ()
    rates = {"weight_optimizer.learning_rate", "embedding_optimizer.learning_rate"}
    assert paper(config).keys() == rates | {"model.l2", "model.normalization"}
    config = defaults.config_for("ada_ensemble")
    config.model.experts = ("cross", "gated_dense")
    assert paper(config)["model.k"] == Int(1, 2)
    config.model.k = 0
    assert "model.k" not in paper(config)


def test_overrides_by_hand():
    sample = {LAYERS: 3, WIDTH: 256, "model.l2": 1e-4}
    assert overrides(sample) == {"model.hidden_units": (256, 256, 256), "model.l2": 1e-4}


def test_present_values_are_those_within_the_ranges():
    config = defaults.config_for("dnn")
    config.model.hidden_units = (256, 256)
    space = {LAYERS: Int(1, 4), WIDTH: Int(128, 1024, 128), "model.dropout": Choice((0.2, 0.5))}
    assert present(space, config) == {LAYERS: 2, WIDTH: 256}
    config.model.hidden_units = (256, 100)
    assert present(space, config) == {LAYERS: 2}
    config.model.hidden_units = (100,)
    assert present(space, config) == {LAYERS: 1}


def test_override_sets_and_refuses():
    config = defaults.config_for("dnn").lock()
    override(config, parse(["model.hidden_units=(8, 4)", "weight_optimizer.learning_rate=1", "training=joint"]))
    assert config.model.hidden_units == (8, 4) and config.training == "joint"
    assert config.weight_optimizer.learning_rate == 1.0
    override(config, {"model.hidden_units": [5]})
    assert config.model.hidden_units == (5,)
    with pytest.raises(ValueError, match="config of dnn: there is no key 'model.k'; model has activation, "):
        override(config, {"model.k": 1})
    for key, like in {
        "rate_of_learning": "nearest: .*weight_optimizer.learning_rate",
        "weight_optimiser.learning_rate": "nearest: weight_optimizer.learning_rate, ",
        "model.hiden_units": "nearest: model.hidden_units",
        "quux": "it has .*batch_size, ",
    }.items():
        with pytest.raises(ValueError, match=f"there is no key '{key}'; {like}"):
            override(config, {key: 1})
    with pytest.raises(ValueError, match="there is no key 'seed.x'"):
        override(config, {"seed.x": 1})
    with pytest.raises(ValueError, match="batch_size should be of type int; received 'many'"):
        override(config, {"batch_size": "many"})
    with pytest.raises(ValueError, match="an override is written key=value; received 'model.k'"):
        parse(["model.k"])


def test_tuned_values_are_applied_to_their_model_only(tmp_path):
    file = tmp_path / "mine.json"
    plain = defaults.config_for("dnn").to_dict()
    assert defaults.apply_tuned(defaults.config_for("dnn"), file).to_dict() == plain
    file.write_text(json.dumps({"dnn": {"values": {"model.hidden_units": [64, 64]}}}))
    assert defaults.apply_tuned(defaults.config_for("dnn"), file).model.hidden_units == (64, 64)
    assert defaults.apply_tuned(defaults.config_for("pnn"), file).model.hidden_units == (400, 400, 400)
    file.write_text(json.dumps({"dnn": {"values": {"model.gone": 1}}}))
    with pytest.raises(ValueError, match="mine.json: config of dnn: there is no key 'model.gone'"):
        defaults.apply_tuned(defaults.config_for("dnn"), file)


@pytest.mark.parametrize("dataset", ["frappe", "synthetic"])
def test_data_sets_read_their_tuned_values(dataset, tmp_path, monkeypatch):
    """After their own, so that these do not undo them."""
    module = __import__(f"ada_ensemble_tf.configs.datasets.{dataset}", fromlist=["get_config"])
    values = {"model.num_layers": 2, "model.depth_prior": None, "batch_size": 64}
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / f"{dataset}.json").write_text(json.dumps({"ada_ensemble": {"values": values}}))
    monkeypatch.setattr(module, "__file__", str(tmp_path / f"{dataset}.py"))
    config = module.get_config("ada_ensemble")
    assert (config.model.num_layers, config.model.depth_prior, config.batch_size) == (2, None, 64)
