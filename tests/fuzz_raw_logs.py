"""Reads mutated raw logs with the project and with a plain parser; the two must agree on every row.

python tests/fuzz_raw_logs.py --lines=500000 --seed=0 [--formats=criteo,tabular_csv]

For each format it makes up rows, mutates nine lines in ten (bytes, fields, values, line ends, quotes), writes them to
small files and reads those in chunks of random size. Row by row the two must agree on what is bad, on each text, on the
label and on the category of a text. It prints one line per format and exits with 1 at the first disagreements.
"""

import argparse
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# The checkout comes first: beside tests/, tests/data_pipelines would pass for the package.
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import plain_raw_parser as plain  # noqa: E402
import polars as pl  # noqa: E402
from odd_parquet import ParquetFuzzer  # noqa: E402
from odd_values import ODD  # noqa: E402

from data_pipelines.errors import UserError  # noqa: E402
from data_pipelines.fields.canonical import canonical  # noqa: E402
from data_pipelines.fields.columns import texts  # noqa: E402
from data_pipelines.fields.declarations import TRANSFORMS, Input, RawFormat  # noqa: E402
from data_pipelines.formats import make_format  # noqa: E402
from data_pipelines.formats.tabular import parse_schema  # noqa: E402
from data_pipelines.raw import RawReader  # noqa: E402
from data_pipelines.raw.clicks import ClickLog  # noqa: E402

BYTES = b'\t,;|"\r\n\0\xff\xc3\xef\xbb\xbf 01-.eE+x'
TABLE = (
    *({"name": name, "kind": "categorical"} for name in ("a", "b", "c")),
    {"name": "n", "kind": "numeric"},
    {"name": "v", "kind": "numeric", "bins": "none"},
    {"name": "tags", "kind": "multi_valued"},
    {"name": "hour", "kind": "time", "part": "hour_of_day", "column": "at", "format": "YYMMDDHH"},
    {"name": "weekday", "kind": "time", "part": "weekday", "column": "on", "format": "iso8601"},
)
TABLE_COLUMNS = ("click", "a", "b", "c", "n", "v", "tags", "at", "on", "unread")
FILES = {"tabular_csv": {}, "tabular_csv_unquoted": {"quoted": False}, "tabular_tsv": {"format": "tsv"}}
FORMATS = ("criteo", "avazu", "ipinyou", "ipinyou_contest", *FILES, "tabular_parquet")


def columns_of(name: str, raw_format: RawFormat, fields: Sequence[Input]) -> list[str]:
    """The columns of a made-up file, including those that are not read."""
    if name in FILES:
        return list(TABLE_COLUMNS)
    if raw_format.columns:
        return list(raw_format.columns)
    return [raw_format.label, *dict.fromkeys(field.column for field in fields), "unread"]


def made_up(draw: random.Random, column: str, kinds: Sequence[str]) -> str:
    """A good value of a column, now and then an odd one."""
    if draw.random() < 0.005:
        return draw.choice(ODD)
    kind = next((kind for kind in kinds if kind != "text"), "text")
    if kind == "label":
        return draw.choice("0001")
    if kind in ("integer", "price"):
        return str(draw.randrange(-3, 2000)) if draw.random() < 0.9 else ""
    if kind == "number":
        return repr(draw.gauss(0, 100)) if draw.random() < 0.9 else ""
    month, day = f"{draw.randrange(1, 13):02d}", f"{draw.randrange(1, 32):02d}"
    if kind in ("YYMMDDHH", "YYYYMMDDHH"):
        return f"{'20' if kind == 'YYYYMMDDHH' else ''}14{month}{day}{draw.randrange(24):02d}"
    if kind == "iso8601":
        return f"2014-{month}-{day}{draw.choice(['', ' 23', 'T05:00'])}"
    return draw.choice([f"{draw.randrange(1 << 32):08x}", f"{draw.randrange(50)}", "", "word é", "a|b|c"])


