"""Preparing Criteo rows, and looking at what was written."""

from pathlib import Path

from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import PreparedData, open_data
from data_pipelines.read.preparation import Options

FORMAT, INPUTS = make_format("criteo")
OTHER_BINS = make_format("criteo", "log_of_square")[1]
OPTIONS = Options(FORMAT, INPUTS, min_count=2, block_rows=128)


def build_criteo(
    raw: Path, data_dir: Path, options: Options = OPTIONS, shown: list[str] | None = None, **arguments
) -> PreparedData:
    """The data prepared from `raw` in `data_dir`; progress output goes to `shown`."""
    build(options, [raw], data_dir, show=(shown if shown is not None else []).append, **arguments)
    return open_data(data_dir)


def files_of(directory: Path) -> dict[str, bytes]:
    """All files below a directory, by their path in it."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}
