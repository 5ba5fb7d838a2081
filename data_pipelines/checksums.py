"""Checksums of a directory's files, stored in SHA256SUMS. Reading a damaged file is an error.

The file has the format of sha256sum, so `sha256sum -c SHA256SUMS` checks a copy of the directory without this project.
Its first line is a comment with the checksum of the lines after it.

A process can be killed while it replaces a file. Therefore the new checksum is added before the file is replaced, and
the old one is removed afterwards. The file on disk always matches one of the two.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.file_names import path_inside
from data_pipelines.output import complete_file

FILE_NAME = "SHA256SUMS"
_HEADER = "# SHA-256 of the lines below: "
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n\\]+)")
_ATTEMPTS = 3


def way_out_of(directory: str | Path) -> str:
    """What to do about a damaged file. It depends on the kind of directory, which the directory's files show."""
    has = {path.name for path in Path(directory).glob("*")}
    if has & {"saved_model.pb", "assets.extra"}:
        return "export the model again"
    if has & {"train_config.json", "model.json", "data.json", "checkpoints"}:
        return "copy the directory again, or train again in another --workdir"
    return "copy the directory again, or delete it and prepare the data again"


class Checksums:
    """The checksums of a directory's files.

    Args:
        directory: need not have checksums yet; only listed files can be read.
        way_out: ends all error messages; depends on the kind of directory by default.

    Raises:
        UserError: SHA256SUMS is damaged.
    """

    def __init__(self, directory: str | Path, way_out: str | None = None):
        self.directory, self._way_out = Path(directory), way_out
        self._known: dict[str, tuple[str, ...]] = {}
        self._load()

    @property
    def exists(self) -> bool:
        """Whether the directory has checksums."""
        return bool(self._known)

    @property
    def names(self) -> list[str]:
        """The names of the listed files, relative to the directory."""
        return list(self._known)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            UserError: it is missing, a symbolic link, not listed or damaged. The message names it and the way out.
        """
        path = self._listed(name)

        def load() -> tuple[bytes, str]:
            data = path.read_bytes()
            return data, hashlib.sha256(data).hexdigest()

        return self._verified(name, path, load)

    def check(self, *names: str) -> None:
        """Checks files, which may be large. Raises the errors of `read`."""
        for name in names:
            path = self._listed(name)
            self._verified(name, path, partial(_sum_alone, path))

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes files and lists their checksums. A file never appears incomplete. Other files stay unchanged.

        Raises:
            UserError: a name leads out of the directory, or over a symbolic link.
        """
        new = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        paths = {name: path_inside(self.directory, name) for name in files}
        self._load()
        self._list({name: tuple(dict.fromkeys((*self._known.get(name, ()), one))) for name, one in new.items()})
        for name, data in files.items():
            paths[name].parent.mkdir(parents=True, exist_ok=True)
            _write(paths[name], data)
        self._list({name: (one,) for name, one in new.items()})

    def write_new(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Writes (name, content) one by one into a directory that nobody reads before all files exist."""
        new = {}
        for name, data in files:
            path = path_inside(self.directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data)
            new[name] = (hashlib.sha256(data).hexdigest(),)
        self._load()
        self._list(new)

    def copy(self, source: "Checksums", names: Iterable[str]) -> None:
        """Copies files from another directory and checks them. Files that are already the same are not written again.

        Raises:
            UserError: the errors of the source's `read` and of `write`.
        """
        for name in names:
            path, data = path_inside(self.directory, name), source.read(name)
            if self._known.get(name) != (hashlib.sha256(data).hexdigest(),) or not path.is_file():
                self.write({name: data})

    def add(self, names: Iterable[str]) -> None:
        """Lists files that already exist."""
        new = {name: (sha256_of(path_inside(self.directory, name)),) for name in names}
        self._load()
        self._list(new)

    def only(self, names: Iterable[str]) -> None:
        """Lists files that already exist, and drops all other entries."""
        self._known = {name: (sha256_of(path_inside(self.directory, name)),) for name in names}
        self._save()

    def remove(self, name: str) -> None:
        """Removes a file, if it exists, and its checksum."""
        path_inside(self.directory, name).unlink(missing_ok=True)
        self._load()
        if self._known.pop(name, None) is not None:
            self._save()

    def _listed(self, name: str) -> Path:
        if name not in self._known:
            self._load()
        if not self._known:
            raise UserError(
                f"{self.directory / FILE_NAME}: file not found: an older version made this directory, or it is not "
                f"complete; {self._end()}"
            )
        path = path_inside(self.directory, name)
        if name not in self._known:
            raise UserError(f"{path}: not listed in {FILE_NAME}; {self._end()}")
        return path

    def _verified(self, name: str, path: Path, load: Callable[[], tuple[bytes, str]]) -> bytes:
        for attempt in range(_ATTEMPTS):
            if attempt:
                # Another process may have replaced the file in the meantime.
                self._load()
            try:
                data, found = load()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise UserError(f"{path}: file is missing; {self._end()}") from None
            if found in self._known.get(name, ()):
                return data
        raise UserError(f"{path}: damaged: its SHA-256 is not the one in {FILE_NAME}; {self._end()}")

    def _end(self) -> str:
        return self._way_out or way_out_of(self.directory)

    def _load(self) -> None:
        path = path_inside(self.directory, FILE_NAME)
        self._known = {}
        try:
            text = path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return
        except UnicodeDecodeError:
            raise UserError(f"{path}: damaged: not UTF-8 text; {self._end()}") from None
        header, _, body = text.partition("\n")
        if header != _HEADER + hashlib.sha256(body.encode()).hexdigest():
            raise UserError(f"{path}: damaged: its first line is not the checksum of the others; {self._end()}")
        for line in body.splitlines():
            if (match := _LINE.fullmatch(line)) is None:
                raise UserError(f"{path}: {line[:80]!r} is no checksum and file name; {self._end()}")
            digest, name = match.groups()
            self._known[name] = (*self._known.get(name, ()), digest)

    def _list(self, known: Mapping[str, tuple[str, ...]]) -> None:
        if all(self._known.get(name) == one for name, one in known.items()):
            return
        self._known |= known
        self._save()

    def _save(self) -> None:
        lines = [f"{one}  {name}\n" for name in sorted(self._known) for one in self._known[name]]
        body = "".join(lines).encode()
        header = f"{_HEADER}{hashlib.sha256(body).hexdigest()}\n".encode()
        self.directory.mkdir(parents=True, exist_ok=True)
        _write(path_inside(self.directory, FILE_NAME), header + body)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    with complete_file(path, "wb") as file:
        file.write(data)


def _sum_alone(path: Path) -> tuple[bytes, str]:
    return b"", sha256_of(path)
