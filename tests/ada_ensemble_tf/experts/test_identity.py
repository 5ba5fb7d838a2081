import numpy as np
from expert_checks import default_megaflops

from ada_ensemble_tf.experts import IdentityExpert


def test_output_is_x():
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    expert = IdentityExpert(2)
    np.testing.assert_array_equal(expert(x0, x), x)
    assert expert.weights == []


def test_it_costs_nothing():
    assert default_megaflops("identity") == 0.0
