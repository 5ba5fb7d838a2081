"""Made-up rows of a table, prepared as a user's would be."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.errors import UserError


def prepare_table(folder: Path, header: str, rows: Sequence[str], fields: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows and a schema into a folder and prepares them in its folder `data`; every level is kept.

    Args:
        folder: an empty one.
        header: the names of the columns, the label's, y, among them.
        rows: lines of comma-separated values.
        fields: their declarations in the schema.

    Raises:
        UserError: if preparing them fails.
    """
    raw, schema = folder / "rows.csv", folder / "schema.json"
    raw.write_text("\n".join([header, *rows]) + "\n")
    schema.write_text(json.dumps({"label": "y", "file": {"format": "csv"}, "fields": fields}))
    command = [sys.executable, "-m", "data_pipelines.prepare", "--dataset=tabular", "--min_count=1"]
    command += [f"--schema={schema}", f"--raw={raw}", f"--data_dir={folder / 'data'}"]
    if subprocess.run(command).returncode:
        raise UserError(f"{folder}: could not be prepared, see above")
