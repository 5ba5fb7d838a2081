"""Writes a page about a training run or a comparison, in one file that needs no network:

python -m ada_ensemble_tf.report --workdir=DIR [--out=report.html]
python -m ada_ensemble_tf.report --compare=DIR [--out=report.html]
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.output import beside_output

if TYPE_CHECKING:
    from ada_ensemble_tf.reporting.page import Page

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a training run.")
_COMPARE = flags.DEFINE_string("compare", None, "Directory of a comparison: the --out of ada_ensemble_tf.compare.")
_OUT = flags.DEFINE_string("out", None, "The page; report.html in the directory by default.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data of --workdir; where it was in training by default.")
_BASELINE = flags.DEFINE_string(
    "baseline", None, "A training's directory to compare --workdir with; a logistic regression beside it by default."
)
_ROWS = flags.DEFINE_integer(
    "rows", 100_000, "Test rows for everything but the metrics, which use all rows.", lower_bound=1
)
_IMPORTANCE_ROWS = flags.DEFINE_integer(
    "importance_rows", 10_000, "Of these, rows for permutation importance.", lower_bound=1
)


def main(argv: Sequence[str]) -> None:
    """Writes the page, and prints where it is."""
    del argv
    if (_WORKDIR.value is None) == (_COMPARE.value is None):
        raise UserError("give one of --workdir and --compare")
    # Matplotlib's first drawing logs that it builds a list of fonts.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    folder = Path(_WORKDIR.value or _COMPARE.value or "")
    out = Path(_OUT.value or folder / "report.html")
    page = _comparison(folder, out) if _COMPARE.value else _run(folder)
    page.write(out)
    print(f"report: {out}", file=beside_output(out))


def _run(workdir: Path) -> "Page":
    from ada_ensemble_tf.reporting.gathering import Gathering
    from ada_ensemble_tf.reporting.run_page import run_page
    from ada_ensemble_tf.trained.workdir import Workdir

    gathering = Gathering(Workdir(workdir), _DATA_DIR.value, _ROWS.value, _IMPORTANCE_ROWS.value, _BASELINE.value)
    return run_page(gathering.evidence())


def _comparison(folder: Path, out: Path) -> "Page":
    from ada_ensemble_tf.comparison.page import comparison_page, table_of

    return comparison_page(table_of(folder), out)


if __name__ == "__main__":
    run_main(main)
