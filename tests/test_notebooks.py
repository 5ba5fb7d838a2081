"""Runs the notebooks at a small size, in a kernel of their own as a user does."""

import re
from pathlib import Path

import nbformat
import pytest
from command_line import ROOT
from nbclient import NotebookClient

FOLDER = ROOT / "docs" / "notebooks"
SMALL = "ROWS, EPOCHS, BATCH_SIZE = 3_000, 1.0, 256"


def executed(name: str, folder: Path) -> dict[str, str]:
    """Runs all cells of a notebook in `folder`; returns what each printed or showed, by its source.

    The cell with the tag "parameters" sets the size.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    assert re.findall(r"^(\w+) = ", parameters.source, re.MULTILINE) == SMALL.partition(" = ")[0].split(", ")
    parameters.source = SMALL
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    return {cell.source: "".join(_text(output) for output in cell.outputs) for cell in cells}


def _text(output) -> str:
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else ""
    return "<image>" if "image/png" in output.data else output.data["text/plain"]


def of(shown: dict[str, str], part: str) -> str:
    """What the only cell shows whose source has `part`."""
    (found,) = (text for source, text in shown.items() if part in source)
    return found


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.ipynb")])
def test_notebooks_hold_no_outputs(name):
    """What they show depends on the size, and no test would notice if it was out of date."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)


def test_quickstart(tmp_path):
    shown = executed("quickstart", tmp_path)
    assert "'train': 2" in of(shown, "data.rows")
    auc, best = map(float, re.findall(r"0\.\d{4}", of(shown, "the click model itself")))
    assert 0.4 < auc < best
    # The SavedModel gives the scores of the model in Python.
    assert 0.0 <= float(re.search(r"[\d.e-]+(?=\))|^[\d.e-]+$", of(shown, "np.abs(served - ctr)")).group()) < 1e-5
    assert (tmp_path / "runs" / "quickstart" / "export" / "1" / "saved_model.pb").is_file()


def test_inside_ada_ensemble(tmp_path):
    shown = executed("inside_ada_ensemble", tmp_path)
    assert [of(shown, part) for part in ("alluvial_figure(gates", "png(figure)")] == ["<image>"] * 2
    # K = 1: the shares of a layer's experts sum to 1 in each group.
    groups = [list(map(float, re.findall(r"\d\.\d\d", line))) for line in of(shown, "GROUPS").splitlines()]
    assert len(groups) == 3 and all(sum(shares) == pytest.approx(1.0, abs=0.02) for shares in groups)
    flops = {
        name: float(n.replace(",", ""))
        for name, n in re.findall(r"(\w+) +([\d,]+) FLOPs", of(shown, "forwards(model)"))
    }
    assert 0.0 < flops["exit_1"] < flops["exit_2"] and flops["routed"] < 1.1 * flops["exit_2"]
