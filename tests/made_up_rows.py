"""Made-up raw rows for tests."""

import numpy as np


def criteo_lines(rows: int, seed: int) -> list[str]:
    """Made-up Criteo rows: long-tailed levels, missing and negative values, labels that depend on some."""
    rng = np.random.default_rng(seed)
    numbers = np.floor(rng.lognormal(2, 2, (rows, 13))).astype(np.int64) - 1
    levels = rng.zipf(1.5, (rows, 26)) % 1000
    missing = rng.random((rows, 39)) < 0.1
    labels = rng.random(rows) < 0.15 + 0.3 * (levels[:, 0] % 2) + 0.2 * (numbers[:, 0] > 10)
    lines = []
    for label, ints, codes, gone in zip(labels, numbers, levels, missing, strict=True):
        values = [str(i) for i in ints] + [f"{code * 2654435761 % 2**32:08x}" for code in codes]
        lines.append("\t".join([str(int(label))] + ["" if g else v for v, g in zip(values, gone, strict=True)]))
    return lines
