"""Criteo-format rows from a planted click model, so that the best possible AUC and LogLoss are known.

    python -m data_pipelines.synthetic --rows=1000000 --out=train.txt [--seed=0]

It writes those figures to train.txt.json beside train.txt. C17 names a row's group, and each group needs different
interactions. With latents z of mean 0 and variance 1 over the rows that have a value, 0 where it is missing:

    logit = bias + sum over terms t of the row's group and of "every":
            weight_t / sqrt(R_t) * sum_{r < R_t} prod_{c in t} z_{c,r}(value of column c)

    group      rows   terms (`TERMS`)
    every      100 %  weak effects of C1, C13, C20, C25, I5, I13; columns not named here are nuisance
    additive    34 %  C14 + I6 + I11
    pair        30 %  C2 x C8 (R = 2), C23 x I9
    triple      36 %  C5 x C6 x I7, C9 x C18 x I8; and, weaker, their pairs, whose gradient leads there

A numeric value counts by its bin: v up to 2, floor(ln(v)^2) above. As latents are centred, one-hot sums get
48 % of the way from AUC 0.5 to the best; knowing what to cross gets 97 %. All seeds share the click model.
"""

import contextlib
import functools
import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import polars as pl
from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.fields.rules import LOG_SQUARE_BOUNDARIES
from data_pipelines.output import beside_output, complete_file, is_written_through, write_complete
from data_pipelines.progress import Progress
from data_pipelines.truth import load_figures

# fmt: off
NUMERIC = {  # mu, sigma, shift: integers floor(exp(mu + sigma * normal)) - shift
    "I1": (0.3, 1.5, 0), "I2": (1.6, 2.4, 1), "I3": (2.0, 1.5, 0), "I4": (1.5, 1.2, 0), "I5": (7.8, 2.2, 0),
    "I6": (3.7, 1.7, 0), "I7": (1.3, 1.7, 0), "I8": (2.0, 1.3, 0), "I9": (3.7, 1.6, 0), "I10": (-0.3, 0.8, 0),
    "I11": (0.5, 1.1, 0), "I12": (-0.5, 1.5, 0), "I13": (1.7, 1.2, 0),
}
CATEGORICAL = {  # levels, exponent: the frequency falls about as rank ** -exponent
    "C1": (1_400, 1.3), "C2": (20, 0.7), "C3": (10_000_000, 1.0), "C4": (2_000_000, 1.05), "C5": (12, 0.7),
    "C6": (10, 0.7), "C7": (12_000, 0.7), "C8": (20, 0.7), "C9": (3, 0.7), "C10": (90_000, 0.9),
    "C11": (5_500, 0.75), "C12": (8_000_000, 1.0), "C13": (3_200, 0.75), "C14": (26, 0.8),
    "C15": (14_000, 0.85), "C16": (5_000_000, 1.0), "C17": (10, 0.6), "C18": (15, 0.7), "C19": (2_200, 1.2),
    "C20": (4, 0.3), "C21": (7_000_000, 1.0), "C22": (18, 1.2), "C23": (15, 0.7), "C24": (280_000, 1.1),
    "C25": (100, 1.1), "C26": (90_000, 1.1),
}
MISSING = {  # Criteo's rates; the columns of a block are missing together, as in Criteo's own rows
    ("I1", "I10", "C19", "C20", "C25", "C26"): 0.45, ("I3",): 0.2, ("I4", "I13"): 0.2, ("I6",): 0.25,
    ("I5", "I7", "I9", "I11"): 0.05, ("I12",): 0.77, ("C3", "C4", "C12", "C16", "C21", "C24"): 0.036,
    ("C6",): 0.13, ("C22",): 0.81,
}
# fmt: on
GROUPS = ("additive", "pair", "triple")
GROUP_COLUMN, GROUP_OF_RANK = "C17", (2, 1, 0, 0, 1, 2, 2, 1, 0, 0)  # rank 0: the most frequent level
TERMS = (  # rows it is for, columns, weight
    *(("every", (name,), 0.2) for name in ("C13", "C20", "C25")),
    *(("every", (name,), weight) for name, weight in (("I5", 0.3), ("I13", 0.4), ("C1", 0.5))),
    *(("additive", (name,), weight) for name, weight in (("I11", 0.7), ("I6", 0.9), ("C14", 0.9))),
    *(("pair", columns, 1.3) for columns in (("C2", "C8"), ("C23", "I9"))),
    *(("triple", columns, 1.3) for columns in (("C5", "C6", "I7"), ("C9", "C18", "I8"))),
    *(("triple", columns, 0.5) for columns in (("C5", "C6"), ("C5", "I7"), ("C6", "I7"))),
    *(("triple", columns, 0.5) for columns in (("C9", "C18"), ("C9", "I8"), ("C18", "I8"))),
)
LATENT_RANK = {"C2": 2, "C8": 2}  # 1 for the others
BASE_RATE, CHUNK_ROWS = 0.25, 100_000
FIGURES = ("rows", "base_rate", "bayes_auc", "bayes_logloss")
_MODEL_VERSION, _MODEL_SEED, _CALIBRATION_ROWS, _BINS = 1, 230108353, 200_000, 256
_LEVELS_WITH_EFFECT = 60  # effects of rarer levels could not be learned but would count as reachable AUC
_HEX = pl.Series([f"{number:04x}" for number in range(1 << 16)])
_Draw = dict[str, tuple[np.ndarray, np.ndarray]]  # column -> its integers or level ranks [n], missing [n]


