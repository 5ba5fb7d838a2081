"""Figures 4 and 5 of AdaEnsemble's paper (arXiv 2301.08353), of your own runs, as PNG files for a page of results/.

python -m experiments.figures --workdir=runs/planted/ada_ensemble --out=experiments/results/planted_figure4.png
python -m experiments.figures --compare=runs/planted/paper_figure5,runs/planted/paper_table2 --out=FILE.png

The first draws which experts the test rows keep together in each layer, and where they exit. The second draws AUC and
LogLoss over the depth and over K, for comparisons whose runs differ in one of these and in the seed, such as the
studies paper_figure5 and paper_table2. The pages of `ada_ensemble_tf.report` have both figures too.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from ada_ensemble_tf.reporting.figures import png
from data_pipelines.errors import UserError, run_main
from data_pipelines.output import complete_file
from experiments.routing import gates_of_test_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure4(workdir: str, rows: int) -> "Figure":
    """The alluvial diagram of a trained model.

    Raises:
        UserError: if its layers have no gates.
    """
    from ada_ensemble_tf.reporting.alluvial import alluvial_figure
    from ada_ensemble_tf.reporting.combinations import DEPTH

    gates, choices, _ = gates_of_test_rows(workdir, rows)
    if not gates.keys() - {DEPTH}:
        raise UserError(f"{workdir}: the layers of this model have no gates; use a dispatcher that is not a fusion")
    return alluvial_figure(gates, choices)


def figure5(comparisons: Sequence[str]) -> "Figure":
    """The curves of comparisons.

    Raises:
        UserError: if a directory is no comparison, or there is nothing to draw.
    """
    from ada_ensemble_tf.comparison.page import table_of
    from ada_ensemble_tf.comparison.series import VARIED, find_series, series_figure

    tables = [table_of(Path(folder)) for folder in comparisons]
    found = [(one, table.labels_file) for table in tables for one in find_series(table.runs)]
    if not found:
        raise UserError(f"{', '.join(comparisons)}: no two finished runs differ in {' or '.join(VARIED)} alone")
    return series_figure(found)


def main(argv: Sequence[str]) -> None:
    """Writes the file."""
    del argv
    # Matplotlib's first drawing logs that it builds a list of fonts.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    workdir, comparisons = flags.FLAGS.workdir, flags.FLAGS.compare
    if (workdir is None) == (not comparisons):
        raise UserError("give one of --workdir, for figure 4, and --compare, for figure 5")
    figure = figure5(comparisons) if comparisons else figure4(workdir, flags.FLAGS.rows)
    with complete_file(flags.FLAGS.out, "wb") as file:
        file.write(png(figure, 150))


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_string("workdir", None, "Directory of a trained AdaEnsemble: draws figure 4.")
    flags.DEFINE_list("compare", [], "Directories of comparisons, commas between: draws figure 5.")
    flags.DEFINE_string("out", None, "The PNG file.", required=True)
    flags.DEFINE_integer("rows", 100_000, "Test rows for figure 4, rounded up to whole batches.", lower_bound=1)
    run_main(main)
