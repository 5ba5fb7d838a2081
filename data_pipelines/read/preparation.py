"""preparation.json: how a prepared directory was made and which files make it complete."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.extension import UNSEEN_FILE
from data_pipelines.fields.schema import Schema, without
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.json_files import as_type, canonical_json, load_json, save_json

FILE_NAME = "preparation.json"
FORMAT_VERSION = 3
METADATA = ("dataset_info.json", "features.json")
"""The files that TensorFlow Datasets reads."""
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the rows of a prepared directory depend on besides the raw files.

    Attributes:
        format: how the raw files look.
        inputs: the fields.
        min_count: levels seen less often in the training split share the out-of-vocabulary row, in fields
            without a threshold of their own.
        split: shares of train, validation and test, of rules that use them; they sum to 1.
        seed: seeds the split, the choice of negatives and the shuffle on disk.
        block_rows: rows in a full block, which is one TFRecord record.
        split_rule: what decides a row's split.
        negative_rate: share of the negatives of the training split that are kept.
        extends: fingerprint of the prepared data whose vocabularies were extended; "" for new vocabularies.
        retire_after: preparations without a row after which a level may give its table row to a new one; 0 for never.
    """

    format: RawFormat
    inputs: tuple[Input, ...]
    min_count: int = 20
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: int = 0
    block_rows: int = 4096
    split_rule: SplitRule = SplitRule()
    negative_rate: float = 1.0
    extends: str = ""
    retire_after: int = 0

    def __post_init__(self) -> None:
        """Raises UserError for values out of range."""
        if self.min_count < 1:
            raise UserError(f"--min_count should be at least 1, got {self.min_count}")
        # Written so that NaN is refused: every comparison with it is false.
        if len(self.split) != 3 or not (all(share > 0 for share in self.split) and abs(sum(self.split) - 1) <= 1e-9):
            raise UserError(f"--split should be three positive shares that sum to 1, got {self.split}")
        if self.seed < 0 or self.seed >= 2**63:
            raise UserError(f"--seed should be between 0 and 2^63 - 1, got {self.seed}")
        if self.block_rows < 1:
            raise UserError(f"--block_rows should be at least 1, got {self.block_rows}")
        if not 0 < self.negative_rate <= 1:
            raise UserError(f"--negative_rate should be above 0 and at most 1, got {self.negative_rate}")


_NOT_ASKED_FOR = {
    "split_rule": msgspec.to_builtins(SplitRule()),
    "negative_rate": 1.0,
    "extends": "",
    "retire_after": 0,
}
_NOT_DECLARED = {
    "buckets": 0,
    "shared_with": "",
    "crossed": [],
    "vectors": "",
    "frozen": False,
    "vectors_hash": "",
}


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

    def __post_init__(self) -> None:
        """Raises UserError where the name leads out of the directory or a number is below 0."""
        if "/" in self.file or "\0" in self.file or self.file in ("", ".", ".."):
            raise UserError(f"{self.file!r} is not a valid name for a record file")
        if min(self.rows, self.blocks, self.size) < 0:
            raise UserError(f"{self.file}: rows, blocks and size should be at least 0")


