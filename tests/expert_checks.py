"""Helpers shared by the tests of experts."""

from ada_ensemble_tf.experts import make_expert

FIELDS, DIMENSION = 39, 16
PAIRS = FIELDS * (FIELDS - 1) // 2


def default_megaflops(name: str) -> float:
    """MFLOPs per row that the expert called `name` counts with its defaults, for 39 fields of size 16."""
    expert, width = make_expert(name, FIELDS), FIELDS * DIMENSION
    expert.build((None, width), (None, width))
    return expert.flops() / 1e6
