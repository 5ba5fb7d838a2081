"""What an earlier run left of a preparation is checked before it is used."""

import pytest

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.prepare.source import Counted
from data_pipelines.prepare.staging import Staging, staged_directory


@pytest.mark.parametrize("content", [b"[]", b'{"identity": 1}', b"[" * 100_000, b'{"identity": NaN}', b""])
def test_a_malformed_stage_of_preparation_is_told_and_begun_again(tmp_path, caplog, content):
    folder = tmp_path / "data.preparing"
    Checksums(folder).write({"stage.json": content})
    with staged_directory(tmp_path / "data", "me") as staging:
        assert staging.stage == "" and not (folder / "stage.json").exists()
    assert (
        "is damaged" in caplog.text and str(folder / "stage.json") in caplog.text and "starting afresh" in caplog.text
    )


@pytest.mark.parametrize(
    "found, reason",
    [
        ({"bad_rows": 0}, "found.rows|key 'rows' is missing"),
        ({"rows": [[1, 2]], "bad_rows": 0}, "rows"),
        ({"rows": [[1, 2], [3, 4], [5, "6"]], "bad_rows": 0}, "rows\\[2\\]\\[1\\]: expected int, got '6'"),
        ({"rows": [[1, 2], [3, 4], [5, -6]], "bad_rows": 0}, "rows"),
        ({"rows": [[1, 2], [3, 4], [5, 6]], "bad_rows": True}, "bad_rows: expected int, got True"),
    ],
)
def test_what_an_earlier_stage_counted_is_checked(tmp_path, found, reason):
    staging = Staging(tmp_path, tmp_path / "data", "me", "counting", found)
    with pytest.raises(UserError, match=f"^{tmp_path / 'stage.json'}: .*{reason}.*; .*prepare the data again$"):
        Counted.from_json(staging.found, str(staging.stage_file))
