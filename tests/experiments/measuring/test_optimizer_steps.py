"""The batches that the benchmark of optimisers times; no timing is asserted."""

import numpy as np
import pytest

from data_pipelines.errors import UserError
from experiments.measuring.optimizer_steps import BATCHES, DIMENSION, IDS, PEERS, ROW_SPARSE, batches


def test_each_batch_has_the_same_number_of_distinct_rows():
    positions, gradient = batches(500)
    assert positions.shape == (BATCHES, IDS) and gradient.shape == (IDS, DIMENSION)
    for batch in positions:
        assert np.unique(batch).tolist() == list(range(500))
    # Skewed: the most frequent tenth of the rows has more than a third of the ids.
    assert (positions < 50).mean() > 1 / 3


@pytest.mark.parametrize("distinct", [0, IDS + 1])
def test_numbers_of_rows_that_no_batch_can_have_are_refused(distinct):
    with pytest.raises(UserError, match=f"--distinct must lie in .*received {distinct}"):
        batches(distinct)


def test_each_peer_has_a_row_sparse_twin():
    assert PEERS.keys() < ROW_SPARSE.keys()