class Chunk(NamedTuple):
    """Rows and their truth; frame: label, I1..C26; the arrays are [n], groups being indices into `GROUPS`."""

    frame: pl.DataFrame
    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray


def generate(rows: int, seed: int = 0, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
    """Yields `rows` rows in chunks; a chunk depends only on its size, its number and `seed`.

    Raises:
        UserError: rows or chunk_rows below 1, or a negative seed.
    """
    for name, value, least in (("rows", rows, 1), ("chunk_rows", chunk_rows, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"{name} should be at least {least}, got {value}")
    from scipy.special import expit

    latents, bias = _model()
    for number, first in enumerate(range(0, rows, chunk_rows)):
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(number,))))
        draw = _draw(rng, min(chunk_rows, rows - first))
        groups = np.array(GROUP_OF_RANK, np.int8)[draw[GROUP_COLUMN][0]]
        probabilities = expit(_logit_less_bias(draw, latents, groups) + bias)
        labels = (rng.random(len(groups)) < probabilities).astype(np.int8)
        columns = [pl.Series("label", labels), *(_text(name, *draw[name]) for name in draw)]
        yield Chunk(pl.DataFrame(columns), labels, probabilities, groups)


def group_of(levels: pl.Series) -> np.ndarray:
    """Indices into `GROUPS`, int8 [n], of the texts of C17. UserError: a text is not one of its levels."""
    known = _text(GROUP_COLUMN, np.arange(len(GROUP_OF_RANK)), np.zeros(len(GROUP_OF_RANK), bool))
    if not levels.is_in(known.implode()).all() or levels.null_count():
        raise UserError(f"{GROUP_COLUMN} should hold only {', '.join(known)}, got others")
    return levels.replace_strict(known, pl.Series(GROUP_OF_RANK), return_dtype=pl.Int8).to_numpy()


def write(out: str | Path, rows: int, seed: int = 0, show: Callable[[str], None] = print) -> dict:
    """Writes the rows (gzip if `out` ends in .gz) and, as `out`.json, the figures that it returns.

    The file of rows gets its name last, when everything is complete. A pipe or device gets only the rows. Memory: one
    chunk, and about 60 bytes per row for the AUC.

    Raises:
        UserError: bad arguments, or `out` exists and holds different rows (the same rows are left alone).
        OSError: the directory cannot be written, or the disk is full.
    """
    out, request = Path(out), {"rows": rows, "seed": seed, "model_version": _MODEL_VERSION}
    beside = None if is_written_through(out) else out.with_name(out.name + ".json")
    if beside is not None and not os.access(out.parent, os.W_OK):
        raise UserError(f"{out.parent} is not a directory that can be written; make it or choose another --out")
    if beside is not None and out.exists():
        found = load_figures(beside, f"delete it and {out}, or choose another --out") if beside.exists() else {}
        if request.items() <= found.items():
            show(f"{out} is already there")
            return found
        held = {key: found.get(key, "unknown") for key in request}
        raise UserError(f"{out} exists with {held}, asked for {request}; delete it or choose another --out")
    truth, done, progress = [], 0, Progress(str(out), rows, show)
    with complete_file(out, "wb") as file, progress:
        # No name and no time in the gzip header: the same request gives the same bytes.
        zipped = cast(IO[bytes], gzip.GzipFile("", "wb", 1, file, mtime=0)) if out.suffix == ".gz" else None
        packed = zipped or contextlib.nullcontext(file)
        with packed as sink:
            for chunk in generate(rows, seed):
                chunk.frame.write_csv(sink, separator="\t", include_header=False, quote_style="never")
                truth.append(chunk[1:])
                done += len(chunk.labels)
                progress.update(done, done)
        figures = request | _figures(*(np.concatenate(arrays) for arrays in zip(*truth, strict=True)))
        if beside is not None:
            write_complete(beside, json.dumps(figures, indent=2) + "\n")
    return figures


def main(argv: Sequence[str]) -> None:
    """Runs `write` on the flags and prints the best figures that a model can reach."""
    del argv
    show = functools.partial(print, flush=True, file=beside_output(flags.FLAGS.out))
    figures = write(flags.FLAGS.out, flags.FLAGS.rows, flags.FLAGS.seed, show)
    show(", ".join(f"{name} {figures[name]}" for name in FIGURES))


