import dhen_reference
import numpy as np
import pytest
from layer_checks import config_round_trip, random_weights

from ada_ensemble_tf.dhen import AttentionModule

X = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_any_number_of_heads_agrees_with_loops(heads):
    module = AttentionModule(2, heads=heads, expansion=3)
    module.build(X.shape)
    weights = {f"m/{path}": value for path, value in random_weights(module).items()}
    assert weights["m/expand/kernel"].shape == (4, 12)
    expected = dhen_reference.attention(weights, "m", X, heads)
    np.testing.assert_allclose(module(X), expected, rtol=1e-3, atol=1e-4)


def test_large_scores_stay_finite():
    module = AttentionModule(2)
    assert np.isfinite(module(1e4 * X)).all()


def test_flops_by_hand():
    module = AttentionModule(5, heads=2, expansion=3)
    module.build((None, 3, 4))
    # Queries, keys, values and their mix; scores and weighted sums; the FFN's two layers; W.
    projections, scores, ffn, w = 4 * 3 * 4 * 4, 2 * 3 * 3 * 4, 2 * 3 * 4 * 12, 3 * 5 * 4
    assert module.flops() == 2 * (projections + scores + ffn + w)


def test_config_and_wrong_arguments():
    loaded = config_round_trip(AttentionModule(2, 4, 3))
    assert (loaded.num_outputs, loaded.heads, loaded.expansion) == (2, 4, 3)
    with pytest.raises(ValueError, match="heads must divide the embedding size D; received heads=3 and D=4"):
        AttentionModule(2, heads=3).build(X.shape)
    for arguments in ({"heads": 0}, {"expansion": 0}):
        with pytest.raises(ValueError, match="heads and expansion must be at least 1; received heads="):
            AttentionModule(2, **arguments)
