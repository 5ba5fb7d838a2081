"""A seeded hash of texts that is the same on every machine, in every version and in TensorFlow's graph.

SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012) of a text's UTF-8 bytes, which is also what
`tf.strings.to_hash_bucket_strong` computes.
"""

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.row_hashes import splitmix64

_INITIAL = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def hash_key(seed: int, salt: int) -> tuple[int, int]:
    """A key, as two words below 2^63 (TensorFlow takes them as int64), that differs between seeds and between salts."""
    mixed = splitmix64(splitmix64(np.array([seed, seed], np.uint64)) ^ np.array([2 * salt, 2 * salt + 1], np.uint64))
    return int(mixed[0] >> np.uint64(1)), int(mixed[1] >> np.uint64(1))


def text_hashes(text: pl.Series, key: tuple[int, int]) -> np.ndarray:
    """uint64 [n] of texts [n] without nulls."""
    array = text.to_arrow().cast(pa.large_string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    # Eight zeros more, so that the last word can always be read whole.
    stored = np.frombuffer(data, np.uint8)[: ends[-1]] if data is not None else np.empty(0, np.uint8)
    stored = np.concatenate([stored, np.zeros(8, np.uint8)])
    starts, lengths = ends[:-1], np.diff(ends)
    state = [np.full(len(array), word ^ key[i % 2], np.uint64) for i, word in enumerate(_INITIAL)]
    with np.errstate(over="ignore"):
        # Long texts first, so that those which still have words are the first rows.
        order = np.argsort(-lengths, kind="stable")
        starts, lengths = starts[order], lengths[order]
        whole = lengths // 8
        for i in range(int(whole.max(initial=0))):
            _absorb([part[: np.searchsorted(-whole, -i, side="left")] for part in state], stored, starts + 8 * i)
        left = (8 * (lengths % 8)).astype(np.uint64)
        last = _words(stored, starts + 8 * whole) & ((np.uint64(1) << left) - np.uint64(1))
        _compress(state, last | (lengths.astype(np.uint64) << np.uint64(56)))
        state[2] ^= np.uint64(0xFF)
        for _ in range(4):
            _round(state)
        found = np.empty(len(array), np.uint64)
        found[order] = state[0] ^ state[1] ^ state[2] ^ state[3]
    return found


def _absorb(state: list[np.ndarray], stored: np.ndarray, at: np.ndarray) -> None:
    _compress(state, _words(stored, at[: len(state[0])]))


def _words(stored: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The eight bytes from each position [n] on, as little-endian uint64 [n]."""
    return np.ascontiguousarray(stored[at[:, None] + np.arange(8)]).view("<u8")[:, 0]


def _compress(state: list[np.ndarray], word: np.ndarray) -> None:
    state[3] ^= word
    _round(state)
    _round(state)
    state[0] ^= word


def _round(state: list[np.ndarray]) -> None:
    """One SipRound, in place."""
    a, b, c, d = state
    a += b
    _rotate(b, 13)
    b ^= a
    _rotate(a, 32)
    c += d
    _rotate(d, 16)
    d ^= c
    a += d
    _rotate(d, 21)
    d ^= a
    c += b
    _rotate(b, 17)
    b ^= c
    _rotate(c, 32)


def _rotate(words: np.ndarray, bits: int) -> None:
    words[:] = (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
