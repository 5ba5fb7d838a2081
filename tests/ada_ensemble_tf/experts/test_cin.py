import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import CINExpert


def looped_network(w: dict, x: np.ndarray, num_fields: int, layers: int) -> np.ndarray:
    """The sum-pooled feature maps of all layers, a row, a map and a pair at a time."""
    outputs = []
    for row in x.astype(float):
        fields = row.reshape(num_fields, -1)
        maps, pooled = fields, []
        for k in range(1, layers + 1):
            kernel, bias = w[f"network/dense_{k}/kernel"], w[f"network/dense_{k}/bias"]
            new = []
            for h in range(len(bias)):
                total = np.full(fields.shape[1], float(bias[h]))
                for i in range(len(maps)):
                    for j in range(num_fields):
                        total += kernel[i * num_fields + j, h] * maps[i] * fields[j]
                new.append(total)
            maps = np.array(new)
            pooled.extend(maps.sum(axis=1))
        outputs.append(pooled)
    return np.array(outputs)


def test_output_by_hand():
    expert = CINExpert(2, feature_maps=[1])
    expert.build((None, 4), (None, 4))
    dense = expert.network.dense_layers[0]
    dense.kernel.assign([[0], [1], [0], [10]])
    dense.bias.assign([0])
    expert.project.kernel.assign([[1, -1, 0, 2]])
    expert.project.bias.assign([0, 0, 3, 0])
    x = np.array([[1, 2, 3, 5]], np.float32)
    # <a, b> + 10 <b, b> of the fields a = (1, 2) and b = (3, 5): 13 + 340.
    assert expert(np.full_like(x, np.nan), x).numpy().tolist() == [[353, -353, 3, 706]]


@pytest.mark.parametrize("feature_maps", [[3], [3, 2], [2, 3, 2]])
def test_output_agrees_with_loops(feature_maps):
    expert = CINExpert(4, feature_maps)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    expected = looped_network(w, x, 4, len(feature_maps)) @ w["project/kernel"] + w["project/bias"]
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-3, atol=1e-3)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = CINExpert(3, feature_maps=[2, 2])
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x, rtol=1e-5, atol=1e-6)


def test_config_round_trip():
    loaded = config_round_trip(CINExpert(3, feature_maps=(5, 4)))
    assert (loaded.num_fields, loaded.network.feature_maps) == (3, (5, 4))


def test_flops_by_hand():
    expert = CINExpert(3, feature_maps=[5])
    expert.build((None, 6), (None, 6))
    # For both dimensions nine products, five weighted sums of them, five terms of a pool. 5 -> 6.
    assert expert.flops() == 2 * (9 + 2 * 9 * 5 + 5) + 2 * 5 * 6


@pytest.mark.parametrize("feature_maps", [[], [3, 0]])
def test_wrong_feature_maps_are_refused(feature_maps):
    with pytest.raises(ValueError, match="feature_maps must be one or more whole numbers of at least 1; received"):
        CINExpert(3, feature_maps)


def test_flops_of_the_defaults_at_criteos_size():
    # For each of D: products of 39 or 16 maps with 39 fields, 16 sums of them, the pooling. Then 32 -> M.
    assert default_megaflops("cin") == pytest.approx(
        (16 * (39 * 39 * (1 + 2 * 16) + 16 * 39 * (1 + 2 * 16) + 2 * 16) + 2 * 32 * 624) / 1e6, abs=0.0006
    )
