"""preparation.json: how a prepared directory was made and which files make it complete."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.schema import Schema, from_plain, plain
from data_pipelines.json_files import canonical_json, checked_keys, load_json, save_json

FILE_NAME = "preparation.json"
FORMAT_VERSION = 2
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the rows of a prepared directory depend on, beside the raw files.

    Attributes:
        format: how the raw files look.
        inputs: the fields.
        min_count: levels seen less often in the training split share the out-of-vocabulary row, in fields
            without a threshold of their own.
        split: shares of train, validation and test; they sum to 1.
        seed: of the split and of the shuffle on disk.
        block_rows: rows of a full block, that is of a TFRecord record.
    """

    format: RawFormat
    inputs: tuple[Input, ...]
    min_count: int = 20
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: int = 0
    block_rows: int = 4096

    def __post_init__(self) -> None:
        """Raises UserError for values out of range."""
        if self.min_count < 1:
            raise UserError(f"--min_count should be at least 1, got {self.min_count}")
        # Written so that NaN, for which no comparison holds, is refused.
        if len(self.split) != 3 or not (all(share > 0 for share in self.split) and abs(sum(self.split) - 1) <= 1e-9):
            raise UserError(f"--split should be three positive shares that sum to 1, got {self.split}")
        if self.seed < 0 or self.seed >= 2**63:
            raise UserError(f"--seed should be between 0 and 2^63 - 1, got {self.seed}")
        if self.block_rows < 1:
            raise UserError(f"--block_rows should be at least 1, got {self.block_rows}")

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return plain(self) | {"format": plain(self.format), "inputs": [plain(one) for one in self.inputs]}

    @classmethod
    def from_json(cls, value: dict[str, Any], source: str) -> "Options":
        """The inverse of `to_json`. Raises UserError, naming `source`, where `value` does not fit."""
        raw_format = from_plain(RawFormat, value["format"], f"{source}, format")
        inputs = tuple(from_plain(Input, one, f"{source}, inputs[{i}]") for i, one in enumerate(value["inputs"]))
        return cls(**value | {"format": raw_format, "inputs": inputs, "split": tuple(value["split"])})


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file's identity: base name, size in bytes, and a hash of its size, first and last megabyte."""

    name: str
    size: int
    fingerprint: str

    @classmethod
    def of(cls, path: str | Path) -> "RawFile":
        """Describes the file at `path`. Raises UserError where there is none."""
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: raw file not found")
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(size - (1 << 20), 0))
            digest.update(file.read(1 << 20))
        return cls(path.name, size, digest.hexdigest()[:16])


@dataclasses.dataclass(frozen=True)
class Shard:
    """A record file of one split: its name, its rows, blocks and size in bytes."""

    file: str
    rows: int
    blocks: int
    size: int


@dataclasses.dataclass(frozen=True)
class Preparation:
    """The content of preparation.json.

    Attributes:
        options: see `Options`.
        raw: the raw files in the order they were read.
        clicks: the click logs, of formats without a label column.
        bad_rows: raw lines left out, as tolerated by `--max_bad_rows`.
        positives: rows with label 1, by split.
        shards: record files in order, by split.
        vocabulary: size in bytes of each field's vocabulary file, by field.
        schema_fingerprint: `Schema.fingerprint` of the schema beside it.
    """

    options: Options
    raw: tuple[RawFile, ...]
    clicks: tuple[RawFile, ...]
    bad_rows: int
    positives: dict[str, int]
    shards: dict[str, tuple[Shard, ...]]
    vocabulary: dict[str, int]
    schema_fingerprint: str

    @property
    def rows(self) -> dict[str, int]:
        """Rows by split."""
        return {split: sum(shard.rows for shard in shards) for split, shards in self.shards.items()}

    def fingerprint(self) -> str:
        """16 hex digits that differ between prepared data sets (SHA-256 of the canonical JSON)."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists; `rows` is there for readers and is computed from the shards."""
        plain_self = dataclasses.asdict(self) | {"options": self.options.to_json()}
        return {"format_version": FORMAT_VERSION, "rows": self.rows} | plain_self

    @classmethod
    def from_json(cls, value: Any, source: str) -> "Preparation":
        """The inverse of `to_json`. Raises UserError, naming `source`, where `value` is malformed."""
        keys = {field.name: _KINDS.get(field.name, dict) for field in dataclasses.fields(cls)}
        value = checked_keys(value, {"format_version": int, "rows": dict} | keys, source)
        if value["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"{source}: format version {value['format_version']} instead of {FORMAT_VERSION}; "
                "prepare the data again"
            )
        try:
            options = Options.from_json(value["options"], f"{source}, options")
            raw, clicks = (tuple(RawFile(**file) for file in value[key]) for key in ("raw", "clicks"))
            shards = {split: tuple(Shard(**s) for s in value["shards"][split]) for split in SPLITS}
            positives = {split: int(value["positives"][split]) for split in SPLITS}
            vocabulary = {str(field): int(size) for field, size in value["vocabulary"].items()}
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{source}: malformed ({error}); prepare the data again") from None
        return cls(options, raw, clicks, value["bad_rows"], positives, shards, vocabulary, value["schema_fingerprint"])

    def save(self, data_dir: str | Path) -> None:
        """Writes preparation.json."""
        save_json(Path(data_dir) / FILE_NAME, self.to_json())

    @classmethod
    def load(cls, data_dir: str | Path) -> "Preparation":
        """Reads preparation.json. Raises UserError where it is missing or malformed."""
        path = Path(data_dir) / FILE_NAME
        return cls.from_json(load_json(path), str(path))


def load_complete(data_dir: str | Path) -> tuple[Schema, Preparation]:
    """Reads a prepared directory's schema and preparation, and checks that all its files are there.

    Raises:
        UserError: a file is missing, malformed or of another size than recorded; the message names it.
    """
    path = Path(data_dir)
    if not path.is_dir():
        raise UserError(f"{path}: no such directory; prepare it first (python -m data_pipelines.prepare)")
    if not (path / FILE_NAME).is_file():
        raise UserError(f"{path}: not a prepared data directory ({FILE_NAME} is missing); prepare the data again")
    preparation = Preparation.load(path)
    schema = Schema.load(path / "schema.json")
    if schema.fingerprint() != preparation.schema_fingerprint:
        raise UserError(f"{path / 'schema.json'}: not the schema of this preparation; prepare the data again")
    sizes = {"dataset_info.json": None, "features.json": None}
    sizes |= {f"vocabulary/{field.name}.txt": preparation.vocabulary.get(field.name) for field in schema.fields}
    sizes |= {shard.file: shard.size for shards in preparation.shards.values() for shard in shards}
    for name, size in sizes.items():
        file = path / name
        if not file.is_file():
            raise UserError(f"{file}: file is missing; prepare the data again")
        if size is not None and file.stat().st_size != size:
            raise UserError(f"{file}: {file.stat().st_size} bytes instead of {size}; prepare the data again")
    return schema, preparation


_KINDS = {"raw": list, "clicks": list, "bad_rows": int, "schema_fingerprint": str}
