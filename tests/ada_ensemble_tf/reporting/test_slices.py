import numpy as np
import pytest

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.reporting.importance import Columns
from ada_ensemble_tf.reporting.slices import MIN_OF_A_LABEL, worst_slices

COLUMNS = {"city": Columns(slice(0, 1), slice(0, 0)), "tags": Columns(slice(1, 3), slice(0, 0))}


@pytest.fixture(scope="module")
def rows():
    """300 rows of three cities; for city 2 the predictions are reversed. Tags: all rows have 7, half also have 8."""
    rng = np.random.default_rng(4)
    city = np.repeat([1, 2, 3], 100)
    labels = (rng.random(300) < 0.4).astype(np.float64)
    good = np.where(labels > 0, 0.7, 0.2)
    p = np.where(city == 2, 1.0 - good, good)
    ids = np.stack([city, np.full(300, 7), np.where(np.arange(300) % 2, 8, -1)], axis=1)
    return labels, p, ids


def test_the_slice_that_the_model_has_wrong_is_the_worst(rows):
    found = worst_slices(*rows, COLUMNS, min_rows=50)
    assert (found[0].field, found[0].id, found[0].rows) == ("city", 2, 100)
    assert {(one.field, one.id, one.rows) for one in found} == {
        ("city", 1, 100), ("city", 2, 100), ("city", 3, 100), ("tags", 7, 300), ("tags", 8, 150),
    }  # fmt: skip
    assert found[0].low > 0.0 and all(one.difference < 0.0 for one in found if one.field == "city" and one.id != 2)


def test_figures_of_a_slice_by_hand(rows):
    labels, p, _ = rows
    one = next(one for one in worst_slices(*rows, COLUMNS, min_rows=50) if one.id == 3)
    y, q = labels[200:], p[200:]
    rate = y.mean()
    losses = -np.where(y > 0, np.log(q), np.log(1 - q))
    base = -np.where(y > 0, np.log(rate), np.log(1 - rate))
    assert one.clicks == y.sum() and one.logloss == pytest.approx(metrics.logloss(y, q))
    assert one.base_logloss == pytest.approx(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate))
    assert one.difference == pytest.approx(np.mean(losses - base))
    half = 1.959964 * np.std(losses - base, ddof=1) / 10.0
    assert (one.low, one.high) == pytest.approx((one.difference - half, one.difference + half))
    assert one.calibration == pytest.approx(q.mean() / rate)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """The rate is estimated from the slice itself; the interval ignores this, which is acceptable."""
    rng = np.random.default_rng(8)
    held = 0
    q = np.linspace(0.1, 0.6, 400)
    rate = q.mean()
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    truth = np.mean(-q * np.log(q) - (1 - q) * np.log(1 - q)) - entropy
    columns = {"all": Columns(slice(0, 1), slice(0, 0))}
    for _ in range(400):
        labels = (rng.random(400) < q).astype(np.float64)
        (one,) = worst_slices(labels, q, np.zeros((400, 1), np.int32), columns)
        held += one.low <= truth <= one.high
    assert 0.92 < held / 400 < 0.985


def test_small_slices_and_those_of_one_label_are_left_out(rows):
    _, p, ids = rows
    assert {one.rows for one in worst_slices(*rows, COLUMNS, min_rows=101)} == {150, 300}
    few = np.zeros(300)
    few[: MIN_OF_A_LABEL - 1] = 1.0
    assert worst_slices(few, p, ids, COLUMNS, min_rows=50) == []
    few[MIN_OF_A_LABEL - 1] = 1.0
    assert {(one.field, one.id) for one in worst_slices(few, p, ids, COLUMNS, min_rows=50)} == {
        ("city", 1),
        ("tags", 7),
    }


def test_a_row_with_a_value_twice_counts_once():
    ids = np.full((40, 2), 5)
    labels = np.tile([0.0, 1.0], 20)
    (one,) = worst_slices(labels, np.full(40, 0.5), ids, {"tags": Columns(slice(0, 2), slice(0, 0))}, min_rows=10)
    assert (one.rows, one.clicks, one.difference) == (40, 20, 0.0)