def mutated(draw: random.Random, line: bytes, other: bytes, delimiter: bytes) -> bytes:
    """A line with something wrong, or merely unusual."""
    at, kind = draw.randrange(len(line) + 1), draw.randrange(10)
    byte = bytes([draw.choice(BYTES) if draw.random() < 0.8 else draw.randrange(256)])
    if kind == 0:
        return line[:at] + line[at + 1 :]
    if kind == 1:
        return line[:at] + byte + line[at:]
    if kind == 2:
        return line[:at] + byte + line[at + 1 :]
    if kind == 3:
        return line[:at]
    if kind == 4:
        return line[:at] + other[draw.randrange(len(other) + 1) :]
    values = line.split(delimiter)
    field = draw.randrange(len(values))
    if kind == 5:
        values.insert(field, draw.choice(values))
    elif kind == 6:
        del values[field]
    elif kind == 7:
        where = draw.randrange(len(values))
        values[field], values[where] = values[where], values[field]
    else:
        values[field] = draw.choice(ODD).encode()
    return delimiter.join(values)


def in_quotes(draw: random.Random, line: bytes, delimiter: bytes) -> bytes:
    """The line with some values in quotes; some of these contain text that only quotes can contain."""
    values = line.split(delimiter)
    for i in range(len(values)):
        if draw.random() < 0.2:
            inside = draw.choice([b"", b"", b"", delimiter, b'""', b"\n", b"\r\n"])
            values[i] = b'"' + values[i].replace(b'"', b'""') + inside + b'"'
    return delimiter.join(values)


