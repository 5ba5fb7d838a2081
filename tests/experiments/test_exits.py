import pytest

from data_pipelines.errors import UserError
from experiments.exits import check_distinct


def test_a_run_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    a, b = f"{tmp_path}/a", f"{tmp_path}/b"
    check_distinct([a, b])
    for again in (a, f"{a}/", f"{tmp_path}/link"):
        with pytest.raises(UserError, match=f"^--workdir: {a} and {again} are the same run; name each run once$"):
            check_distinct([a, b, again])
