import numpy as np
import pytest
import tensorflow as tf
from published_layers import PUBLISHED_LAYERS
from small_ada_ensemble import small_model, some_ids

from ada_ensemble_tf.models import AdaEnsemble


def flops_per_row(experts, **arguments) -> float:
    sizes = {"num_rows": 100, "num_fields": 39, "dimension": 16}
    own = {"experts": experts, "k": len(experts), "depth_objective": "none"}
    model = AdaEnsemble(**sizes, **PUBLISHED_LAYERS | own | arguments)
    forward = model.forward(tf.random.stateless_uniform([8, 39], [1, 1], 0, 100, tf.int32))
    return float(forward.flops) / 8 / 1e6


@pytest.mark.parametrize(
    "expert, printed, tolerance, derived",
    [
        ("gated_dense", 3.71, 0.01, 3.70),
        ("cross", 3.36, 0.02, 3.32),
        ("polynomial", 3.32, 0.01, 3.32),
        ("convolution", 1.11, 0.20, 0.94),
        ("attention", 2.17, 0.05, 2.09),
    ],
)
def test_flops_of_single_expert_stacks_are_those_of_the_papers_table_2(expert, printed, tolerance, derived):
    # The table's stacks have gates over five experts; a gate over one is 128 FLOPs a layer cheaper.
    flops = flops_per_row((expert,)) + 4 * 2 * 4 * 16 / 1e6
    assert flops == pytest.approx(printed, rel=tolerance)
    assert flops == pytest.approx(derived, abs=0.0075)


@pytest.mark.parametrize("k, printed, tolerance", [(2, 4.14, 0.02), (3, 6.02, 0.01)])
def test_flops_at_the_papers_shares_are_those_of_its_table_2(k, printed, tolerance):
    """K experts a layer at their prior shares, rows leaving at the shares of table 4."""
    model = AdaEnsemble(num_rows=100, num_fields=39, dimension=16, **PUBLISHED_LAYERS)
    layer = model.moe_layers[0]
    expert = sum(share * e.flops() for share, e in zip((0.2, 0.2, 0.4, 0.1, 0.1), layer.experts, strict=True))
    mean_depth = 0.0653 * 1 + 0.1936 * 2 + 0.6643 * 3 + 0.0768 * 4
    flops = mean_depth * (k * expert + layer.gate.flops()) + model.depth_gate.flops()
    assert flops / 1e6 == pytest.approx(printed, rel=tolerance)


def test_flops_grow_with_k_and_fall_with_early_exits():
    ids = some_ids()
    by_k = [float(small_model(k=k, depth_objective="none").forward(ids).flops) for k in (1, 2, 3)]
    assert by_k[0] < by_k[1] < by_k[2]
    with_exits = small_model()
    reached = 1 + sum(float(r) for r in _reached(with_exits, ids)[1:])
    assert reached < 3
    assert float(with_exits.forward(ids).flops) < float(small_model(depth_objective="none").forward(ids).flops)


def _reached(model, ids):
    routed = model.forward(ids).reports["depth"].routed.numpy()
    return np.cumsum(routed[::-1])[::-1]
