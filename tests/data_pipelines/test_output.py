"""Files that appear complete: what they may replace, which links they follow, and what errors and kills leave."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data_pipelines.errors import UserError
from data_pipelines.output import beside_output, complete_file, is_written_through, remove_left, write_complete


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_there_until_all_is_written(tmp_path):
    with complete_file(tmp_path / "out") as file:
        file.write("all\r\n")
        assert [path.suffix for path in tmp_path.iterdir()] == [".incomplete"]
    assert (tmp_path / "out").read_bytes() == b"all\r\n" and names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path / "out").write_text("before")
    with pytest.raises(error), complete_file(tmp_path / "out") as file:
        file.write("half")
        raise error
    assert (tmp_path / "out").read_text() == "before" and names(tmp_path) == ["out"]


def test_links_stay_and_what_they_lead_to_gets_the_content(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_text("before")
    (tmp_path / "near").symlink_to("far/file")
    (tmp_path / "nearer").symlink_to(tmp_path / "near")
    write_complete(tmp_path / "nearer", "after")
    assert (tmp_path / "far" / "file").read_text() == "after"
    assert os.readlink(tmp_path / "near") == "far/file" and (tmp_path / "nearer").is_symlink()
    (tmp_path / "to_nothing").symlink_to("far/new")
    write_complete(tmp_path / "to_nothing", "new")
    assert (tmp_path / "far" / "new").read_text() == "new" and (tmp_path / "to_nothing").is_symlink()
    assert names(tmp_path / "far") == ["file", "new"]


def test_all_names_of_a_file_keep_it(tmp_path):
    (tmp_path / "one").write_text("before, and longer")
    os.link(tmp_path / "one", tmp_path / "other")
    write_complete(tmp_path / "one", "after")
    assert (tmp_path / "other").read_text() == "after" and os.path.samefile(tmp_path / "one", tmp_path / "other")
    assert names(tmp_path) == ["one", "other"]


def test_a_pipe_is_written_through_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_complete(tmp_path / "pipe", "rows")
    reader.join()
    assert read == ["rows"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and names(tmp_path) == ["pipe"]


def test_a_device_is_written_through(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    write_complete(tmp_path / "link", "rows")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and is_written_through(tmp_path / "link")
    assert names(tmp_path) == ["link"] and not is_written_through(tmp_path / "none")


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["file", "pipe"])
def test_standard_output_stays_and_is_added_to(tmp_path, path, into):
    script = (
        "from data_pipelines.output import *\n"
        "print('before')\n"
        f"write_complete({path!r}, 'rows\\n')\n"
        f"print('beside', file=beside_output({path!r}))\n"
        "print('after')\n"
    )
    command = [sys.executable, "-c", script]
    root, device = Path(__file__).parents[2], os.stat("/dev/stdout")
    if into == "pipe":
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        out = done.stdout
    else:
        (tmp_path / "log").write_text("earlier\n")
        with (tmp_path / "log").open("a") as file:
            done = subprocess.run(command, cwd=root, stdout=file, stderr=subprocess.PIPE, text=True)
        out = (tmp_path / "log").read_text().removeprefix("earlier\n")
        assert names(tmp_path) == ["log"] and (tmp_path / "log").read_text().startswith("earlier\n")
    assert (done.returncode, out, done.stderr) == (0, "before\nrows\nafter\n", "beside\n")
    assert os.path.samestat(os.stat("/dev/stdout"), device)


def test_permissions_are_those_of_a_new_file_or_of_the_one_that_is_replaced(tmp_path):
    before = os.umask(0o027)
    try:
        write_complete(tmp_path / "new", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    write_complete(tmp_path / "new", "again")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_what_cannot_be_written_is_told_and_stays(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/none/out: there is no directory {tmp_path}/none; make it"):
        write_complete(tmp_path / "none" / "out", "")
    with pytest.raises(IsADirectoryError):
        write_complete(tmp_path, "")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="symbolic links"):
        write_complete(tmp_path / "circle", "")
    assert names(tmp_path) == ["circle"]


def test_a_file_that_may_not_be_written_is_told_and_stays(tmp_path, monkeypatch):
    # Root may write everything: what any other user is told is made up here.
    (tmp_path / "out").write_text("before")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and Path(path) != tmp_path / "out")
    with pytest.raises(PermissionError, match=f"Permission denied: '{tmp_path}/out'"):
        write_complete(tmp_path / "out", "after")
    assert (tmp_path / "out").read_text() == "before" and names(tmp_path) == ["out"]


def test_a_file_in_a_directory_that_takes_no_new_files_is_written_through(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("before, and longer")
    access, file = os.access, (tmp_path / "out").stat().st_ino
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and Path(path) != tmp_path)
    write_complete(tmp_path / "out", "after")
    assert (tmp_path / "out").read_text() == "after" and (tmp_path / "out").stat().st_ino == file


def test_a_killed_writer_leaves_what_the_next_one_removes(tmp_path):
    script = (
        "import os, signal\n"
        "from data_pipelines.output import complete_file\n"
        f"with complete_file({str(tmp_path / 'out[1]')!r}) as file:\n"
        "    file.write('half'); file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    assert [path.suffix for path in tmp_path.iterdir()] == [".incomplete"]
    (tmp_path / "out1.mine").touch()
    write_complete(tmp_path / "out[1]", "all")
    assert names(tmp_path) == ["out1.mine", "out[1]"] and (tmp_path / "out[1]").read_text() == "all"


def test_a_file_that_is_being_written_is_not_taken_for_one_left_behind(tmp_path):
    (tmp_path / "old.1.incomplete").touch()
    with complete_file(tmp_path / "out") as file:
        file.write("all")
        with complete_file(tmp_path / "out") as other:
            other.write("another's")
        remove_left(tmp_path)
        assert not (tmp_path / "old.1.incomplete").exists()
    assert (tmp_path / "out").read_text() == "all" and names(tmp_path) == ["out"]


def test_what_is_told_goes_to_standard_output_unless_that_is_the_output(tmp_path):
    assert beside_output(tmp_path / "out") is sys.stdout and beside_output("/dev/stdout") is sys.stderr
