import numpy as np
import polars as pl

from data_pipelines.fields.level_index import LevelIndex


def test_positions_of_known_and_unknown_texts():
    index = LevelIndex(pl.Series(["b", "", "é", "x" * 10_000]))
    text = pl.Series(["é", "b", "B", "", "x" * 9_999, "x" * 10_000, "b "])
    assert index.positions(text).tolist() == [2, 0, -1, 1, -1, 3, -1]
    assert LevelIndex(pl.Series([], dtype=pl.String)).positions(text).tolist() == [-1] * 7
    assert index.positions(text.clear()).tolist() == []


def test_many_levels_against_a_dictionary():
    rng = np.random.default_rng(0)
    levels = [f"{v:x}" for v in rng.choice(10**6, 50_000, replace=False)]
    text = [f"{v:x}" for v in rng.integers(0, 10**6, 100_000)]
    known = {level: i for i, level in enumerate(levels)}
    assert LevelIndex(pl.Series(levels)).positions(pl.Series(text)).tolist() == [known.get(t, -1) for t in text]


def test_levels_of_equal_hash_get_another_seed(monkeypatch):
    hashes = LevelIndex._hashes

    def colliding(self, text):
        return np.full(len(text), 7, np.uint64) if self._seed == 0 else hashes(self, text)

    monkeypatch.setattr(LevelIndex, "_hashes", colliding)
    assert LevelIndex(pl.Series(["a", "b"])).positions(pl.Series(["b", "c", "a"])).tolist() == [1, -1, 0]
    # An unknown text of a level's hash is still unknown.
    monkeypatch.setattr(LevelIndex, "_hashes", lambda self, text: np.full(len(text), 7, np.uint64))
    assert LevelIndex(pl.Series(["a"])).positions(pl.Series(["b", "a"])).tolist() == [-1, 0]
