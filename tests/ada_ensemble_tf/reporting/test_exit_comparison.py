import numpy as np
import pytest

from ada_ensemble_tf.reporting.exit_comparison import Scored, compare, summary, table
from data_pipelines.errors import UserError

# Exit 1 is right of the first two rows and knows nothing of the others, exit 2 the other way round.
LABELS = np.array([1.0, 0.0, 1.0, 0.0])
EXITS = np.array([[0.8, 0.5], [0.2, 0.5], [0.5, 0.8], [0.5, 0.2]])
KNOWN, UNKNOWN = -np.log(0.8), np.log(2.0)


def ways(chosen):
    chosen = np.array(chosen)
    routed = EXITS[np.arange(4), chosen]
    return compare(Scored(LABELS, routed, EXITS, chosen, np.array([3e6, 1e6, 4e6])))


def test_ways_by_hand():
    found = ways([0, 0, 1, 1])
    assert list(found) == ["as routed", "exit_1", "exit_2", "random exits"]
    gap = (UNKNOWN - KNOWN) / 2
    # Two rows of four cost nothing more, two cost 2 * gap: a variance of gap^2 * 4 / 3.
    np.testing.assert_allclose(found["as routed"], [1.0, KNOWN, 0.0, 0.0, 3e6], rtol=1e-6)
    for name, flops in (("exit_1", 1e6), ("exit_2", 4e6)):
        np.testing.assert_allclose(found[name], [0.5, KNOWN + gap, gap, gap / np.sqrt(3), flops], rtol=1e-6)
    # Each row has the mean of its two exits.
    np.testing.assert_allclose(found["random exits"], [1.0, KNOWN + gap, gap, 0.0, 2.5e6], rtol=1e-6, atol=1e-9)
    assert "| exit_2 | 50.0% | 0.45815 | +0.23500 | 0.13568 | 4.000 |" in table(found)


def test_random_exits_have_the_routed_shares():
    found = ways([0, 0, 0, 1])["random exits"]
    expected = np.mean([0.75 * KNOWN + 0.25 * UNKNOWN] * 2 + [0.75 * UNKNOWN + 0.25 * KNOWN] * 2)
    assert found.logloss == pytest.approx(expected) and found.flops == pytest.approx(1.75e6)


def test_summary_over_runs():
    one, other = ways([0, 0, 1, 1]), ways([1, 0, 1, 1])
    text = summary([one, other])
    low, high = sorted(run["exit_1"].difference for run in (one, other))
    assert f"| exit_1 | {(low + high) / 2:+.5f} | {(high - low) / 2:.5f} |" in text
    assert "mean of 2 runs" in text and "| as routed | +0.00000 | 0.00000 |" in text
    shallower = {name: way for name, way in one.items() if name != "exit_2"}
    with pytest.raises(UserError, match="different numbers of exits"):
        summary([one, shallower])
