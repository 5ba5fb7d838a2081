"""Pre-trained vectors as the first rows of a field's levels.

A .npy file is a matrix whose row i is the vector of the id "i". A .parquet file has the columns `id`, texts or
integers, and `vector`, lists of numbers of one length. Ids are made canonical as levels are. Preparation keeps the
vectors of the levels that the vocabulary has; the other levels start at random.
"""

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data_pipelines.checksums import Checksums, sha256_of, way_out_of
from data_pipelines.errors import UserError
from data_pipelines.fields.canonical import canonical
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.fields.vocabulary import Vocabularies

_SHOWN = 3


def checked_vectors(inputs: Sequence[Input]) -> tuple[Input, ...]:
    """The fields, with the hash of each file of vectors.

    Raises:
        UserError: a file is missing or malformed; the message names file, field and value.
    """
    found, first = [], None
    for one in inputs:
        if one.vectors:
            width = _read(one)[1].shape[1]
            first = first or (one, width)
            if width != first[1]:
                raise UserError(
                    f"{one.vectors}: field {one.name}: its vectors have {width} numbers, but those of field "
                    f"{first[0].name} have {first[1]}; all fields of a model have embeddings of one size"
                )
            one = dataclasses.replace(one, vectors_hash=sha256_of(Path(one.vectors))[:16])
        found.append(one)
    return tuple(found)


def keep_vectors(
    vocabularies: Vocabularies, inputs: Sequence[Input], data_dir: Path, show: Callable[[str], None]
) -> Vocabularies:
    """Writes the vectors of the levels that there are into `vectors/`; the schema then has their width and number.

    Args:
        vocabularies: of the fields; their files are in the directory.
        inputs: the fields as they were declared.
        data_dir: the directory.
        show: gets a line on each file, with the number of levels without a vector.

    Raises:
        UserError: no level has a vector.
    """
    if not any(one.vectors for one in inputs):
        return vocabularies
    fields, files = list(vocabularies.schema.fields), {}
    for position, one in enumerate(inputs):
        if one.vectors:
            kept = _matched(one, vocabularies.levels[one.name], show)
            width = kept["vector"].shape[1]
            fields[position] = dataclasses.replace(
                fields[position], vector_width=width, vector_rows=len(kept), frozen=one.frozen
            )
            files[one.name] = kept
    schema = Schema(vocabularies.schema.format, tuple(fields))
    written = {}
    for name, kept in files.items():
        file = io.BytesIO()
        np.save(file, kept)
        written[schema.vector_files[name]] = file.getvalue()
    Checksums(data_dir).write(written)
    return Vocabularies(schema, vocabularies.levels)


def load_vectors(data_dir: str | Path, schema: Schema, field: Field) -> tuple[np.ndarray, np.ndarray]:
    """A field's vectors in a prepared directory: (rows of the fused table int32 [n], rising, vectors float32 [n, W]).

    Raises:
        UserError: the file is missing, damaged or not that of the schema.
    """
    name = schema.vector_files[field.name]
    data = Checksums(data_dir).read(name)
    try:
        kept = np.load(io.BytesIO(data), allow_pickle=False)
        rows, vectors = kept["row"], kept["vector"]
    except (ValueError, IndexError, EOFError) as error:
        raise UserError(f"{Path(data_dir) / name}: no vectors ({error}); {way_out_of(data_dir)}") from None
    if vectors.shape != (field.vector_rows, field.vector_width) or not 0 < rows.min() <= rows.max() < field.size:
        raise UserError(f"{Path(data_dir) / name}: not the vectors of schema.json; {way_out_of(data_dir)}")
    return rows + np.int32(field.offset), vectors


