"""The keys that every config has, with values that suit most data."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from experiments.models import WITH_PRIORS, model_config, set_priors
from experiments.overrides import override


def trainer() -> ConfigDict:
    """How to train; `model` and what a data set needs otherwise are added by `experiments/<dataset>.py`."""
    return ConfigDict(
        {
            "seed": 0,
            # Bit-equal reruns, at some cost in speed.
            "deterministic": False,
            # "bfloat16": matrix products and feature maps in it, all else and the variables in float32.
            "precision": "float32",
            # Where to train. "auto": all GPUs of this machine, or all workers of the environment variable TF_CONFIG.
            # "none": one device. "mirrored": all devices of this machine, CPU devices too.
            "strategy": "auto",
            # Seconds that a worker waits for the others before it ends and says so: longer than the chief needs to
            # write a checkpoint, and than a worker that was lost takes to be started again.
            "worker_timeout": 1800.0,
            # Rows of a weight update, over all devices and machines.
            "batch_size": 4096,
            # Rows scored at once, by each machine.
            "eval_batch_size": 8192,
            "max_epochs": 10.0,
            # Weight updates between evaluations; at least one evaluation an epoch.
            "eval_every": 2000,
            # Evaluations without a better validation AUC before training stops.
            "patience": 3,
            # Weight updates between progress lines and TensorBoard points.
            "report_every": 100,
            # Above 0: a TensorBoard profile of this many weight updates, taken after the first report.
            "profile": 0,
            # "bilevel": gates learn on rows of their own, in turn with the weights. "joint": all on all rows.
            "training": "bilevel",
            # t: weight updates after each gate update.
            "weight_steps": 4,
            # Above 0: second-order gate gradient with this virtual step size.
            "xi": 0.0,
            # Where the gates' rows come from: a share of "train", or of "validation" (which early stopping then lacks).
            "gate_source": "train",
            "gate_share": 0.1,
            "embedding_optimizer": {
                "name": "group_ftrl",
                "learning_rate": 0.1,
                "beta": 1e-4,
                "l1": 0.0,
                "l2": 0.3,
                "keep_initial": True,
            },
            "weight_optimizer": {"name": "adam", "learning_rate": 1e-3},
            "gate_optimizer": {"name": "adam", "learning_rate": 1e-3},
        }
    )


def config_for(model: str) -> ConfigDict:
    """The trainer's keys with `model`'s own as `config.model`.

    Raises:
        ValueError: for a model without a config.
    """
    config = trainer()
    config.model = model_config(model)
    if model == "logistic_regression":
        # One weight a level: FTRL-Proximal, slower than embeddings under normalisation want.
        config.embedding_optimizer.name = "ftrl"
        config.embedding_optimizer.learning_rate = 0.02
        config.embedding_optimizer.l2 = 0.0
    if model == "factorization_machine":
        # FTRL too; its factors keep the prior on rare rows, which they memorise more easily than weights.
        config.embedding_optimizer.name = "ftrl"
        config.embedding_optimizer.learning_rate = 0.05
    return config


OWN_OPTIMIZERS = (
    "ada_ensemble",
    "dense_moe",
    "single_expert",
    "ensemble",
    "logistic_regression",
    "factorization_machine",
)
"""Models whose embeddings AdaEnsemble's paper trains with G-FTRL or FTRL; it gives those of the others to Adam."""


def paper_config(model: str) -> ConfigDict:
    """`model` as AdaEnsemble's paper trains it (arXiv 2301.08353, section 4.1.4).

    Batch 4096, D = 16, dense kernels with L2 1e-4 (searched from there to 1e-3), evaluation every 2000 steps with early
    stopping. Adam 1e-3 for the neural models, embeddings included; for AdaEnsemble's Adam and G-FTRL; for logistic
    regression and factorisation machine FTRL. Embeddings have `RowSparseAdam`, which leaves rows as they are that a
    batch does not have, where the paper's Adam would move them on by their momentum. What the paper does not give,
    G-FTRL's settings and patience among it, is `trainer`'s.

    Raises:
        ValueError: for a model without a config.
    """
    config = config_for(model)
    if model in WITH_PRIORS:
        set_priors(config.model, depth_prior=(0.1, 0.2, 0.6, 0.1))
    if model not in OWN_OPTIMIZERS:
        config.embedding_optimizer = ConfigDict({"name": "sparse_adam", "learning_rate": 1e-3})
    return config


TUNED = Path(__file__).parent / "tuned"
"""Where `python -m ada_ensemble_tf.tune --write=experiments/tuned/<dataset>.json` puts values."""


def apply_tuned(config: ConfigDict, dataset: str, folder: Path | None = None) -> ConfigDict:
    """Gives a config the values that were tuned for its model on a data set, if any were, and returns it.

    They are keys like others: the command line may set them again.

    Args:
        config: a whole config, as a data set's `get_config` is about to return it.
        dataset: the file's name, less ".json".
        folder: where the files are; `TUNED` by default.

    Raises:
        ValueError: for a key that the model no longer has; the message names file and key.
    """
    file = (folder or TUNED) / f"{dataset}.json"
    tuned = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if config.model.name in tuned:
        try:
            override(config, tuned[config.model.name]["values"])
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    return config