@dataclasses.dataclass(frozen=True)
class Extension:
    """How vocabularies extend those of earlier data.

    Attributes:
        of: fingerprints of the earlier data, the extended ones first, then those that they extend, and so on.
        appended: number of levels with a new row, by field.
        reused: number of levels with the row of a retired one, by field.
    """

    of: tuple[str, ...]
    appended: dict[str, int]
    reused: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Preparation:
    """The content of preparation.json.

    Attributes:
        options: see `Options`.
        raw: the raw files in the order they were read.
        clicks: the click logs, for formats without a label column.
        bad_rows: raw lines left out, as tolerated by `--max_bad_rows`.
        positives: rows with label 1, by split.
        shards: record files in order, by split.
        schema_fingerprint: `Schema.fingerprint` of the schema beside it.
        times: first and last time by split, of a split by time.
        dropped_negatives: negatives of the training split that `--negative_rate` left out.
        extension: how the vocabularies extend earlier ones, if they do.
    """

    options: Options
    raw: tuple[RawFile, ...]
    clicks: tuple[RawFile, ...]
    bad_rows: int
    positives: dict[str, int]
    shards: dict[str, tuple[Shard, ...]]
    schema_fingerprint: str
    times: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    dropped_negatives: int = 0
    extension: Extension | None = None

    def __post_init__(self) -> None:
        """Raises UserError if splits or numbers contradict each other."""
        for name, by_split in (("shards", self.shards), ("positives", self.positives)):
            if set(by_split) != set(SPLITS):
                raise UserError(f"{name}: should be of {', '.join(SPLITS)}, got {', '.join(by_split) or 'none'}")
        block_rows = self.options.block_rows
        for split, shards in self.shards.items():
            for shard in shards:
                if shard.blocks != -(-shard.rows // block_rows):
                    raise UserError(f"{shard.file}: {shard.rows} rows are not {shard.blocks} blocks of {block_rows}")
            if not 0 <= self.positives[split] <= self.rows[split]:
                raise UserError(f"{split}: {self.positives[split]} positives in {self.rows[split]} rows")

    @property
    def rows(self) -> dict[str, int]:
        """Rows by split."""
        return {split: sum(shard.rows for shard in shards) for split, shards in self.shards.items()}

    def fingerprint(self) -> str:
        """16 hex digits that differ between prepared data sets (SHA-256 of the canonical JSON)."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists; `rows` is there for readers and is computed from the shards.

        What is not asked for is not written, so that files do not change with each new option.
        """
        found = without({"times": {}, "dropped_negatives": 0, "extension": None}, msgspec.to_builtins(self))
        options = without(_NOT_ASKED_FOR, found["options"])
        options["format"] = without({"weight": ""}, options["format"])
        options["inputs"] = [without(_NOT_DECLARED, one) for one in options["inputs"]]
        return {"format_version": FORMAT_VERSION, "rows": self.rows} | found | {"options": options}

    @classmethod
    def from_json(cls, value: Any, source: str) -> "Preparation":
        """The inverse of `to_json`. Raises UserError, naming `source`, where `value` is malformed."""
        version = value.get("format_version") if isinstance(value, dict) else None
        if version != FORMAT_VERSION:
            raise UserError(
                f"{source}: format version {version!r} instead of {FORMAT_VERSION}; delete the directory and prepare "
                "the data again"
            )
        rows = value.get("rows")
        found = as_type({key: one for key, one in value.items() if key not in ("format_version", "rows")}, cls, source)
        if rows != found.rows:
            raise UserError(f"{source}: rows: {rows} are not the {found.rows} of the shards; prepare the data again")
        return found

    def save(self, data_dir: str | Path) -> None:
        """Writes preparation.json."""
        save_json(Path(data_dir) / FILE_NAME, self.to_json())

    @classmethod
    def load(cls, data_dir: str | Path) -> "Preparation":
        """Reads preparation.json. Raises UserError where it is missing, damaged or malformed."""
        path = Path(data_dir) / FILE_NAME
        return cls.from_json(load_json(path), str(path))


def load_complete(data_dir: str | Path) -> tuple[Schema, Preparation]:
    """Reads a prepared directory's schema and preparation, and checks its files.

    All files except the record files are compared with their checksums. Only the size of record files is checked here:
    their records have checksums of their own, which are compared whenever rows are read.

    Raises:
        UserError: a file is missing, damaged or malformed; the message names it.
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
    if schema.format != preparation.options.format:
        raise UserError(f"{path / FILE_NAME}: options.format is not that of schema.json; prepare the data again")
    for shard in (shard for shards in preparation.shards.values() for shard in shards):
        file = path / shard.file
        if not file.is_file():
            raise UserError(f"{file}: file is missing; prepare the data again")
        if (size := file.stat().st_size) != shard.size:
            raise UserError(f"{file}: {size} bytes instead of {shard.size}; prepare the data again")
    Checksums(path).check(*METADATA, *dict.fromkeys(schema.vocabulary_files.values()), *schema.vector_files.values())
    if preparation.extension is not None:
        Checksums(path).check(UNSEEN_FILE)
    return schema, preparation
