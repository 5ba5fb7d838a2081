"""Checksums of a directory's files, safe file names, and strangers' JSON."""

import hashlib
import os
import subprocess
from urllib.parse import unquote

import pytest

from data_pipelines import checksums
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.file_names import LONGEST, file_names
from data_pipelines.json_files import load_json, parse_json, save_json


def test_the_tool_sha256sum_reads_the_file(tmp_path):
    Checksums(tmp_path).write({"a.txt": b"one", "folder/b.txt": b"two"})
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path).returncode == 0
    assert hashlib.sha256(b"two").hexdigest() + "  folder/b.txt" in (tmp_path / "SHA256SUMS").read_text()


def test_every_changed_byte_is_refused_and_the_file_named(tmp_path):
    Checksums(tmp_path).write({"a.txt": b"one", "b.txt": b"two"})
    for name in ("a.txt", "SHA256SUMS"):
        content = (tmp_path / name).read_bytes()
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= 1
            (tmp_path / name).write_bytes(changed)
            with pytest.raises(UserError, match=f"{name}: damaged.*; copy the directory again"):
                Checksums(tmp_path).read("a.txt")
        (tmp_path / name).write_bytes(content)
    assert Checksums(tmp_path).read("a.txt") == b"one"


def test_a_process_killed_at_any_write_leaves_what_can_be_read(tmp_path, monkeypatch):
    write = checksums._write
    for killed_at in range(3):
        Checksums(tmp_path).write({"a.txt": b"old"})
        left = iter(range(killed_at, -1, -1))

        def dying(path, data, left=left):
            if next(left) == 0:
                raise KeyboardInterrupt
            write(path, data)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(checksums, "_write", dying)
            Checksums(tmp_path).write({"a.txt": b"new"})
        assert Checksums(tmp_path).read("a.txt") == (b"new" if killed_at == 2 else b"old")


def test_links_are_not_followed(tmp_path):
    secret, directory = tmp_path / "secret", tmp_path / "d"
    secret.mkdir()
    (secret / "a.txt").write_text("secret")
    Checksums(directory).write({"vocabulary/a.txt": b"one"})
    (directory / "vocabulary" / "a.txt").unlink()
    (directory / "vocabulary").rmdir()
    os.symlink(secret, directory / "vocabulary")
    for use in (lambda one: one.read("vocabulary/a.txt"), lambda one: one.write({"vocabulary/a.txt": b"x"})):
        with pytest.raises(UserError, match="vocabulary: is a symbolic link, which is not followed"):
            use(Checksums(directory))
    with pytest.raises(UserError, match="no file inside this directory"):
        Checksums(directory).write({"../secret/a.txt": b"x"})
    assert (secret / "a.txt").read_text() == "secret"


def test_field_names_are_safe_file_names_that_can_be_read_back():
    names = ["C1", "../../secret/x", ".", "..", ".hidden", "a/b", "Shop", "shop", "100%", "城市", "a\nb", "~"]
    names.append("x" * 300)
    found = file_names(names)
    assert found["C1"] == "C1" and found["shop"] == "shop" and found["Shop"] == "%53hop"
    assert len({name.lower() for name in found.values()}) == len(names)
    for name, file in found.items():
        assert file.isascii() and not set("/\\\0\n") & set(file) and not file.startswith(".") and len(file) <= LONGEST
        assert unquote(file) == name or len(name) == 300
    with pytest.raises(UserError, match="not valid Unicode text"):
        file_names(["\ud800"])
    schema = Schema(RawFormat("tiny", "label"), (Field("../../secret/x", "text", 3, 0),))
    assert schema.vocabulary_files == {"../../secret/x": "vocabulary/%2E.%2F..%2Fsecret%2Fx.txt"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": 1e999}', "1e999 is too large a number"),
        ('{"a": 1, "a": 2}', "key 'a' stands twice in one object"),
        ("9" * 5000, "not valid JSON"),
        ("\udcff", "not valid JSON"),
    ],
)
def test_text_that_is_no_json_is_one_line(text, message):
    with pytest.raises(UserError, match=f"^a.json: .*{message}.*; do that$"):
        parse_json(text.encode("utf-8", "surrogateescape"), "a.json", "do that")


@pytest.mark.parametrize(
    "value, message",
    [
        ([], "expected object, got \\[\\]"),
        ({"format": {"name": "x", "label": "y"}}, "key 'fields' is missing"),
        ({"format": {"name": "x", "label": "y"}, "fields": {}}, "fields: expected array, got an object"),
        ({"format": {"name": 1, "label": "y"}, "fields": []}, "format.name: expected str, got 1"),
        ({"format": {"name": "x", "label": "y", "z": 1}, "fields": []}, "a schema needs at least one field"),
        (
            {
                "format": {"name": "x", "label": "y"},
                "fields": [{"name": "a", "transform": "text", "size": 1, "offset": 0, "width": 10**9}],
            },
            "width 1 to 65536",
        ),
    ],
)
def test_a_schema_of_another_shape_is_one_line(tmp_path, value, message):
    save_json(tmp_path / "schema.json", value)
    with pytest.raises(UserError, match=f"schema.json: .*{message}.*; ") as caught:
        load_json(tmp_path / "schema.json", Schema)
    assert "\n" not in str(caught.value)