class TextFuzzer:
    """Files of one format of text."""

    def __init__(self, name: str, draw: random.Random, folder: Path):
        self._name, self._draw, self._path, self._folder = name, draw, folder / name, folder
        if name in FILES:
            raw = {"label": "click", "file": FILES[name], "fields": [dict(field) for field in TABLE]}
            self._format, self._fields = parse_schema(raw, "schema")
        else:
            self._format, self._fields = make_format(name, with_hour=name == "avazu")
        self._columns = columns_of(name, self._format, self._fields)
        self._kinds: dict[str, list[str]] = {}
        for field in self._fields:
            self._kinds.setdefault(field.column, []).append(field.reading.time or TRANSFORMS[field.transform])
        self._read = [*self._kinds, *(self._format.click_key or [self._format.label])]
        self._delimiter = self._format.delimiter.encode()
        self._clicks: ClickLog | None = None
        self._clicked: set[tuple[str, ...]] = set()

    def run(self, lines: int) -> tuple[int, list[str]]:
        """(mutated lines, disagreements)."""
        done, wrong = 0, []
        while done < lines and len(wrong) < 5:
            done += self._write(min(2000, max(lines - done, 5)))
            wrong += self._compare()
        return done, wrong

    def _line(self) -> bytes:
        kinds = self._kinds | ({} if self._format.click_key else {self._format.label: ["label"]})
        return self._delimiter.join(made_up(self._draw, c, kinds.get(c, ["text"])).encode() for c in self._columns)

    def _write(self, count: int) -> int:
        draw, lines, changed = self._draw, [self._delimiter.join(c.encode() for c in self._columns)], 0
        # A quote out of place ends a file, so most files of quoted text have none.
        bare = self._format.quoted and draw.random() < 0.3
        count = count if bare or not self._format.quoted else min(count, 20)
        good = [self._line().replace(b"\n", b"") for _ in range(count)]
        if self._format.click_key:
            self._set_clicks(good)
        for line in good:
            if draw.random() < 0.9:
                changed += 1
                for _ in range(draw.choice([1, 1, 1, 1, 2])):
                    line = mutated(draw, line, draw.choice(good), self._delimiter)
            line = line.replace(b'"', b"") if bare else line
            lines.append(in_quotes(draw, line, self._delimiter) if self._format.quoted else line)
        lines = lines if self._format.has_header else lines[1:]
        start, end = draw.choice([b"", b"", b"", b"\xef\xbb\xbf"]), draw.choice([b"\n", b"\n", b"\r\n"])
        self._path.write_bytes(start + end.join(lines) + draw.choice([end, end, b""]))
        return changed

    def _set_clicks(self, lines: Sequence[bytes]) -> None:
        path, key = self._folder / "clicks", self._format.click_key
        rows = [line.decode().split("\t") for line in lines if not set(b'\r\n"') & set(line)]
        rows = [row for row in rows if len(row) == len(self._columns)][:100]
        path.write_text("".join("\t".join(row) + "\n" for row in rows), newline="")
        places = [self._columns.index(name) for name in key]
        clicks = plain.parse(path.read_bytes(), "\t", False, len(self._columns), False)
        self._clicked = {tuple(row.values[i] for i in places) for row in clicks if row.values}
        self._clicks = ClickLog.read([path], self._format)

    def _compare(self) -> list[str]:
        bad: list[str] = []
        chunk_bytes = 300 if self._draw.random() < 0.02 else self._draw.choice([50_000, 1 << 20])
        found, expected, error, expected_error = {}, {}, None, None
        try:
            reader = RawReader(
                self._format, self._fields, [self._path], chunk_bytes=chunk_bytes, clicks=self._clicks,
                on_bad_row=bad.append,
            )  # fmt: skip
            for chunk in reader:
                frame = texts(chunk.columns)
                for number, label, row in zip(chunk.row_numbers, chunk.label, frame.iter_rows(named=True), strict=True):
                    found[int(number)] = (int(label), row)
        except UserError as refused:
            error = str(refused)
        rows, bad_lines = [], []
        try:
            size, header = len(self._columns), self._format.has_header
            delimiter, quoted = self._format.delimiter, self._format.quoted
            rows.extend(plain.parse(self._path.read_bytes(), delimiter, quoted, size, header))
        except plain.FileError as refused:
            expected_error = refused.args[0]
        if error is not None or expected_error is not None:
            if error is None or f"{self._path}:{expected_error}: a quote " not in error:
                return [f"{self._name}: refused as {error!r}, but a quote is out of place in line {expected_error}"]
            # What came before must be right all the same.
            rows = rows[: max(found, default=-1) + 1]
        for number, row in enumerate(rows):
            good = row.values is not None and self._values(row.values)
            if good:
                expected[number] = good
            else:
                bad_lines.append(row.line)
        told = {int(text.removeprefix(f"{self._path}:").split(":")[0]): text for text in bad}
        if error is None and list(told) != bad_lines:
            lines = sorted(told.keys() ^ set(bad_lines))
            known = {row.line: row.values for row in rows}
            return [f"{self._name}: line {n}: {told.get(n, 'taken')}, expected {known.get(n)}" for n in lines[:3]]
        return self._differences(found, expected)

    def _values(self, values: list[str]) -> tuple[int, dict[str, str]] | None:
        """(label, texts) of a good row."""
        row = dict(zip(self._columns, values, strict=True))
        if not all(plain.is_utf8(row[column]) for column in self._read):
            return None
        if any(not plain.KINDS[kind](row[column]) for column, kinds in self._kinds.items() for kind in kinds):
            return None
        if self._format.click_key:
            label = int(tuple(row[name] for name in self._format.click_key) in self._clicked)
        else:
            label = plain.label(row[self._format.label])
        return None if label is None else (label, {column: row[column] for column in self._kinds})

    def _differences(self, found: dict, expected: dict) -> list[str]:
        wrong = []
        for number in sorted(found.keys() | expected.keys()):
            one, other = found.get(number), expected.get(number)
            if one is None or other is None or one[0] != other[0] or any(one[1][c] != other[1][c] for c in other[1]):
                wrong.append(f"{self._name}: row {number}: got {one!r:.300}, expected {other!r:.300}")
        known = sorted({text for _, row in expected.values() for text in row.values()})
        categories = canonical(pl.Series(known, dtype=pl.String)).to_list()
        wrong += [
            f"{self._name}: {text!r} is category {one!r}, not {plain.category(text)!r}"
            for text, one in zip(known, categories, strict=True)
            if one != plain.category(text)
        ]
        return wrong[:5]


def fuzz(name: str, lines: int, seed: int, folder: Path) -> tuple[int, list[str]]:
    """(mutated lines, the first disagreements) of a format."""
    draw = random.Random(f"{seed} {name}")
    fuzzer = ParquetFuzzer(draw, folder) if name == "tabular_parquet" else TextFuzzer(name, draw, folder)
    return fuzzer.run(lines)


def main() -> int:
    """Fuzzes the formats that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000, help="mutated lines of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS))
    arguments = parser.parse_args()
    failed = False
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for name in arguments.formats.split(","):
            done, wrong = fuzz(name, arguments.lines, arguments.seed, Path(folder))
            print(f"{name}: {done:,} mutated lines, {len(wrong)} read otherwise", flush=True)
            for line in wrong:
                print("  " + line)
            failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
