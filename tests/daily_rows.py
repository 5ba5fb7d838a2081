"""Days of a small log whose ads change, prepared so that each day extends the one before."""

from pathlib import Path

import numpy as np
import polars as pl

from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.prepare.extending import load_old
from data_pipelines.read.dataset import PreparedData, open_data
from data_pipelines.read.preparation import Options

SCHEMA = {
    "label": "y",
    "fields": [
        {"name": "ad", "kind": "categorical"},
        {"name": "price", "kind": "numeric", "bins": "none"},
        {"name": "user", "kind": "categorical"},
    ],
}
ADS = ("abcd", "abef", "egab")
"""The ads of each day."""


def write_day(path: Path, ads: str, rows: int = 600, seed: int = 0) -> Path:
    """A day's log: ads at random, click rates by ad."""
    rng = np.random.default_rng(seed)
    ad = rng.integers(0, len(ads), rows)
    rates = np.array([0.2 + 0.6 * (ord(one) % 3) / 2 for one in ads])
    columns = {
        "y": (rng.random(rows) < rates[ad]).astype(int),
        "ad": [ads[i] for i in ad],
        "price": rng.integers(1, 9, rows),
        "user": [f"u{i}" for i in rng.integers(0, 20 + 5 * seed, rows)],
    }
    pl.DataFrame(columns).write_csv(path)
    return path


def prepare_day(raw: Path, data_dir: Path, old: Path | None = None, retire_after: int = 0, schema=None, **options):
    """The prepared data of a day's log, extending those in `old`."""
    made = Options(*(schema or parse_schema(SCHEMA, "s.json")), **({"min_count": 2, "block_rows": 64} | options))
    extended = None if old is None else load_old(old, retire_after)
    build(made, [raw], data_dir, old=extended, show=lambda line: None)
    return open_data(data_dir)


def prepare_days(folder: Path) -> list[PreparedData]:
    """The days of `ADS`, each extending the one before; on the third, levels may retire after two."""
    days: list[PreparedData] = []
    for number, ads in enumerate(ADS):
        raw = write_day(folder / f"{number}.csv", ads, seed=number)
        old = days[-1].path if days else None
        days.append(prepare_day(raw, folder / f"data_{number}", old, retire_after=2 if number == 2 else 0))
    return days
