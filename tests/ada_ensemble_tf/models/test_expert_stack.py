import json

import keras
import numpy as np
import pytest
from small_ada_ensemble import compile_model, small_model, some_ids, some_labels

from ada_ensemble_tf.models import AdaEnsemble, DenseMoE

OPTIONS = [
    {"normalization": "pre", "expert_scale": "sqrt_k"},
    {"normalization": "none", "expert_normalization": "input", "expert_scale": "learned"},
    {"expert_normalization": "output", "expert_scale": "unweighted", "depth_objective": "compared"},
    {"expert_normalization": "pre_activation", "expert_scale": "k", "dropout": 0.2},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_trains_and_survives_a_round_trip(options, tmp_path):
    model = small_model(k=3, num_layers=1, embedding_normalization="none", **options)
    compile_model(model)
    before = [v.numpy() for v in model.trainable_variables]
    assert int(model.training_logs((some_ids(), some_labels()))["first_bad"]) == -1
    for value, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(variable - value).max() > 0 or "depth_gate" in variable.path, variable.path
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))
    assert DenseMoE.from_config({n: v for n, v in model.get_config().items() if n not in ("k", "k_schedule")}).built


def test_load_weights_fall_with_the_step_counter():
    constant = small_model(expert_load_weight=0.5, depth_load_weight=0.25)
    even = small_model(expert_load_weight=0.5, depth_load_weight=0.25, load_anneal_steps=10)
    stepped = small_model(load_schedule={"values": (3, 0), "boundaries": (7,)}, expert_load_weight=0.5)
    for step, share, factor in ((0, 1.0, 3.0), (4, 0.6, 3.0), (7, 0.3, 0.0), (30, 0.0, 0.0)):
        for model in (constant, even, stepped):
            model.step.assign(step)
        terms, fallen, of_stepped = (model.forward(some_ids()).terms for model in (constant, even, stepped))
        for name in ("expert_distribution", "depth_distribution"):
            np.testing.assert_allclose(fallen[name], share * terms[name], rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(of_stepped["expert_distribution"], factor * terms["expert_distribution"], rtol=1e-5)
    # The prediction does not depend on it, so it does not put off the best checkpoint.
    assert even.annealing_steps() == stepped.annealing_steps() == 0
    again = AdaEnsemble.from_config(json.loads(json.dumps(stepped.get_config())))
    assert again.load_factor.values == (3, 0) and again.load_factor.boundaries == (7,)


def test_initial_embeddings():
    def table(**arguments):
        return AdaEnsemble(num_rows=4000, num_fields=3, dimension=4, num_layers=1, **arguments).embedding.table.numpy()

    assert table().std() == pytest.approx(0.01, rel=0.05)
    assert table(embedding_scale=0.2).std() == pytest.approx(0.2, rel=0.05)
    assert table(embedding_scale=None).std() == pytest.approx(0.5, rel=0.05)
    truncated = table(embedding_scale=None, embedding_truncated=True)
    # Within two standard deviations of 1 / sqrt(4); a normal so cut has .88 of its standard deviation.
    assert 0.99 < np.abs(truncated).max() <= 1.0 and truncated.std() == pytest.approx(0.44, rel=0.05)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"normalization": "post"}, "normalization must be 'batch', 'layer', 'none' or 'pre'; received 'post'"),
        ({"embedding_normalization": "pre"}, "embedding_normalization must be .* or 'none'; received 'pre'"),
        ({"expert_scale": "2"}, "expert_scale must be 'none', .* or 'learned'; received '2'"),
        ({"expert_scale": "k", "dispatcher": "bit_fusion"}, "expert_scale must be 'none' with dispatcher 'bit_fusion'"),
        ({"load_schedule": 3}, "load_schedule must map names to values, or be None; received 3"),
        ({"load_schedule": {"values": (1,), "steps": (3,)}}, "load_schedule must map 'values' to numbers and"),
        ({"load_anneal_steps": 3, "load_schedule": {"values": (1,)}}, "load_anneal_steps must be 0 together with"),
        ({"embedding_scale": 0.0}, "embedding_scale must be a finite number above 0, or be None; received 0.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**arguments)