def _matched(one: Input, levels: pl.Series, show: Callable[[str], None]) -> np.ndarray:
    """(row of the field, vector) of each level that has a vector: a structured array [n]."""
    ids, vectors = _read(one)
    known = pl.DataFrame({"level": ids, "at": np.arange(len(ids))})
    rows = pl.DataFrame({"level": levels, "row": np.arange(1, len(levels) + 1, dtype=np.int32)})
    joined = rows.join(known, on="level", how="inner").sort("row")
    without = levels.filter(~levels.is_in(ids.implode()) & (levels != ""))
    if not joined.height:
        raise UserError(
            f"{one.vectors}: field {one.name}: none of its {len(levels):,} levels ({_shown(levels)}) is among the "
            f"{len(ids):,} ids ({_shown(ids)}); write ids as the column does"
        )
    lost = f"; {len(without):,} levels without a vector ({_shown(without)}) start at random" if len(without) else ""
    show(f"field {one.name}: {joined.height:,} of {len(levels):,} levels have a vector in {one.vectors}{lost}")
    kept = np.empty(joined.height, [("row", "<i4"), ("vector", "<f4", (vectors.shape[1],))])
    kept["row"], kept["vector"] = joined["row"].to_numpy(), vectors[joined["at"].to_numpy()]
    return kept


def _shown(texts: pl.Series) -> str:
    return ", ".join(map(repr, texts.head(_SHOWN))) + (", ..." if len(texts) > _SHOWN else "")


def _read(one: Input) -> tuple[pl.Series, np.ndarray]:
    """(canonical ids [n], float32 [n, W])."""
    path, place = Path(one.vectors), f"{one.vectors}: field {one.name}"
    if not path.is_file():
        raise UserError(f"{place}: file not found; 'vectors' is looked for beside the schema file")
    if path.suffix not in (".npy", ".parquet"):
        raise UserError(f"{place}: 'vectors' should be a .npy or .parquet file")
    try:
        ids, vectors = _npy(path, place) if path.suffix == ".npy" else _parquet(path, place)
    except UserError:
        raise
    except (ValueError, EOFError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{place}: not a readable {path.suffix} file ({str(error).splitlines()[0]})") from None
    if vectors.shape[0] < 1 or vectors.shape[1] < 2:
        rows, width = vectors.shape
        raise UserError(f"{place}: expected at least one vector of two or more numbers, got {rows} of {width}")
    if not (finite := np.isfinite(vectors).all(axis=1)).all():
        row = int(np.argmin(finite))
        value = vectors[row][~np.isfinite(vectors[row])][0]
        raise UserError(f"{place}: the vector of id {ids[row]!r} has the number {value}; mend it or leave the id out")
    if (twice := ids.is_duplicated()).any():
        raise UserError(f"{place}: id {ids.filter(twice)[0]!r} has several vectors; leave one")
    return ids, vectors


def _npy(path: Path, place: str) -> tuple[pl.Series, np.ndarray]:
    found = np.load(path, allow_pickle=False)
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise UserError(
            f"{place}: expected a matrix of numbers, whose row i is the vector of id i, got {found.dtype} of shape "
            f"{list(found.shape)}"
        )
    return pl.Series(np.arange(len(found))).cast(pl.String), _as_float32(found)


def _parquet(path: Path, place: str) -> tuple[pl.Series, np.ndarray]:
    names = pl.read_parquet_schema(path)
    if not {"id", "vector"}.issubset(names):
        raise UserError(f"{place}: expected the columns id and vector, got {', '.join(names)}")
    if not (names["id"] == pl.String or names["id"].is_integer()):
        raise UserError(f"{place}: column id should be text or integers, got {names['id']}")
    if not isinstance(names["vector"], pl.List | pl.Array) or not names["vector"].inner.is_numeric():
        raise UserError(f"{place}: column vector should be lists of numbers, got {names['vector']}")
    frame = pl.read_parquet(path, columns=["id", "vector"])
    ids = canonical(frame["id"].cast(pl.String).fill_null(""))
    vectors = frame["vector"]
    vectors = vectors.arr.to_list() if isinstance(names["vector"], pl.Array) else vectors
    lengths = vectors.list.len().fill_null(0)
    width = int(lengths[0]) if len(lengths) else 0
    if (other := lengths != width).any():
        row = int(other.arg_max() or 0)
        raise UserError(
            f"{place}: the vector of id {ids[row]!r} has {lengths[row]} numbers, but that of id {ids[0]!r} has {width}"
        )
    flat = vectors.explode().cast(pl.Float64).fill_null(np.nan).to_numpy() if width else np.empty(0)
    return ids, _as_float32(flat.reshape(len(ids), width))


def _as_float32(found: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return found.astype(np.float32)
