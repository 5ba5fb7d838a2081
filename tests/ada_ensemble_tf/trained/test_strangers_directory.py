"""A working directory that came from elsewhere is data: whatever its files hold, the answer is one line or the model.

Files are changed together with their checksums, so that only the reading of what they hold can refuse them.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_up_results import made_up_results

from ada_ensemble_tf.comparison.runs import Run
from ada_ensemble_tf.configs.defaults import load_tuned
from ada_ensemble_tf.evaluation.unknown_ids import UnknownFields
from ada_ensemble_tf.inference.raw_scores import encoded
from ada_ensemble_tf.models import LogisticRegression, model_inputs
from ada_ensemble_tf.serving.golden_rows import FILE as GOLDEN_ROWS
from ada_ensemble_tf.serving.golden_rows import GoldenRows, golden_rows
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.trained.run_files import CONFIG_FILE as CONFIG
from ada_ensemble_tf.trained.run_files import load_data_file
from ada_ensemble_tf.trained.workdir import Workdir
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.json_files import json_bytes, save_json
from data_pipelines.truth import load_truth

GONE = object()
"""Instead of a value: the key is missing."""
EXPORT = "export/" + GOLDEN_ROWS


@pytest.fixture(scope="module")
def directory(kinds, tmp_path_factory) -> Path:
    """A working directory with a file of each kind that is read, in the form of a comparison's run."""
    path, vocabularies = tmp_path_factory.mktemp("run"), kinds.vocabularies
    schema = vocabularies.schema
    model = LogisticRegression(**model_inputs(schema))
    vocabularies.save(path)
    schema.save(path / "schema.json")
    Workdir(path).save_model_config(model)
    Checkpoint(path / "checkpoints" / "best", model.variables).save(1)
    config = {"seed": 0, "batch_size": 64, "eval_batch_size": 128, "model": {"name": "logistic_regression"}}
    save_json(path / CONFIG, config)
    save_json(path / "data.json", {"data_dir": "data", "fingerprint": "0123"})
    save_json(path / "metrics.json", made_up_results(config=config))
    save_json(path / "unknown_ids.json", {"text": 0.5, "all": 0.1})
    save_json(path / "run.json", {"jobs": 2})
    golden_rows(model, schema, vocabularies, {one: ["x", ""] for one in schema.columns}).save(path / "export")
    best = {"values": {"model.l2": 0.1}, "validation_auc": 0.7, "trials": 3, "failed": 0, "fingerprint": "0123"}
    (path / "tuned.json").write_bytes(json_bytes({"dnn": best}))
    (path / "truth.json").write_bytes(json_bytes({"rows": 9, "bayes_auc": 0.8, "bayes_logloss": 0.4}))
    return path


def _score(path: Path) -> Any:
    """What predict does, less the model."""
    schema = Workdir(path).schema()
    vocabularies = Vocabularies.load(path, schema)
    return encoded(vocabularies, coded({column: ["1", "x", ""] for column in schema.columns}))


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files are changed some thousand times, and nobody pulls the plug."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


READERS: dict[str, Callable[[Path], Any]] = {
    "model.json": lambda path: Workdir(path).load_model(),
    CONFIG: lambda path: Workdir(path).config(),
    "data.json": load_data_file,
    "metrics.json": lambda path: Workdir(path).results(),
    "schema.json": _score,
    "unknown_ids.json": lambda path: UnknownFields(Workdir(path).schema(), path),
    "run.json": lambda path: Run("x", {}, path, path).jobs(),
    EXPORT: lambda path: GoldenRows.load(path / "export"),
    "tuned.json": lambda path: load_tuned(path / "tuned.json"),
    "truth.json": lambda path: load_truth(path / "truth.json"),
}


@contextlib.contextmanager
def holding(path: Path, name: str, content: bytes) -> Iterator[None]:
    """Within the block, a file holds something else, and its checksum is right."""
    checksums, name = (Checksums(path / "export"), GOLDEN_ROWS) if name == EXPORT else (Checksums(path), name)
    file, before = checksums.directory / name, (checksums.directory / name).read_bytes()

    def write(data: bytes) -> None:
        file.write_bytes(data) if name in ("tuned.json", "truth.json") else checksums.write({name: data})

    write(content)
    try:
        yield
    finally:
        write(before)


