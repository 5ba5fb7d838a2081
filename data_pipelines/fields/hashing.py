"""Levels of hashed fields: a row for each bucket of a seeded hash, so no vocabulary is kept.

Row 0 is out of vocabulary, which no text of a hashed field is; row 1 is the missing value; bucket b has row b + 2. A
level's bucket is its hash (`text_hashes.py`) modulo the number of buckets. Each field has a key of its own, made from
the seed and the field's name, so that levels which collide in one field do not collide in another one.
"""

import numpy as np
import polars as pl

from data_pipelines.fields.text_hashes import hash_key, text_hashes

BUCKETS_FROM = 2
"""The row of bucket 0."""
_NAME_KEY = (0x6669656C64, 0x6E616D65)


def field_key(name: str, seed: int) -> tuple[int, int]:
    """The key of a field's hash."""
    (salt,) = text_hashes(pl.Series([name]), _NAME_KEY)
    return hash_key(seed, int(salt) >> 1)


def hashed_rows(levels: pl.Series, buckets: int, key: tuple[int, ...]) -> np.ndarray:
    """The row of each level [n] within its field: int64 [n]."""
    found = (text_hashes(levels, (key[0], key[1])) % np.uint64(buckets)).astype(np.int64) + BUCKETS_FROM
    return np.where((levels == "").to_numpy(), 1, found)


def shared_share(values: float, buckets: int) -> float:
    """The expected share of `values` different values whose bucket holds another one as well."""
    return 1 - (1 - 1 / buckets) ** max(values - 1, 0)


def estimated_values(filled: int, buckets: int) -> float:
    """About how many different values fill so many of the buckets (linear counting, Whang et al., 1990)."""
    empty = max(buckets - filled, 1) / buckets
    return -buckets * float(np.log(empty))
