"""Parquet files with columns of random types, for `fuzz_raw_logs.py`."""

import math
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from odd_values import ODD

from data_pipelines.fields.columns import texts
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.raw import RawReader


class ParquetFuzzer:
    """Parquet files with columns of random types."""

    def __init__(self, draw: random.Random, folder: Path):
        self._draw, self._path = draw, folder / "a.parquet"

    def run(self, lines: int) -> tuple[int, list[str]]:
        """(rows, disagreements)."""
        done, wrong = 0, []
        fields = (Input("i", "i"), Input("f", "f"), Input("s", "s"), Input("l", "l", separator="|", max_values=9))
        raw_format = RawFormat("tabular", "click", delimiter="")
        while done < lines and not wrong:
            rows = [self._row() for _ in range(min(5000, lines - done))]
            kinds = {"click": pa.int8(), "i": self._draw.choice([pa.int64(), pa.float64()]), "f": pa.float64()}
            kinds |= {"s": self._draw.choice([pa.string(), pa.large_string()]), "l": pa.list_(pa.float64())}
            pq.write_table(pa.Table.from_pylist(rows, pa.schema(kinds)), self._path)
            found = [
                (int(label), *row)
                for chunk in RawReader(raw_format, fields, [self._path], chunk_bytes=1 << 18)
                for label, row in zip(chunk.label, texts(chunk.columns).select(*"ifsl").iter_rows(), strict=True)
            ]
            expected = [(r["click"], *(self._text(r[c]) for c in "ifs"), self._list(r["l"])) for r in rows]
            wrong = [f"parquet: got {a}, expected {b}" for a, b in zip(found, expected, strict=True) if a != b][:5]
            done += len(rows)
        return done, wrong

    def _row(self) -> dict:
        draw = self._draw
        return {
            "click": draw.randrange(2),
            "i": None if draw.random() < 0.1 else draw.randrange(-(2**52), 2**52) >> draw.randrange(52),
            "f": self._float(),
            "s": draw.choice([None, *ODD]),
            "l": None if draw.random() < 0.1 else [self._float() for _ in range(draw.randrange(4))],
        }

    def _float(self) -> float | None:
        draw = self._draw
        whole = float(draw.randrange(-(2**62), 2**62) >> draw.randrange(62))
        return draw.choice([None, math.nan, math.inf, -0.0, 0.5, whole, whole, draw.randrange(10**6) / 8])

    def _text(self, value: float | int | str | None) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            return str(int(value))
        return str(value)

    def _list(self, values: list | None) -> str:
        return "|".join(filter(None, map(self._text, values or [])))