def complaint(path: Path, name: str, content: bytes) -> str:
    """The line with which a file's content is refused."""
    with holding(path, name, content), pytest.raises(UserError) as caught:
        READERS[name](path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 600 and "; " in line
    return line


def changed(path: Path, name: str, key: str | Sequence[str], value: Any) -> bytes:
    """A file's content with another value at a key such as `fields.0.width`."""
    content = json.loads((path / name).read_bytes())
    *outer, last = key.split(".") if isinstance(key, str) else key
    part = content
    for one in outer:
        part = part[int(one) if isinstance(part, list) else one]
    last = int(last) if isinstance(part, list) else last
    if value is GONE:
        del part[last]
    else:
        part[last] = value
    return json.dumps(content).encode()


def test_the_directory_is_read(directory):
    """As it is, each file gives what it holds, so what the tests below refuse is what they have changed."""
    found = {name: read(directory) for name, read in READERS.items()}
    assert type(found["model.json"]) is LogisticRegression
    assert (found[CONFIG]["batch_size"], found["data.json"].fingerprint, found["run.json"]) == (64, "0123", 2)
    assert found["metrics.json"]["config"] == found[CONFIG]
    assert found["tuned.json"]["dnn"]["values"] == {"model.l2": 0.1}
    assert found["truth.json"]["bayes_auc"] == 0.8
    assert len(found["schema.json"]["ids"]) == 3 and len(found[EXPORT].ctr) > 1
    assert isinstance(found["unknown_ids.json"], UnknownFields)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not valid JSON"),
        (b"[]", "expected object, got \\[\\]|format version|expected object"),
        (b'"text"', "expected object"),
        (b"null", "expected object"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": 1e999}', "too large a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": {"b": 1, "b": 2}}', "key 'b' stands twice"),
        ('{"é": 1}'.encode("latin-1"), "not valid JSON"),
        ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
        (b'{"a": {"b": "c"}}', "is missing|expected|unknown key|format version"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_no_such_json_is_one_line(directory, content, reason):
    for name in READERS:
        line = complaint(directory, name, content)
        assert line.startswith(f"{directory / name}: ") and re.search(reason, line), line


@pytest.mark.parametrize(
    "name, key, value, reason",
    [
        ("model.json", "z", 1, "unknown key 'z'"),
        ("model.json", "model", GONE, "key 'model' is missing"),
        ("model.json", "model", ["dnn"], "model: expected str, got \\['dnn'\\]"),
        ("model.json", "model", "../x", "there is no model '../x'"),
        ("model.json", "arguments", [], "arguments: expected object, got \\[\\]"),
        ("model.json", "arguments.z", 1, "has no argument z"),
        ("model.json", "arguments.num_rows", GONE, "arguments.num_rows: None, but schema.json has \\d+"),
        ("model.json", "arguments.num_rows", 10**9, "arguments.num_rows: 1000000000, but schema.json has"),
        ("model.json", "arguments.num_rows", 10**400, "arguments.num_rows: 1000.*\\.\\.\\., but schema.json has"),
        ("model.json", "arguments.num_rows", "48", "arguments.num_rows: '48', but schema.json has"),
        ("model.json", "arguments.num_fields", 10**9, "arguments.num_fields: 1000000000, but schema.json has \\d+"),
        ("model.json", "arguments.widths.0", 10**9, "arguments.widths: \\[1000000000, .*, but schema.json has"),
        ("model.json", "arguments.widths", 3, "arguments.widths: 3, but schema.json has"),
        ("model.json", "arguments.value_rows", [[0, 10**9]], "arguments.value_rows: .*, but schema.json has"),
        ("model.json", "arguments.initial_logit", "x", "initial_logit must be a finite number; received 'x'"),
        ("model.json", "arguments.initial_logit", True, "initial_logit must be a finite number; received True"),
        ("model.json", "arguments.dtype", "float1", "no model of this version"),
        ("model.json", "arguments.name", {"class_name": "system", "module": "os", "config": {}}, "no class None"),
        (CONFIG, "model", [], "model: expected object, got \\[\\]"),
        (CONFIG, "eval_batch_size", GONE, "key 'eval_batch_size' is missing"),
        (CONFIG, "eval_batch_size", "128", "eval_batch_size: expected int, got '128'"),
        (CONFIG, "eval_batch_size", True, "eval_batch_size: expected int, got True"),
        (CONFIG, "eval_batch_size", 10**12, "config.eval_batch_size should be .* got 1000000000000"),
        (CONFIG, "batch_size", "x", "config.batch_size should be .* got 'x'"),
        ("data.json", "data_dir", 3, "data_dir: expected str, got 3"),
        ("data.json", "fingerprint", GONE, "key 'fingerprint' is missing"),
        ("data.json", "z", 1, "unknown key 'z'"),
        ("metrics.json", "validation", [], "validation: expected object, got \\[\\]"),
        ("metrics.json", "validation.auc", "0.7", "validation.auc: expected float.*, got '0.7'"),
        ("metrics.json", "test.auc", GONE, "test: key 'auc' is missing"),
        ("metrics.json", "parameters", True, "parameters: expected int, got True"),
        ("metrics.json", "best_step", GONE, "key 'best_step' is missing"),
        ("metrics.json", "versions.python", 3, "versions\\[\\.\\.\\.\\]: expected str"),
        ("schema.json", "fields", {}, "fields: expected array, got an object"),
        ("schema.json", "fields", [], "at least one field"),
        ("schema.json", "fields.0.width", 10**9, "field text: expected size >= 1, width 1 to 65536.*width 1000000000"),
        ("schema.json", "fields.0.size", 10**9, "field log_square: expected size >= 1.* and offset 1000000000"),
        ("schema.json", "fields.11.size", 2 * 10**9, "levels, but the schema has 1999999999"),
        ("schema.json", "fields.11.size", 10**10, "10\\d+ table rows do not fit"),
        ("schema.json", "fields.0.size", True, "fields\\[0\\].size: expected int, got True"),
        ("schema.json", "fields.0.transform", "x", "field text: unknown transform 'x'"),
        ("schema.json", "fields.0.z", 1, "unknown key '.*z'"),
        ("schema.json", "fields.5.parameters", [], "field value: .*parameters"),
        ("schema.json", "format.columns", ["a", 1], "format.columns\\[1\\]: expected str, got 1"),
        ("unknown_ids.json", "text", "x", "expected float, got 'x'|\\[\\.\\.\\.\\]: expected float"),
        ("unknown_ids.json", "text", [], "expected float"),
        ("run.json", "jobs", "2", "jobs: expected int, got '2'"),
        ("run.json", "jobs", True, "jobs: expected int, got True"),
        ("run.json", "jobs", GONE, "key 'jobs' is missing"),
        (EXPORT, "ctr", ["x"], "ctr\\[0\\]: expected float, got 'x'"),
        (EXPORT, "ctr", [0.5], "has 7 rows, but ctr has 1;"),
        (EXPORT, "real", 10**9, "real"),
        (EXPORT, "examples.0", "no base64!", "malformed"),
        (EXPORT, "inputs", {}, "malformed"),
        (EXPORT, "inputs.ids.0", [10**9], "malformed"),
        (EXPORT, "inputs.ids.0.0", 10**12, "malformed"),
        ("tuned.json", "dnn.values", [], "dnn.values: expected object|values: expected object"),
        ("tuned.json", "dnn.values", GONE, "key 'values' is missing"),
        ("tuned.json", "dnn.trials", "x", "trials: expected int"),
        ("tuned.json", "dnn.z", 1, "unknown key 'dnn.z'"),
        ("truth.json", "bayes_auc", "x", "bayes_auc: expected float.*, got 'x'"),
        ("truth.json", "bayes_logloss", GONE, "key 'bayes_logloss' is missing"),
    ],
    ids=lambda value: "gone" if value is GONE else repr(value)[:20] if not isinstance(value, str) else None,
)
def test_a_wrong_value_is_named_with_file_key_and_way_out(directory, name, key, value, reason):
    line = complaint(directory, name, changed(directory, name, key, value))
    assert line.startswith(str(directory)) and re.search(reason, line), line


@pytest.mark.parametrize(
    "model, arguments, reason",
    [
        ("dnn", {}, "variable 'table' of shape \\(\\d+, 16\\) that was not saved"),
        ("dnn", {"dimension": 10**9}, "dimension must be at most 65,536.* received 1000000000"),
        ("dnn", {"dimension": 60_000}, "variable 'table' of shape \\(\\d+, 60000\\) that was not saved"),
        ("dnn", {"dimension": 1, "hidden_units": [10**9]}, "hidden_units must be at most 65,536"),
        ("dnn", {"dimension": 1, "hidden_units": [60_000]}, "variable 'kernel' of shape \\(12, 60000\\)"),
        ("ada_ensemble", {"num_layers": 10**9}, "num_layers must be at most 65,536"),
        ("ada_ensemble", {"dimension": 1, "num_layers": 60_000}, "that was not saved"),
        ("wide_and_deep", {"crosses": [[0, 1]], "cross_buckets": 10**9}, "cross_buckets must be at most 65,536"),
        ("hilomoe", {"rank_experts": 10**9}, "rank_experts must be at most 65,536"),
    ],
)
def test_a_model_larger_than_its_checkpoint_is_refused_before_it_takes_memory(
    directory, kinds, model, arguments, reason
):
    content = {"model": model, "arguments": json.loads(json.dumps(model_inputs(kinds.vocabularies.schema))) | arguments}
    line = complaint(directory, "model.json", json.dumps(content).encode())
    assert re.search(reason, line) and line.endswith("train again in another --workdir"), line


def _places(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of JSON at any depth; of a list's elements, the first."""
    items = list(value.items()) if isinstance(value, dict) else []
    items += [("0", one) for one in value[:1]] if isinstance(value, list) else []
    for key, one in items:
        yield (*place, key)
        yield from _places(one, (*place, key))


@pytest.mark.parametrize("name", READERS)
def test_no_value_anywhere_ends_in_a_traceback(directory, name):
    refused = 0
    for place in _places(json.loads((directory / name).read_bytes())):
        for value in (GONE, "text", True, None, -1, 10**9, 10**30, [], {}):
            with holding(directory, name, changed(directory, name, place, value)):
                try:
                    READERS[name](directory)
                except UserError as error:
                    assert str(directory) in str(error) and "\n" not in str(error), (place, value)
                    refused += 1
    assert refused > 5
