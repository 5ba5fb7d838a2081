"""Seeded hashes of row numbers: which split a row belongs to, and which bucket of the shuffle.

A row's place depends on its number and the seed alone, never on its position in a chunk or on other rows.
"""

from collections.abc import Sequence

import numpy as np

SPLIT_SALT = 1
BUCKET_SALT = 2
NEGATIVE_SALT = 5
GROUP_SALT = 6
"""Salts 3 and 4 are those of the samples of numbers, in preparation and in the check-up."""


def splitmix64(values: np.ndarray) -> np.ndarray:
    """Mixes uint64 [n] into uint64 [n], one to one (Steele, Lea, Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def row_hashes(row_numbers: np.ndarray, seed: int, salt: int) -> np.ndarray:
    """uint64 [n], uniform and independent between seeds and between salts."""
    key = splitmix64(splitmix64(np.array([seed], np.uint64)) ^ np.uint64(salt))
    return splitmix64(splitmix64(row_numbers) ^ key)


def split_of_rows(row_numbers: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """The split of each row, as an index into `shares`.

    Args:
        row_numbers: int64 [n].
        shares: they sum to 1; a row falls into each with that probability, exact to 2^-52.
        seed: different seeds give different splits.

    Returns:
        int64 [n].
    """
    return split_of_hashes(row_hashes(row_numbers, seed, SPLIT_SALT), shares)


def split_of_hashes(hashes: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The split of uniform hashes uint64 [n], as an index into `shares`, which sum to 1: int64 [n]."""
    ends = [round(2**64 * share) for share in np.cumsum(shares)[:-1]]
    return np.searchsorted(np.array(ends, np.uint64), hashes, side="right")


def is_kept(row_numbers: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether each row is in a random share of all rows: bool [n]."""
    return split_of_hashes(row_hashes(row_numbers, seed, NEGATIVE_SALT), (share, 1 - share)) == 0


def bucket_of_rows(row_numbers: np.ndarray, buckets: int | np.ndarray, seed: int) -> np.ndarray:
    """A uniformly random bucket of each row: int64 [n] in [0, buckets); `buckets` may differ from row to row."""
    hashes = row_hashes(row_numbers, seed, BUCKET_SALT)
    # Scales the high 32 bits: a remainder would favour low buckets, and division is slow.
    return ((hashes >> np.uint64(32)) * np.asarray(buckets).astype(np.uint64) >> np.uint64(32)).astype(np.int64)
