"""From a working directory to the evidence of its report."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import auc_interval
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.reporting import exits
from ada_ensemble_tf.reporting.baselines import BASE_RATE, SIMPLE_MODEL, Baseline, simple_model_beside
from ada_ensemble_tf.reporting.costs import Cost
from ada_ensemble_tf.reporting.evidence import Evidence
from ada_ensemble_tf.reporting.gate_use import GateUse, gate_uses
from ada_ensemble_tf.reporting.importance import Columns, Importance, permutation_importance
from ada_ensemble_tf.reporting.learning_curves import read_curves
from ada_ensemble_tf.reporting.sessions import describe, read_sessions
from ada_ensemble_tf.reporting.vocabulary_coverage import coverage
from ada_ensemble_tf.trained.changed_keys import changed_keys
from ada_ensemble_tf.trained.config_ranges import MONITORED
from ada_ensemble_tf.trained.run_files import load_data_file
from ada_ensemble_tf.trained.workdir import Workdir
from data_pipelines.errors import UserError
from data_pipelines.fields.level_names import OUT_OF_VOCABULARY, level_name, positive_name
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.progress import Progress
from data_pipelines.read.inputs import Inputs, ids_of, make_inputs, values_of

logger = logging.getLogger(__name__)


class Gathering:
    """Reads a trained model and its data.

    Args:
        workdir: the training run's directory.
        data_dir: the prepared data; by default, where they were in training.
        rows: how many test rows all sections but the metrics read, and as many rows of the other splits.
        importance_rows: how many of these permutation importance reads.
        baseline: the working directory of a model to compare with; by default, of a logistic regression that was
            trained on the same data in a directory beside this one.

    Raises:
        UserError: if nothing was trained here or in `baseline` to the end, the data are gone, the baseline was trained
            on other data, or a number of rows is not positive.
    """

    def __init__(
        self, workdir: Workdir, data_dir: str | None, rows: int, importance_rows: int, baseline: str | None = None
    ):
        for name, value in (("rows", rows), ("importance_rows", importance_rows)):
            if value < 1:
                raise UserError(f"--{name} must be at least 1; received {value}")
        if not (workdir.path / "model.json").exists() or not workdir.metrics_file.exists():
            raise UserError(
                f"{workdir.path}: no completely trained model here; train first (python -m ada_ensemble_tf.train)"
            )
        self._workdir, self._model = workdir, workdir.load_model()
        self._data, self._schema = workdir.open_data(data_dir), workdir.schema()
        self._rows, self._importance_rows = rows, importance_rows
        self._results = workdir.results()
        self._baseline = self._checked(baseline) if baseline else None
        config = workdir.config()
        # Configs of earlier versions of this code have no monitor: it was AUC.
        self._batch, self._monitor = int(config["eval_batch_size"]), config.get("monitor", "auc")

    def evidence(self) -> Evidence:
        """Everything that the report shows; logs its progress."""
        model, scorer = self._model, Scorer(self._model)
        kept: list[Inputs] = []
        with self._data.reading():
            labels, probabilities, weights, flops = scorer.score(self._test_batches(kept))
        inputs = _numpy(kept, min(self._rows, len(labels)))
        n = len(ids_of(inputs))
        some_weights = None if weights is None else weights[:n]
        gates = self._gates(inputs)
        vocabularies = Vocabularies.load(self._workdir.path, self._schema)
        functions = exits.forwards(model)
        logger.info("exits: %d ways through the model, on %d rows each", len(functions), n)
        scores = {name: exits.score(one, _batches(inputs, self._batch)) for name, one in functions.items()}
        costs = [Cost(name, s.flops, auc_interval(labels[:n], s.probabilities, some_weights), name == "as routed")
                 for name, s in scores.items()]  # fmt: skip
        logger.info("latency: %d calls of each at %s rows", exits.CALLS, " and ".join(map(str, exits.BATCHES)))
        times = exits.latencies(functions, lambda count: _tensors(_first(inputs, count)))
        columns, offsets = columns_of(self._schema), {field.name: field.offset for field in self._schema.fields}
        return Evidence(
            name=str(self._workdir.path),
            model=self._workdir.model_name(),
            facts=self._facts(n),
            results=self._results,
            monitor=self._monitor,
            same_data=self._results["data_fingerprint"] == self._data.fingerprint,
            labels=labels,
            probabilities=probabilities,
            weights=weights,
            flops=flops,
            positive=positive_name(self._schema.format),
            baselines=self._baselines(labels, weights),
            command=self._results.get("command", ""),
            changed=changed_keys(self._results["config"]),
            ids=ids_of(inputs),
            columns=columns,
            value_name=lambda field, id: value_name(self._schema, vocabularies, field, id),
            gates=gates,
            choices=model.choice_names(),
            uses=gate_uses(gates, model.choice_names()) if gates else self._uses_in_reports(inputs),
            coverage=coverage(self._ids_by_split(ids_of(inputs)), columns, offsets),
            importance=self._importance(scorer, labels, inputs, columns),
            costs=costs,
            latencies=times,
            machine=exits.machine(),
            training=read_curves(self._workdir.path / "tensorboard" / "training"),
            validation=read_curves(self._workdir.path / "tensorboard" / "validation"),
        )

    def _checked(self, baseline: str) -> Path:
        path = Path(baseline)
        if not (path / "metrics.json").exists():
            raise UserError(f"{path}: no completely trained model here; --baseline names a training's directory")
        if load_data_file(path).fingerprint != self._data.fingerprint:
            raise UserError(f"{path}: trained on other data than {self._workdir.path}; choose another --baseline")
        return path

    def _baselines(self, labels: np.ndarray, weights: np.ndarray | None) -> list[Baseline]:
        if weights is None:
            # What the negatives that preparation left out would have been is known.
            positives, rows = self._data.positives["train"], self._data.rows["train"]
            rate = positives / (positives + (rows - positives) / self._data.negative_rate)
            where = "the training split"
        else:
            rate, where = metrics.mean(labels, weights), "these rows, by weight"
        text = f"{rate:.5f} for every row, the share of {positive_name(self._schema.format)} in {where}"
        found = [Baseline(BASE_RATE, np.full(len(labels), rate), text)]
        path = self._baseline
        if path is None and self._workdir.model_name() != SIMPLE_MODEL:
            path = simple_model_beside(self._workdir.path, self._data.fingerprint)
        if path is not None:
            logger.info("scoring the test split with %s", path)
            other = Workdir(path)
            with self._data.reading():
                scored = Scorer(other.load_model()).score(self._data.evaluation("test", self._batch))
            found.append(Baseline(other.model_name(), scored.probabilities, str(path)))
        return found

    def _test_batches(self, kept: list[Inputs]) -> Iterator[tuple[Any, ...]]:
        """The test split's batches; the inputs of as many rows as needed go into `kept`."""
        done = 0
        with Progress("scoring the test split", self._data.rows["test"], logger.info) as progress:
            for batch in self._data.evaluation("test", self._batch):
                if done < self._rows:
                    kept.append(batch[0])
                yield batch
                done += len(batch[1])
                progress.update(done, done)

    def _ids_by_split(self, test: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        for split in ("train", "validation"):
            batches, rows = [], 0
            with self._data.reading():
                for inputs, *_ in self._data.evaluation(split, self._batch):
                    batches.append(ids_of(inputs).numpy())
                    rows += len(batches[-1])
                    if rows >= self._rows:
                        break
            found[split] = np.concatenate(batches)[: self._rows]
        return found | {"test": test}

    def _gates(self, inputs: Inputs) -> dict[str, np.ndarray]:
        if not hasattr(self._model, "gates"):
            return {}
        function = tf.function(self._model.gates, input_signature=[self._model.input_signature], autograph=False)
        batches = [function(one) for one in _batches(inputs, self._batch)]
        # A compiled function returns dictionaries sorted by key, where layer_10 comes before layer_2.
        places = [place for place in self._model.choice_names() if place in batches[0]]
        return {place: np.concatenate([_float(one[place]) for one in batches]) for place in places}

    def _uses_in_reports(self, inputs: Inputs) -> list[GateUse]:
        """For models that cannot give their gates row by row: their reports, weighted by rows."""
        names = self._model.choice_names()
        if not names:
            return []

        @tf.function(input_signature=[self._model.input_signature], autograph=False)
        def shares(inputs: Inputs) -> dict[str, tf.Tensor]:
            reports = self._model.forward(inputs, training=False).reports
            return {place: tf.stack([r.load, r.routed, r.probability]) for place, r in reports.items()}

        totals: dict[str, np.ndarray] = {}
        rows = 0
        for one in _batches(inputs, self._batch):
            count = len(ids_of(one))
            totals = {place: totals.get(place, 0.0) + count * _float(s) for place, s in shares(one).items()}
            rows += count
        places = [place for place in names if place in totals]
        return [GateUse(place, tuple(names[place]), rows, *(totals[place] / rows)) for place in places]

    def _importance(
        self, scorer: Scorer, labels: np.ndarray, inputs: Inputs, columns: dict[str, Columns]
    ) -> list[Importance]:
        few = _first(inputs, min(self._importance_rows, len(ids_of(inputs))))

        def score(ids: np.ndarray, values: np.ndarray | None) -> np.ndarray:
            return np.concatenate([scorer(one) for one in _batches(make_inputs(ids, values), self._batch)])

        ids = ids_of(few)
        return permutation_importance(score, labels[: len(ids)], ids, values_of(few), columns, show=logger.info)

    def _facts(self, rows: int) -> dict[str, str]:
        data, results = self._data, self._results
        return {
            **describe(read_sessions(self._workdir.path / "tensorboard" / "training")),
            "data": f"{data.path}, fingerprint {data.fingerprint}",
            "rows": ", ".join(f"{split} {count:,}" for split, count in data.rows.items()),
            "rows read by the sections after Learning curves": f"{rows:,} of test",
            "fields": f"{self._schema.num_fields}, {self._schema.num_rows:,} rows of the embedding table",
            "parameters": f"{results['parameters']:,}",
            "kept checkpoint": f"step {results['best_step']:,}, best validation {MONITORED[self._monitor].written}",
            "versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        }


def columns_of(schema: Schema) -> dict[str, Columns]:
    """The position of each field in a row."""
    starts = np.cumsum([0, *schema.widths])
    values = {index: place for place, index in enumerate(schema.value_fields)}
    return {
        field.name: Columns(
            slice(int(starts[i]), int(starts[i + 1])), slice(values[i], values[i] + 1) if i in values else slice(0, 0)
        )
        for i, field in enumerate(schema.fields)
    }


def value_name(schema: Schema, vocabularies: Vocabularies, field: str, id: int) -> str:
    """What an id of a field stands for."""
    one = next(f for f in schema.fields if f.name == field)
    if id == one.offset:
        return OUT_OF_VOCABULARY
    return level_name(one, one.level_text(id - one.offset, vocabularies.levels[field]))


def _first(inputs: Inputs, count: int) -> Inputs:
    """The first rows; if there are fewer, they repeat."""
    places = np.arange(count) % len(ids_of(inputs))
    return tf.nest.map_structure(lambda one: one[places], inputs)


def _float(tensor: tf.Tensor) -> np.ndarray:
    # A bfloat16 model may have bfloat16 gates, which NumPy hardly supports.
    return tf.cast(tensor, tf.float32).numpy()


def _tensors(inputs: Inputs) -> Inputs:
    return tf.nest.map_structure(tf.convert_to_tensor, inputs)


def _batches(inputs: Inputs, size: int) -> Iterator[Inputs]:
    for start in range(0, len(ids_of(inputs)), size):
        yield tf.nest.map_structure(lambda one, start=start: one[start : start + size], inputs)


def _numpy(batches: list[Inputs], rows: int) -> Inputs:
    return tf.nest.map_structure(lambda *parts: np.concatenate([one.numpy() for one in parts])[:rows], *batches)