def _draw(rng: np.random.Generator, rows: int) -> _Draw:
    gaps: dict[str, np.ndarray] = {}
    for names, rate in MISSING.items():
        gaps |= dict.fromkeys(names, rng.random(rows) < rate)
    draw = {}
    for name, (mu, sigma, shift) in NUMERIC.items():
        draw[name] = np.exp(mu + sigma * rng.standard_normal(rows)).astype(np.int64) - shift
    for name, (levels, exponent) in CATEGORICAL.items():
        # Inverse of the continuous power law on [1, levels + 1): no table, however many levels.
        power, top, uniform = 1 - exponent, levels + 1.0, rng.random(rows)
        ranks = top**uniform if power == 0 else ((top**power - 1) * uniform + 1) ** (1 / power)
        draw[name] = np.minimum(ranks.astype(np.int64), levels) - 1
    return {name: (values, gaps.get(name, np.zeros(rows, bool))) for name, values in draw.items()}


def _text(name: str, values: np.ndarray, missing: np.ndarray) -> pl.Series:
    series = pl.Series(name, values)
    if name in CATEGORICAL:
        # MurmurHash3's finaliser, a bijection of the 32-bit integers: no two levels of a column collide.
        x = values.astype(np.uint32) + np.uint32(int(name[1:]) * 0x9E3779B1 % 2**32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        series = (_HEX.gather(x >> np.uint32(16)) + _HEX.gather(x & np.uint32(0xFFFF))).alias(name)
    return series.set(pl.Series(missing), None) if missing.any() else series


def _table_rows(name: str, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Rows of a column's latent table [_BINS + 1, R]: the last one is for missing values."""
    if name in NUMERIC:
        large = np.searchsorted(LOG_SQUARE_BOUNDARIES[: _BINS - 4], values, side="right") + 3
        values = np.where(values <= 2, np.maximum(values, -1) + 1, large)
    return np.where(missing, _BINS, np.minimum(values, _BINS - 1))


def _logit_less_bias(draw: _Draw, latents: dict[str, np.ndarray], groups: np.ndarray) -> np.ndarray:
    z = {name: table[_table_rows(name, *draw[name])] for name, table in latents.items()}
    logit = np.zeros(len(groups))
    for group, columns, weight in TERMS:
        product = functools.reduce(np.multiply, (z[name] for name in columns))
        term = weight / np.sqrt(product.shape[1]) * product.sum(axis=1)
        logit += term if group == "every" else term * (groups == GROUPS.index(group))
    return logit


@functools.cache
def _model() -> tuple[dict[str, np.ndarray], float]:
    """The latent tables and the bias that gives `BASE_RATE`, both set on the model's own sample of rows."""
    from scipy import optimize, special

    rng = np.random.Generator(np.random.Philox(_MODEL_SEED))
    draw, latents = _draw(rng, _CALIBRATION_ROWS), {}
    for name in sorted({name for _, columns, _ in TERMS for name in columns}):
        rank = LATENT_RANK.get(name, 1)
        if name in NUMERIC:
            # A wave over the bins: smooth but not monotone, so that no single slope can replace it.
            speed, phase = rng.uniform(0.6, 1.0, rank), rng.uniform(0, 2 * np.pi, rank)
            table, used = np.sin(np.sqrt(np.arange(_BINS))[:, None] * speed + phase), _BINS
        else:
            # Kept away from zero; otherwise most products of three would be too small to notice.
            table = rng.uniform(0.5, 1.5, (_BINS, rank)) * rng.choice([-1, 1], (_BINS, rank))
            used = _LEVELS_WITH_EFFECT
        counts = np.bincount(_table_rows(name, *draw[name]), minlength=_BINS + 1)[:_BINS, None]
        table[:used] -= (counts * table)[:used].sum(axis=0) / counts[:used].sum()
        table[used:] = 0
        table /= np.sqrt((counts * table**2).sum(axis=0) / counts.sum())
        latents[name] = np.vstack([table, np.zeros(rank)])
    logit = _logit_less_bias(draw, latents, np.array(GROUP_OF_RANK)[draw[GROUP_COLUMN][0]])
    return latents, optimize.brentq(lambda bias: special.expit(logit + bias).mean() - BASE_RATE, -10, 10)


def _figures(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> dict:
    from sklearn.metrics import log_loss, roc_auc_score

    found = []
    for rows in (groups >= 0, *(groups == index for index in range(len(GROUPS)))):
        truth = labels[rows], probabilities[rows]
        known = len(np.unique(labels[rows])) == 2  # otherwise there is no AUC, and JSON has null but no NaN
        scores = (float(score(*truth)) if known else None for score in (roc_auc_score, log_loss))
        base_rate = float(labels[rows].mean()) if rows.any() else None
        found.append(dict(zip(FIGURES, (int(rows.sum()), base_rate, *scores), strict=True)))
    terms = [f"{group}: {weight} * {' * '.join(columns)}" for group, columns, weight in TERMS]
    logit = {"bias": _model()[1], "group_column": GROUP_COLUMN, "terms": terms, "latent_rank": LATENT_RANK}
    return found[0] | {"groups": dict(zip(GROUPS, found[1:], strict=True)), "logit": logit}


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_integer("rows", None, "Number of rows.", required=True)
    flags.DEFINE_string("out", None, "File to write, gzip if it ends in .gz.", required=True)
    flags.DEFINE_integer("seed", 0, "Seed of the rows; the click model is the same for all seeds.")
    run_main(main)
