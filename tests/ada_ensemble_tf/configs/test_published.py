"""The settings of AdaEnsemble's paper and of its release."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.comparison.tuning import with_values
from ada_ensemble_tf.configs import published
from ada_ensemble_tf.configs.datasets import avazu, criteo, frappe, ipinyou, sample, synthetic
from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.models import MODELS
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.serving.tables import Storage, StoredTable
from ada_ensemble_tf.trained.config_ranges import check_config


@pytest.mark.parametrize("model", sorted(MODELS))
def test_settings_of_section_4_1_4(model):
    config = criteo.get_config(model)
    check_config(config.to_dict())
    assert config == avazu.get_config(model) == ipinyou.get_config(model)
    assert (config.batch_size, config.eval_every) == (4096, 2000)
    assert (config.gate_source, config.gate_share) == ("validation", 0.5)
    assert config.model.get("dimension", 16) == 16
    assert config.model.get("l2", 1e-4) == 1e-4
    assert (config.weight_optimizer.name, config.weight_optimizer.learning_rate) == ("adam", 1e-3)
    if model in published.LINEAR:
        assert config.embedding_optimizer.name == "ftrl"
        assert 1e-2 <= config.embedding_optimizer.learning_rate <= 1e-1
    elif model in published.MIXTURES:
        assert config.embedding_optimizer.name == "group_ftrl" and config.embedding_optimizer.l1 > 0.0
    else:
        assert (config.embedding_optimizer.name, config.embedding_optimizer.learning_rate) == ("sparse_adam", 1e-3)


def test_neural_baselines_have_one_learning_rate():
    config = criteo.get_config("dcn_v2").lock()
    override(config, {"weight_optimizer.learning_rate": 3e-4})
    assert config.embedding_optimizer.learning_rate == 3e-4
    override(config, {"embedding_optimizer.learning_rate": 1e-2})
    assert config.weight_optimizer.learning_rate == 3e-4 and config.embedding_optimizer.learning_rate == 1e-2


def test_baselines_normalise_what_their_papers_do():
    found = {model: criteo.get_config(model).model for model in published.BASELINES}
    assert {model: one.get("embedding_normalization", "none") for model, one in found.items()} == dict.fromkeys(
        found, "none"
    )
    assert {model for model, one in found.items() if one.get("normalization", "none") != "none"} == {"dcn"}


def test_embeddings_of_adaensemble_are_not_normalised_and_start_as_tensorflows_do():
    for model in published.MIXTURES:
        own = criteo.get_config(model).model
        assert (own.normalization, own.embedding_normalization) == ("batch", "none")
        assert own.embedding_scale is None and own.embedding_truncated


def test_the_release():
    config = criteo.get_config("ada_ensemble_release")
    check_config(config.to_dict())
    model, optimizer = config.model, config.embedding_optimizer
    assert config.training == "joint" and config.max_epochs == 3.0
    assert (model.name, model.k, model.anneal_epochs, model.num_layers) == ("ada_ensemble", 3, 0.0, 4)
    assert (model.normalization, model.embedding_normalization, model.l2) == ("none", "none", 0.0)
    assert model.embedding_scale is None and model.embedding_truncated
    assert (model.expert_scale, model.depth_objective, model.load) == ("unweighted", "auxiliary", "dispatched")
    assert (model.expert_load_weight, model.depth_load_weight, model.z_weight) == (1.0, 1.0, 1.0)
    assert model.expert_prior == (0.2, 0.2, 0.4, 0.1, 0.1) and model.depth_prior == (0.1, 0.2, 0.6, 0.1)
    assert (model.gate.noise, model.gate.reduction, model.gate.hidden_size) == (0.5, 16, 16)
    assert model.gate.initial_temperature == 1.0 and model.gate.stop_gradient
    assert (optimizer.learning_rate, optimizer.beta, optimizer.l1, optimizer.l2) == (0.02, 1e-4, 1e-3, 1e-3)
    assert not optimizer.keep_initial


@pytest.mark.parametrize("dataset", [frappe, synthetic])
def test_other_data_sets_have_the_published_configs_beside_their_own(dataset):
    for name in published.PUBLISHED:
        config, plain = dataset.get_config(name), dataset.get_config("ada_ensemble")
        check_config(config.to_dict())
        assert config.model.name == "ada_ensemble" and config.batch_size == plain.batch_size
        assert config.model.embedding_normalization == "none" != plain.model.embedding_normalization
    assert dataset.get_config("ada_ensemble_paper").gate_source == "validation"
    assert dataset.get_config("ada_ensemble_release").model.normalization == "none"


@pytest.mark.parametrize("dataset", [criteo, frappe, sample, synthetic])
def test_layers_are_the_papers_whatever_the_defaults(dataset):
    """But for what a data set sets for all models, and the release alone."""
    sizes = {"num_layers"} if dataset is synthetic else set()
    release = {"normalization", "depth_objective"}
    for name, others in ((published.PAPER, sizes), (published.RELEASE, sizes | release)):
        model = dataset.get_config(name).model
        differing = {key for key, value in published.LAYERS.items() if model[key] != value}
        assert differing == others and model.deep_supervision is None
    # The paper keeps the weights of one step, whatever a data set's own training averages.
    config = dataset.get_config(published.PAPER)
    assert config.ema_momentum == 0.0 and config.average_last == 1


def test_no_gradient_of_the_releases_prediction_reaches_a_gate():
    config = criteo.get_config("ada_ensemble_release").model.to_dict()
    sizes = {"dimension": 4, "num_layers": 2, "depth_prior": None}
    arguments = {
        key: value for key, value in config.items() if key not in ("name", "anneal_epochs", "load_anneal_epochs")
    }
    model = MODELS["ada_ensemble"](num_rows=12, num_fields=4, **(arguments | sizes))
    with tf.GradientTape(persistent=True) as tape:
        terms = model.objective(
            model.forward(tf.constant([[0, 3, 6, 9], [1, 4, 7, 10]]), True), tf.constant([0.0, 1.0])
        )
        load = terms["expert_distribution"] + terms["depth_distribution"] + terms["router_z"]
    gates = [variable.value for variable in model.gate_variables]
    assert len(gates) == 18
    assert tape.gradient(terms["log_loss"], gates) == [None] * 18
    # Those of layer 2 have none if both rows exit before.
    assert sum(gradient is not None for gradient in tape.gradient(load, gates)) >= 12


@pytest.mark.parametrize("batch", [64, 512])
def test_group_ftrl_of_the_paper_makes_rows_zero_that_export_leaves_out(batch):
    """Rows 0 to 9 move the click rate, 10 to 199 are noise: the noise goes, whatever the batch size."""
    random = np.random.default_rng(0)
    rows = np.stack([random.integers(0, 10, 16_384), random.integers(10, 200, 16_384)], axis=1)
    labels = (random.uniform(size=len(rows)) < np.where(rows[:, 0] % 2, 0.7, 0.2)).astype(np.float32)
    table = keras.Variable(random.normal(0.0, 0.25, (200, 16)).astype(np.float32))
    optimizer = GroupFtrl(**published.group_ftrl(batch))
    for start in range(0, len(rows), batch):
        ids, clicked = tf.constant(rows[start : start + batch]), labels[start : start + batch]
        with tf.GradientTape() as tape:
            # About the weight that a layer's first kernel gives an element.
            logit = 0.1 * tf.reduce_sum(tf.gather(table.value, ids), axis=(1, 2))
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(clicked, logit))
        optimizer.apply([tape.gradient(loss, table.value)], [table])
    zero = ~np.any(table.numpy(), axis=1)
    assert not zero[:10].any() and zero[10:].mean() > 0.9
    assert StoredTable(table.numpy(), Storage(prune_zero_rows=True)).dropped == zero.sum()


def test_keys_that_follow_others_do_so_in_every_trial_of_a_tuning():
    config = criteo.get_config("ada_ensemble").lock()
    changed = with_values(config, {"model.num_layers": 2, "batch_size": 1024})
    assert changed.model.depth_prior is None and changed.embedding_optimizer.l1 == 4e-3
    assert config.model.depth_prior == published.DEPTH_PRIOR and config.embedding_optimizer.l1 == 1e-3
    rates = {"weight_optimizer.learning_rate": 1e-4}
    assert with_values(criteo.get_config("dnn").lock(), rates).embedding_optimizer.learning_rate == 1e-4
