import keras
import numpy as np
import pytest
import tensorflow as tf
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    reference_estimator,
    reference_mlp,
)

from ada_ensemble_tf.models import WideAndDeep
from ada_ensemble_tf.models.wide_and_deep import cross_ids
from ada_ensemble_tf.optimizers import GroupFtrl

# More buckets than combinations of 3 fields in the rows, so that each has its own bucket.
BUCKETS = 1000


def small_model(**arguments) -> WideAndDeep:
    return WideAndDeep(**({"dimension": 4, "hidden_units": (6, 5), "cross_buckets": BUCKETS} | arguments))


def hashed(rows, buckets: int) -> int:
    """`cross_ids` of one row in Python's integers."""
    mixed = 0
    for row in rows:
        mixed = (mixed + int(row) + 1) * 0x9E3779B97F4A7C15 % (1 << 64)
        signed = mixed - (1 << 64) if mixed >> 63 else mixed
        mixed = (signed ^ (signed >> 32)) % (1 << 64)
    return (mixed - (1 << 64) if mixed >> 63 else mixed) % buckets


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
def test_forward_is_the_sum_of_both_parts(rows):
    def reference(weights, fields):
        wide = fields["level_weights"][:, :, 0].sum(axis=1)
        x0 = fields["embedding"].reshape(-1, 12)
        return wide + reference_estimator(weights, reference_mlp(weights, "mlp", x0))

    assert_forward_is(small_model(**rows), reference)


def test_forward_with_crosses():
    crosses = [(0, 1), (2, 0, 1)]

    def reference(weights, fields):
        wide = fields["level_weights"][:, :, 0].sum(axis=1)
        table = weights["cross_weights/table"][:, 0]
        for i, cross in enumerate(crosses):
            places = [i * BUCKETS + hashed(row[list(cross)], BUCKETS) for row in PLAIN_INPUTS.numpy()]
            wide = wide + table[places]
        x0 = fields["embedding"].reshape(-1, 12)
        return wide + reference_estimator(weights, reference_mlp(weights, "mlp", x0))

    model = small_model(**PLAIN, crosses=crosses)
    assert_forward_is(model, reference)
    row = 3 + 2 + 2 * (12 * 6 + 6 * 5 + 5)
    assert float(model.forward(PLAIN_INPUTS).flops) == 4 * row


def test_a_cross_reads_the_columns_of_its_fields():
    model = small_model(num_rows=9, num_fields=3, widths=(1, 3, 1), crosses=[(0, 2)])
    assert model.cross_columns == ((0, 4),)
    assert model.forward(INPUTS["ids"]).logit.shape == (3,)


def test_crosses_spread_over_their_buckets():
    ids = np.stack(np.meshgrid(np.arange(100), np.arange(100, 200)), axis=-1).reshape(-1, 2)
    crossed = cross_ids(tf.constant(ids, tf.int32), [(0, 1), (1, 0)], 1 << 16).numpy()
    assert crossed[:, 0].min() >= 0 and crossed[:, 0].max() < 1 << 16 <= crossed[:, 1].min()
    # Of 10,000 balls in 65,536 bins, 1 - exp(-10000 / 65536) of the bins are hit: 9,277.
    assert all(9100 < len(np.unique(column)) for column in crossed.T)
    # The order of fields is part of a cross.
    assert (crossed[:, 0] != crossed[:, 1] - (1 << 16)).mean() > 0.99


def test_flops_by_hand():
    row = 2 * (12 * 6 + 6 * 5 + 5)
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (3 + row)
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 + 4 + 5 + 3 * row


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=3)


def test_crosses_survive_saving(tmp_path):
    model = small_model(**PLAIN, crosses=[(0, 1)])
    model.cross_weights.table.assign(np.arange(BUCKETS)[:, None])
    model.compile(GroupFtrl(), keras.optimizers.Adam())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config() and again.get_config()["crosses"] == [[0, 1]]
    np.testing.assert_array_equal(again(PLAIN_INPUTS), model(PLAIN_INPUTS))
    assert len(again.embedding_variables) == 3


@pytest.mark.parametrize("cross", [(0,), (0, 0), (0, 1), (0, 2), (0, 5)])
def test_wrong_crosses(cross):
    # One field has three columns and one has a float.
    with pytest.raises(ValueError, match=r"crosses must each have two or more of the fields .*, \[0\]; received"):
        small_model(**FIELDS, crosses=[cross])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"cross_buckets": 0}, "cross_buckets must be a whole number of at least 1; received 0"),
        ({"hidden_units": (3, -1)}, "hidden_units must be one or more whole numbers of at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
