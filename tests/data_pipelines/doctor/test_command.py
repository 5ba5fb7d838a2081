import json
import subprocess
import sys

import command_line
import pytest
from doctor_tables import as_json
from made_up_rows import criteo_lines

from data_pipelines.doctor.prepared import examine_prepared


def _doctor(*flags):
    command = [sys.executable, "-m", "data_pipelines.doctor", *map(str, flags)]
    return subprocess.run(command, cwd=command_line.ROOT, capture_output=True, text=True, timeout=120)


def test_command_on_prepared_data(prepared_criteo, tmp_path):
    finished = _doctor(f"--data_dir={prepared_criteo}", "--embedding_dimension=8", "--optimizer=sgd")
    assert finished.returncode == 0, finished.stderr
    report = examine_prepared(prepared_criteo, 8, "sgd")
    assert finished.stdout == report.to_text() + "\n"
    flags = (f"--data_dir={prepared_criteo}", "--embedding_dimension=8", "--optimizer=sgd", "--json")
    assert json.loads(command_line.run_forked("data_pipelines.doctor", *flags)) == as_json(report)


def test_command_on_raw_data(tmp_path):
    raw = tmp_path / "train.txt"
    raw.write_text("\n".join([*criteo_lines(500, seed=1), "1\tx"]) + "\n")
    process = command_line.start_forked("data_pipelines.doctor", f"--raw={raw}", "--dataset=criteo", "--json")
    assert process.wait() == 1 and "Traceback" not in process.err
    content = json.loads(process.out)
    assert content["errors"] == 1
    assert content["findings"][0]["message"].startswith("1 bad rows")
    shown = command_line.run_forked("data_pipelines.doctor", f"--raw={raw}", "--dataset=criteo", "--max_bad_rows=1")
    assert f"bad row: {raw}:501: the line has 2 fields instead of 40" in shown


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "name what to check: --data_dir, or --raw with --dataset or --suggest_schema"),
        (["--raw=x", "--data_dir=y"], "name what to check"),
        (["--raw=x"], "--raw needs --dataset, or --suggest_schema"),
        (["--raw=x", "--dataset=tabular"], "--schema says what the columns of --dataset=tabular are"),
        (["--raw=none.csv", "--suggest_schema=out.json"], "none.csv: raw file not found"),
    ],
)
def test_command_bad_requests(flags, message):
    assert message in command_line.error_in_process("data_pipelines.doctor", *flags)
