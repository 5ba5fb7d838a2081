"""Checks that every registered expert must pass."""

import numpy as np
import pytest
from layer_checks import check_zero_rows, config_round_trip, random_weights, round_trip

from ada_ensemble_tf.arguments import ArgumentError
from ada_ensemble_tf.experts import EXPERTS, Expert, check_expert, make_expert

FIELDS, WIDTH = 12, 24
NAMES = sorted(EXPERTS)


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x0 and x."""
    x0, x = np.random.default_rng(seed).normal(size=(2, count, WIDTH)).astype(np.float32)
    return x0, x


def built(name: str) -> Expert:
    expert = make_expert(name, FIELDS)
    expert.build((None, WIDTH), (None, WIDTH))
    random_weights(expert)
    return expert


@pytest.mark.parametrize("name", NAMES)
def test_made_by_name_with_shape_kept(name):
    expert = make_expert(name, FIELDS)
    assert type(expert) is EXPERTS[name]
    assert expert.name == name
    assert expert(*rows(3)).shape == (3, WIDTH)


def test_unknown_expert_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="name must be among attention, cin, convolution.*; received 'oracle'"):
        make_expert("oracle", FIELDS)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cin", {"feature_map": [4]}, r"be left out: expert 'cin' has no option feature_map; it has feature_maps; rec"),
        ("identity", {"size": 1}, "size must be left out: expert 'identity' has no option size; it has none; received"),
        ("cin", {"feature_maps": [0]}, r"feature_maps must be one or more whole numbers of at least 1; received \[0\]"),
        ("dense", {"num_fields": 3}, "num_fields must be left out: expert 'dense' has no option num_fields"),
    ],
)
def test_a_wrong_option_is_told_with_those_that_exist(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        check_expert(name, options)


@pytest.mark.parametrize("name", NAMES)
def test_reads_x0_says_whether_the_output_depends_on_x0(name):
    expert = built(name)
    x0, x = rows(4)
    changed = np.abs(expert(x0, x) - expert(x0 + 1, x)).max()
    assert (changed > 1e-3) == expert.reads_x0
    assert changed == 0 or expert.reads_x0


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_influence_each_other(name):
    """Routing sends an expert any subset of a batch."""
    expert = built(name)
    x0, x = rows(5)
    np.testing.assert_allclose(expert(x0, x)[1:3], expert(x0[1:3], x[1:3]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows(name):
    check_zero_rows(built(name), *rows(2))


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded(name):
    before, after = round_trip(built(name), *rows(3))
    assert before.shape == (3, WIDTH)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip_of_the_defaults(name):
    expert = make_expert(name, FIELDS)
    assert config_round_trip(expert).get_config() == expert.get_config()


@pytest.mark.parametrize("name", NAMES)
def test_width_that_fields_do_not_divide_is_refused(name):
    x = np.zeros((2, 25), np.float32)
    with pytest.raises(ValueError, match="must be a multiple of num_fields; received M=25 and num_fields=12"):
        make_expert(name, FIELDS)(x, x)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_width_is_refused(name):
    with pytest.raises(ValueError, match="must be a multiple of num_fields; received M=None"):
        make_expert(name, FIELDS).build((None, None), (None, None))


def test_expert_without_flops_says_so():
    class Lazy(Expert):
        def call(self, x0, x):
            return x

    with pytest.raises(NotImplementedError, match="Lazy must define flops"):
        Lazy(FIELDS).flops()
