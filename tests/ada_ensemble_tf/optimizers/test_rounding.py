import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.optimizers import make_optimizer
from ada_ensemble_tf.optimizers.rounding import stochastically_rounded
from ada_ensemble_tf.trained.checkpoint import Checkpoint

DRAWS = 40_000


def rounded(x, dtype, seed=(0, 1)) -> np.ndarray:
    return stochastically_rounded(tf.constant(x, tf.float32), dtype, tf.constant(seed, tf.int64)).numpy()


# Between the neighbours that bfloat16 (8 significant bits) and float16 (11, and multiples of 2^-24 below 2^-14) have.
@pytest.mark.parametrize(
    "dtype, x, below, above",
    [
        ("bfloat16", 1.003, 1.0, 1.0 + 2**-7),
        ("bfloat16", -300.5, -302.0, -300.0),
        ("bfloat16", 3e-20, 141 * 2.0**-72, 142 * 2.0**-72),
        ("float16", 1.0003, 1.0, 1.0 + 2**-10),
        ("float16", 3e-6, 50 * 2.0**-24, 51 * 2.0**-24),
    ],
)
def test_rounds_to_a_neighbour_and_is_unbiased(dtype, x, below, above):
    values = rounded(np.full(DRAWS, x), dtype).astype(np.float64)
    x = float(np.float32(x))
    assert set(np.unique(values)) == {below, above}
    share = (x - below) / (above - below)
    # Five standard deviations of a share of so many draws.
    assert abs(np.mean(values == above) - share) < 5 * np.sqrt(share * (1 - share) / DRAWS)


def test_what_the_type_has_stays_and_seeds_decide():
    exact = np.float32([0.0, 1.0, -1.5, 2.0**-20, np.inf, -np.inf])
    for dtype in ("float16", "bfloat16"):
        np.testing.assert_array_equal(rounded(exact, dtype).astype(np.float32), exact)
    assert np.isnan(rounded([np.nan], "bfloat16").astype(np.float32)).all()
    x = np.random.default_rng(0).normal(size=1000)
    once, again = rounded(x, "bfloat16"), rounded(x, "bfloat16")
    np.testing.assert_array_equal(once, again)
    for seed in ((1, 1), (0, 2)):
        assert 0.2 < np.mean(rounded(x, "bfloat16", seed) != once) < 0.6
    with pytest.raises(ValueError, match="rounded to bfloat16 or float16; received float32"):
        rounded(x, "float32")


def sparse(values, rows, table) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant(table.shape))


ROWS, WIDTH = 2000, 4


def trained(name, table_dtype, slot_dtype, steps=1, seed=0, **arguments):
    """A table whose even rows all had the same gradients, and its optimiser."""
    table = keras.Variable(np.full((ROWS, WIDTH), 0.7), dtype=table_dtype, name="table")
    optimizer = make_optimizer(name, learning_rate=0.01, slot_dtype=slot_dtype, rounding_seed=seed, **arguments)
    optimizer.build([table])
    even = np.arange(0, ROWS, 2)
    for step in range(steps):
        optimizer.apply([sparse(np.full((len(even), WIDTH), 0.1 + 0.05 * step), even, table)], [table])
    return table, optimizer


@pytest.mark.parametrize("name", ["sparse_adagrad", "sparse_adam", "group_ftrl", "ftrl", "grda"])
def test_the_mean_over_rows_is_the_float32_update_and_other_rows_stay(name):
    # bfloat16 has no 0.1, with which the accumulator starts by default.
    options = {"initial_accumulator": 0.125} if name == "sparse_adagrad" else {}
    exact, state = trained(name, "float32", "float32", **options)
    low, low_state = trained(name, "bfloat16", "bfloat16", **options)
    start = float(tf.cast(tf.constant(0.7), tf.bfloat16))
    values = low.numpy().astype(np.float32)
    assert low.dtype == "bfloat16" and (values[1::2] == np.float32(start)).all()
    assert {slot.dtype for slot in low_state.slots(low)} == {"bfloat16"}
    if name in ("sparse_adagrad", "sparse_adam"):
        # The slots of the others depend on where the table starts, which rounding moves.
        for slot, other in zip(state.slots(exact), low_state.slots(low), strict=True):
            expected, mean = float(slot.numpy()[0, 0]), other.numpy()[::2].astype(np.float64).mean()
            assert mean == pytest.approx(expected, rel=5 * 2.0**-7 / np.sqrt(ROWS / 2 * WIDTH))
            assert (other.numpy()[1::2] == other.numpy()[1, 0]).all()
    moved, expected = values[::2].mean() - start, float(exact.numpy()[0, 0]) - 0.7
    assert len(np.unique(values[::2])) == 2
    # The update is a fraction of the spacing of bfloat16 here, 2^-8.
    assert moved == pytest.approx(expected, abs=5 * 2.0**-8 / np.sqrt(values[::2].size) + 1e-2 * abs(expected))


def test_small_updates_add_up_where_rounding_to_the_nearest_would_lose_them():
    # Thirty updates of about a fortieth of the spacing.
    exact, _ = trained("sparse_adagrad", "float32", "float32", steps=30, initial_accumulator=100.0)
    low, _ = trained("sparse_adagrad", "bfloat16", "float32", steps=30, initial_accumulator=100.0)
    start = float(tf.cast(tf.constant(0.7), tf.bfloat16))
    moved, expected = low.numpy()[::2].astype(np.float64).mean() - start, float(exact.numpy()[0, 0]) - 0.7
    assert abs(expected) > 0.01 and moved == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("seed, same", [(0, True), (1, False)])
def test_runs_of_one_seed_are_bit_equal(seed, same):
    options = {"steps": 2, "catch_up": True}
    one, other = (trained("sparse_adam", "bfloat16", "bfloat16", seed=s, **options) for s in (0, seed))
    for table, optimizer in (one, other):
        optimizer.bring_up_to_date(table)
    found = [[variable.numpy() for variable in (table, *optimizer.slots(table))] for table, optimizer in (one, other)]
    # The last slot is the step, a whole number.
    assert [np.array_equal(a, b) for a, b in zip(*found, strict=True)] == [same, same, same, True]


def test_a_restored_optimiser_goes_on_as_if_it_had_not_stopped(tmp_path):
    straight, _ = trained("sparse_adam", "bfloat16", "bfloat16", steps=3)
    table, optimizer = trained("sparse_adam", "bfloat16", "bfloat16", steps=2)
    variables = [table, *optimizer.variables]
    Checkpoint(tmp_path / "run" / "last", variables).save(2)
    again, resumed = trained("sparse_adam", "bfloat16", "bfloat16", steps=0)
    Checkpoint(tmp_path / "run" / "last", [again, *resumed.variables]).restore()
    even = np.arange(0, ROWS, 2)
    resumed.apply([sparse(np.full((len(even), WIDTH), 0.2), even, again)], [again])
    np.testing.assert_array_equal(again.numpy(), straight.numpy())


def test_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="slot_dtype must be one of float32, bfloat16; received 'float16'"):
        make_optimizer("group_ftrl", slot_dtype="float16")
    with pytest.raises(ValueError, match="slot_dtype='bfloat16': optimizer 'adam' keeps float32 slots"):
        make_optimizer("adam", slot_dtype="bfloat16")
    config = make_optimizer("sparse_adam", slot_dtype="bfloat16", rounding_seed=3).get_config()
    assert (config["slot_dtype"], config["rounding_seed"]) == ("bfloat16", 3)
