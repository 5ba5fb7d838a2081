"""Synthetic rows in Criteo's format, written and prepared once."""

import subprocess
import sys
from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData, open_data
from data_pipelines.synthetic import write


def prepared(workdir: Path, rows: int) -> PreparedData:
    """`rows` synthetic rows, prepared by the command; reuses what an earlier call left in `workdir`.

    Raises:
        UserError: if preparation fails.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    raw, data_dir = workdir / f"{rows}.txt", workdir / f"{rows}_prepared"
    write(raw, rows)
    if not data_dir.is_dir():
        prepare = [sys.executable, "-m", "data_pipelines.prepare", "--dataset=criteo"]
        if subprocess.run([*prepare, f"--raw={raw}", f"--data_dir={data_dir}"]).returncode:
            raise UserError(f"{data_dir}: could not be prepared, see above")
    return open_data(data_dir)
