import numpy as np
import pytest

from data_pipelines.fields.columns import coded
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.numeric import NumericSample, bin_boundaries

TINY = 2.0**-1022
"""The smallest float64 above 0 that every processor distinguishes from 0."""
NUMBERS = (Input("a", "a", "equal_frequency", bins=4), Input("b", "b", "value"), Input("c", "c", "log_value"))


def test_boundaries_and_moments_by_hand():
    sample = NumericSample(NUMBERS, seed=0)
    columns = {"a": ["1", "2", "3", "4", "5", "6", "7", "8"], "b": ["1", "3", "", "nan"] * 2, "c": ["0"] * 8}
    sample.add(coded(columns), np.arange(8), np.ones(8, bool))
    parameters = sample.parameters()
    # A next bin begins at the smallest value that a quarter, half, three quarters of the rows do not exceed.
    assert parameters == {"a": (2.0, 4.0, 6.0), "b": (2.0, 1.0), "c": (0.0, 0.0)}


def test_two_numbers_are_two_bins_and_missing_ones_none():
    sample = NumericSample(NUMBERS, seed=0)
    sample.add(coded({"a": ["0"] * 9 + ["5"], "b": [""] * 10, "c": [""] * 10}), np.arange(10), np.ones(10, bool))
    assert sample.parameters() == {"a": (5.0,), "b": (0.0, 0.0), "c": (0.0, 0.0)}


def test_numbers_that_overflow_do_not_spoil_the_others():
    sample = NumericSample(NUMBERS, seed=0)
    sample.add(coded(dict.fromkeys("abc", ["1", "1e999", "-1e999", "1e300", "3"])), np.arange(5), np.ones(5, bool))
    assert np.isfinite([number for found in sample.parameters().values() for number in found]).all()


def test_the_sample_depends_on_rows_alone(monkeypatch):
    monkeypatch.setattr("data_pipelines.fields.numeric.SAMPLE_ROWS", 100)
    rng = np.random.default_rng(0)
    texts = [f"{v:.6f}" for v in rng.normal(size=5000)]
    chosen = rng.random(5000) < 0.7
    found = []
    for size in (5000, 700, 64):
        sample = NumericSample(NUMBERS, seed=1)
        starts = list(range(0, 5000, size))
        for start in starts if size == 700 else starts[::-1]:
            part = slice(start, start + size)
            sample.add(coded(dict.fromkeys("abc", texts[part])), np.arange(5000)[part], chosen[part])
        assert len(sample.sample()[0]) == 100
        found.append(sample.parameters())
    assert found[0] == found[1] == found[2]
    mean, deviation = found[0]["b"]
    assert abs(mean) < 0.3 and abs(deviation - 1) < 0.3


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 1e-9, 123456.789, -1e15, 0.0])
@pytest.mark.parametrize("transform", ["value", "log_value"])
def test_a_constant_has_no_deviation_whatever_rounding_makes_of_it(constant, transform):
    for rows in (10, 1000, 99_999):
        sample = NumericSample((Input("a", "a", transform),), seed=0)
        sample.add(coded({"a": [repr(constant)] * rows}), np.arange(rows), np.ones(rows, bool))
        assert sample.parameters()["a"][1] == 0.0


def test_small_differences_are_no_constant():
    sample = NumericSample((Input("a", "a", "value"),), seed=0)
    sample.add(coded({"a": ["1683676800", "1683676802"] * 50}), np.arange(100), np.ones(100, bool))
    assert sample.parameters()["a"] == (1683676801.0, 1.0)


def _sizes(known, bins):
    boundaries = bin_boundaries(known, bins)
    assert (np.diff(boundaries) > 0).all()
    return np.bincount(np.searchsorted(boundaries, known, side="right"), minlength=len(boundaries) + 1).tolist()


def test_heavy_numbers_have_bins_of_their_own():
    known = np.array([0.0] * 90 + [*range(1, 11)])
    # Zero, and five bins of two of the others each.
    assert _sizes(known, 6) == [90, 1, 2, 2, 2, 3]
    assert bin_boundaries(known, 6) == (TINY, 2.0, 4.0, 6.0, 8.0)
    # In the middle of the others, and next to another heavy value; only 3 itself is in the bin of 3.
    known = np.array([-2.0, -1.0] + [0.0] * 40 + [3.0] * 40 + [4.0, 5.0, 6.0, 7.0])
    # Quantiles would cut the others into -2, -1 and 4, 5 and above; the smallest piece joins its neighbour.
    assert _sizes(known, 5) == [2, 40, 40, 1, 3]
    assert bin_boundaries(known, 5) == (0.0, 3.0, np.nextafter(3.0, 4.0), 5.0)


def test_there_are_never_more_bins_than_asked_for_nor_empty_ones():
    rng = np.random.default_rng(0)
    for bins in (2, 3, 7, 40):
        for zeros in (0.0, 0.3, 0.9, 0.999):
            for known in (rng.normal(size=500), rng.poisson(3, 500).astype(float), rng.zipf(1.5, 500).astype(float)):
                known = np.where(rng.random(500) < zeros, 0.0, known)
                sizes = _sizes(known, bins)
                assert min(bins, len(np.unique(known))) == len(sizes) and min(sizes) > 0


def test_without_heavy_numbers_bins_are_quantiles():
    known = np.random.default_rng(1).normal(size=1000)
    assert bin_boundaries(known, 10) == tuple(np.sort(known)[99:999:100])
    assert _sizes(known, 10) == [99, *[100] * 8, 101]
