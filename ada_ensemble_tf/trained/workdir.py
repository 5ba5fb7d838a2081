"""The working directory: what a training run writes and everything after it reads.

train_config.json  the config it was trained with
model.json         the model's class and constructor arguments
schema.json        the data's schema; with vocabulary/, raw logs can be scored without the prepared data
data.json          where the prepared data was, and its fingerprint
start.json         what the training began from, if not from new weights (see `start_file`)
unknown_ids.json   the training split's share of out-of-vocabulary ids by field
checkpoints/       last (all state) and best (weights)
tensorboard/       training and validation
placement.json     which device held which columns of which field's table, if devices shared the tables
calibration.json   the calibration of the best weights, if config.calibration asks for one
metrics.json       the results; it exists once training is complete
train.log          the process's output, if another program started it
SHA256SUMS         checksums of the JSON files and vocabularies, compared when a file is read (see `checksums`);
                   each checkpoint folder has its own, and the records in tensorboard/ contain theirs
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ada_ensemble_tf.arguments import plain
from ada_ensemble_tf.devices.placement import Placement
from ada_ensemble_tf.layers.calibration import Calibration
from ada_ensemble_tf.models import MODELS, CTRModel, model_class, model_inputs
from ada_ensemble_tf.plugins import allow_plugins
from ada_ensemble_tf.trained.checkpoint import Checkpoint, remove_unfinished_saves, saved_shapes
from ada_ensemble_tf.trained.run_files import (
    CONFIG_FILE,
    ModelFile,
    difference,
    is_trained,
    load_config,
    load_data_file,
    load_results,
    refuse_other_version,
)
from ada_ensemble_tf.trained.saved_sizes import check_sizes, no_larger_than
from data_pipelines import checksums
from data_pipelines.checksums import Checksums, way_out_of
from data_pipelines.errors import UserError
from data_pipelines.fields.schema import Schema
from data_pipelines.file_names import path_inside
from data_pipelines.json_files import as_type, load_json, save_json, shortened
from data_pipelines.locks import LOCK_FILE, alone_in
from data_pipelines.output import SUFFIX, remove_left
from data_pipelines.read.dataset import PreparedData, open_data

MAY_CHANGE = (
    "max_epochs", "max_steps", "patience", "report_every", "profile", "strategy", "worker_timeout", "calibration",
    "sharding.tables", "sharding.dense", "sharding.devices_per_host",
)  # fmt: skip
"""Config keys that a resumed run may change: they set when to stop or report, where, or what comes after training."""
CALIBRATION_FILE = "calibration.json"
PLACEMENT_FILE = "placement.json"


class Workdir:
    """A training run's directory.

    Args:
        path: the directory; it need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def metrics_file(self) -> Path:
        """metrics.json, which exists once training is complete."""
        return self.path / "metrics.json"

    def _is_of_something_else(self) -> bool:
        # A program that starts a run writes its log before the run can claim the directory.
        files = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        files = {name for name in files if not name.endswith(SUFFIX)}
        return bool(files - {"train.log", LOCK_FILE, checksums.FILE_NAME}) and "data.json" not in files

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keeps other trainings out while the block runs; raises UserError if another is at work here."""
        return alone_in(self.path, "choose another --workdir")

    def claim(self, config: dict[str, Any], data: PreparedData) -> None:
        """Claims the directory for a run of `config` on `data`; checks that anything trained here fits the run.

        Removes what a killed run was writing, so call it within `locked`.

        Raises:
            UserError: if the directory belongs to another run or to something else.
        """
        self._refuse_links()
        refuse_other_version(self.path)
        if is_trained(self.path):
            self.check(config, data)
        elif self._is_of_something_else():
            raise UserError(f"{self.path}: not empty and not a training directory; choose another --workdir")
        self.path.mkdir(parents=True, exist_ok=True)
        remove_left(self.path)
        for folder in ("last", "best"):
            remove_unfinished_saves(self.path / "checkpoints" / folder)
        save_json(self.path / "data.json", {"data_dir": str(data.path.absolute()), "fingerprint": data.fingerprint})
        data.schema.save(self.path / "schema.json")
        Checksums(self.path).copy(Checksums(data.path), dict.fromkeys(data.schema.vocabulary_files.values()))
        # Written last: it marks the rest as complete.
        save_json(self.path / CONFIG_FILE, config)

    def _refuse_links(self) -> None:
        """Training writes only into its own directory and does not follow links out of it."""
        for name in ("vocabulary", "checkpoints", "checkpoints/last", "checkpoints/best", "tensorboard"):
            path_inside(self.path, name)

    def check(self, config: dict[str, Any], data: PreparedData) -> None:
        """Checks that the directory belongs to a run of `config` on `data`.

        Raises:
            UserError: if it belongs to another run or to none.
        """
        refuse_other_version(self.path)
        if not (self.path / CONFIG_FILE).exists():
            raise UserError(
                f"{self.path}: no training directory; all workers need the chief's --workdir, on a shared disk"
            )
        known = load_data_file(self.path).fingerprint
        other = difference(self.config(), known, config, data.fingerprint, MAY_CHANGE)
        if other is not None:
            raise UserError(f"{self.path}: {other}; choose another --workdir")

    def save_model_config(self, model: CTRModel) -> None:
        """Writes model.json."""
        name = next(name for name, cls in MODELS.items() if cls is type(model))
        save_json(self.path / "model.json", {"model": name, "arguments": model.get_config()})

    def save_placements(self, placements: Mapping[str, Placement], fields: Sequence[str]) -> None:
        """Writes placement.json with the placement of each table by name, or removes it where devices share none."""
        if placements:
            tables = {name: placement.to_json() for name, placement in placements.items()}
            save_json(self.path / PLACEMENT_FILE, {"fields": list(fields), "tables": tables})
        else:
            Checksums(self.path).remove(PLACEMENT_FILE)

    def load_model(self) -> CTRModel:
        """The model with its best weights.

        Raises:
            UserError: if nothing was trained here, or another version of this code trained it.
        """
        refuse_other_version(self.path)
        if not (self.path / "model.json").exists():
            raise UserError(f"{self.path}: no trained model here; train first (python -m ada_ensemble_tf.train)")
        file, best = self.path / "model.json", self.path / "checkpoints" / "best"
        saved = load_json(file, ModelFile)
        self._check_reads(saved.arguments, file)
        allow_plugins(as_type(saved.arguments.get("plugins", []), list[str], f"{file}: arguments.plugins"), str(file))
        shapes = saved_shapes(best)
        try:
            cls = model_class(saved.model)
            check_sizes(cls, saved.arguments, shapes)
            with no_larger_than(shapes):
                model = cls.from_config(saved.arguments)
        except Exception as error:
            # Whatever a constructor makes of wrong arguments, it is the file that has them.
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{file}: no model of this version of the code ({type(error).__name__}: {reason}); "
                f"{way_out_of(self.path)}"
            ) from error
        Checkpoint(best, model.variables).restore()
        if (self.path / CALIBRATION_FILE).exists():
            model.calibration = load_json(self.path / CALIBRATION_FILE, Calibration)
        return model

    def save_calibration(self, calibration: Calibration | None) -> None:
        """Writes calibration.json, or removes it where there is no calibration."""
        if calibration is None:
            Checksums(self.path).remove(CALIBRATION_FILE)
        else:
            save_json(self.path / CALIBRATION_FILE, calibration.config())

    def _check_reads(self, arguments: Mapping[str, Any], file: Path) -> None:
        """Raises UserError where the model does not read what the schema has."""
        schema = self.schema()
        defaults = {"widths": [1] * schema.num_fields, "value_rows": [], "frozen_rows": [0, 0]}
        for name, value in model_inputs(schema).items():
            found = arguments.get(name)
            found = defaults.get(name) if found is None else found
            if found != plain(value) or isinstance(found, bool):
                raise UserError(
                    f"{file}: arguments.{name}: {shortened(found)}, but schema.json has {shortened(plain(value))}; "
                    f"{way_out_of(self.path)}"
                )

    def config(self) -> dict[str, Any]:
        """The config the run was trained with."""
        return load_config(self.path)

    def model_name(self) -> str:
        """The model's name in `models.MODELS`."""
        return load_json(self.path / "model.json", ModelFile).model

    def results(self) -> dict[str, Any]:
        """What metrics.json holds."""
        return load_results(self.path)

    def remove_results(self) -> None:
        """Removes metrics.json and calibration.json, which are of a model that training is about to replace."""
        Checksums(self.path).remove(self.metrics_file.name)
        Checksums(self.path).remove(CALIBRATION_FILE)

    def load_with_results(self) -> tuple[CTRModel, dict[str, Any]]:
        """The model with its best weights, and what metrics.json holds of it; {} where training is not complete.

        Training may be going on: the weights are then the best so far.

        Raises:
            UserError: as `load_model` and `results` do.
        """
        before = self._results_so_far()
        model = self.load_model()
        # Training removes metrics.json before it replaces the weights, and writes it after.
        return model, before if before == self._results_so_far() else {}

    def _results_so_far(self) -> dict[str, Any]:
        try:
            return self.results() if self.metrics_file.exists() else {}
        except UserError:
            # Training may have removed the file since.
            if self.metrics_file.exists():
                raise
            return {}

    def schema(self) -> Schema:
        """The schema the model was trained with."""
        return Schema.load(self.path / "schema.json")

    def open_data(self, data_dir: str | None = None) -> PreparedData:
        """Opens the prepared data that the model was trained on.

        Args:
            data_dir: where the data is now; by default, where it was in training.

        Raises:
            UserError: if the data is gone, incomplete or has another schema.
        """
        data = open_data(data_dir or load_data_file(self.path).data_dir)
        if data.schema != self.schema():
            raise UserError(f"{data.path}: prepared with another schema than the model of {self.path} was trained on")
        return data
