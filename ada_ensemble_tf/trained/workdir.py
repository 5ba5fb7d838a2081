"""The working directory: what a training run leaves, and what everything after it starts from.

config.json       the config it was trained with
model.json        the model's class and constructor arguments
schema.json       the data's schema, and vocabulary/ beside it: raw logs can be scored without the prepared data
data.json         where the prepared data was, and its fingerprint
unknown_ids.json  the training split's shares of ids out of vocabulary, by field
checkpoints/      last (all state) and best (weights)
tensorboard/      training and validation
metrics.json      the results; there once training is complete
train.log         what the process printed, where something else started it
"""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from ada_ensemble_tf.models import MODELS, CTRModel, model_class
from ada_ensemble_tf.trained.checkpoint import Checkpoint, remove_unfinished_saves
from ada_ensemble_tf.trained.config_ranges import flat
from data_pipelines.errors import UserError
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import VOCABULARY_DIR
from data_pipelines.json_files import load_json
from data_pipelines.locks import LOCK_FILE, alone_in
from data_pipelines.output import remove_left, write_complete
from data_pipelines.read.dataset import PreparedData, open_data

MAY_CHANGE = ("max_epochs", "patience", "report_every", "profile", "strategy", "worker_timeout")
"""Config keys that a resumed run may change: they say when to stop or report, or where, not what is computed."""


class Workdir:
    """A training run's directory.

    Args:
        path: the directory; need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def metrics_file(self) -> Path:
        """metrics.json, there once training is complete."""
        return self.path / "metrics.json"

    def _is_of_something_else(self) -> bool:
        # Whoever starts a run writes its log before the run itself can claim the directory.
        files = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return bool(files - {"train.log", LOCK_FILE}) and "data.json" not in files

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keeps other trainings out for as long as the block runs. UserError: another is at work here."""
        return alone_in(self.path, "choose another --workdir")

    def claim(self, config: dict[str, Any], data: PreparedData) -> None:
        """Makes the directory that of a run of `config` on `data`, or, once something is trained, checks that it is.

        What a killed run was writing is removed, so call it from within `locked`.

        Raises:
            UserError: if it is that of another run, or of something else.
        """
        if (self.path / "checkpoints" / "last" / "checkpoint").exists():
            self.check(config, data)
        elif self._is_of_something_else():
            raise UserError(f"{self.path}: not empty and not a training directory; choose another --workdir")
        self.path.mkdir(parents=True, exist_ok=True)
        remove_left(self.path)
        for folder in ("last", "best"):
            remove_unfinished_saves(self.path / "checkpoints" / folder)
        write_json(self.path / "data.json", {"data_dir": str(data.path.absolute()), "fingerprint": data.fingerprint})
        data.schema.save(self.path / "schema.json")
        shutil.copytree(data.path / VOCABULARY_DIR, self.path / VOCABULARY_DIR, dirs_exist_ok=True)
        # Written last: it says that the rest is there.
        write_json(self.path / "config.json", config)

    def check(self, config: dict[str, Any], data: PreparedData) -> None:
        """Sees that the directory is that of a run of `config` on `data`.

        Raises:
            UserError: if it is that of another run, or of none.
        """
        if not (self.path / "config.json").exists():
            raise UserError(
                f"{self.path}: no training directory; all workers need the chief's --workdir, on a shared disk"
            )
        before = flat(load_json(self.path / "config.json"))
        now = flat(json.loads(json.dumps(config)))
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key) and key not in MAY_CHANGE:
                raise UserError(
                    f"{self.path}: trained with config.{key}={before.get(key)!r}, now {now.get(key)!r}; "
                    "choose another --workdir"
                )
        known = load_json(self.path / "data.json")["fingerprint"]
        if known != data.fingerprint:
            raise UserError(
                f"{self.path}: trained on data with fingerprint {known}, but {data.path} has {data.fingerprint}; "
                "choose another --workdir"
            )

    def save_model_config(self, model: CTRModel) -> None:
        """Writes model.json."""
        name = next(name for name, cls in MODELS.items() if cls is type(model))
        write_json(self.path / "model.json", {"model": name, "arguments": model.get_config()})

    def load_model(self) -> CTRModel:
        """The model with its best weights.

        Raises:
            UserError: if nothing was trained here, or by another version of this code.
        """
        if not (self.path / "model.json").exists():
            raise UserError(f"{self.path}: no trained model here; train first (python -m ada_ensemble_tf.train)")
        saved = load_json(self.path / "model.json")
        try:
            model = model_class(saved["model"]).from_config(saved["arguments"])
        except TypeError as error:
            raise UserError(
                f"{self.path / 'model.json'}: of another version of this code ({error}); train again"
            ) from error
        try:
            Checkpoint(self.path / "checkpoints" / "best", model.variables).restore()
        except ValueError as error:
            raise UserError(str(error)) from error
        return model

    def config(self) -> dict[str, Any]:
        """The config the run was trained with."""
        return load_json(self.path / "config.json")

    def schema(self) -> Schema:
        """The schema the model was trained with."""
        return Schema.load(self.path / "schema.json")

    def open_data(self, data_dir: str | None = None) -> PreparedData:
        """The prepared data that the model was trained on.

        Args:
            data_dir: where it is now; where it was in training by default.

        Raises:
            UserError: if it is gone, incomplete or has another schema.
        """
        data = open_data(data_dir or load_json(self.path / "data.json")["data_dir"])
        if data.schema != self.schema():
            raise UserError(f"{data.path}: prepared with another schema than the model of {self.path} was trained on")
        return data


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that the file is complete whenever it is there. NaN becomes null."""
    write_complete(path, json.dumps(_without_nan(value), indent=2, ensure_ascii=False) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
