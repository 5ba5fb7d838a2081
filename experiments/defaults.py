"""The keys that every config has, with values that suit most data."""

from ml_collections import ConfigDict


def trainer() -> ConfigDict:
    """How to train; `model` and what a data set needs otherwise are added by `experiments/<dataset>.py`."""
    return ConfigDict(
        {
            "seed": 0,
            # Bit-equal reruns, at some cost in speed.
            "deterministic": False,
            "batch_size": 4096,
            "eval_batch_size": 8192,
            "max_epochs": 10.0,
            # Weight updates between evaluations; at least one evaluation an epoch.
            "eval_every": 2000,
            # Evaluations without a better validation AUC before training stops.
            "patience": 3,
            # Weight updates between progress lines and TensorBoard points.
            "report_every": 100,
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


def ada_ensemble() -> ConfigDict:
    """AdaEnsemble with the sizes and priors of its paper (arXiv 2301.08353) and original release."""
    return ConfigDict(
        {
            "name": "ada_ensemble",
            "dimension": 16,
            "num_layers": 4,
            "experts": ("gated_dense", "cross", "polynomial", "convolution", "attention"),
            "k": 3,
            # Over so many epochs K falls from all experts to k, and the mixed exits from all to one.
            "anneal_epochs": 1.0,
            "expert_prior": (0.2, 0.2, 0.4, 0.1, 0.1),
            "depth_prior": (0.1, 0.2, 0.6, 0.1),
            "expert_load_weight": 0.01,
            "depth_load_weight": 0.01,
            "z_weight": 0.0,
            "depth_objective": "straight_through",
            "normalization": "batch",
            "embedding_normalization": "batch",
            "gate_reduction": 16,
            "gate_noise": 0.5,
            "gate_temperature": 0.5,
            "gate_stop_gradient": True,
            "l2": 1e-4,
        }
    )


def logistic_regression() -> ConfigDict:
    """Logistic regression; its weights are an embedding of size 1."""
    return ConfigDict({"name": "logistic_regression"})


def factorization_machine() -> ConfigDict:
    """The factorisation machine (ICDM 2010)."""
    return ConfigDict({"name": "factorization_machine", "dimension": 16})


def _deep(name: str, **own) -> ConfigDict:
    """The keys that all models with dense layers have, and a model's `own`."""
    shared = {"dimension": 16, "hidden_units": (400, 400, 400), "normalization": "batch", "dropout": 0.0, "l2": 1e-4}
    return ConfigDict({"name": name} | shared | own)


def dnn() -> ConfigDict:
    """The plain deep network."""
    return _deep("dnn", activation="relu")


def wide_and_deep() -> ConfigDict:
    """Wide & Deep (arXiv 1606.07792); `crosses` lists fields by position."""
    return _deep("wide_and_deep", activation="relu", crosses=(), cross_buckets=1 << 16)


def deepfm() -> ConfigDict:
    """DeepFM (arXiv 1703.04247)."""
    return _deep("deepfm", activation="relu")


def dcn() -> ConfigDict:
    """DCN (arXiv 1708.05123)."""
    return _deep("dcn", activation="relu", num_layers=3, embedding_normalization="batch")


def dcn_v2() -> ConfigDict:
    """DCN V2 (arXiv 2008.13535); rank 0 is full matrices."""
    crosses = {"num_layers": 3, "structure": "stacked", "rank": 0, "embedding_normalization": "batch"}
    return _deep("dcn_v2", activation="relu", **crosses)


def deep_crossing() -> ConfigDict:
    """Deep Crossing (KDD 2016)."""
    return _deep("deep_crossing")


def pnn() -> ConfigDict:
    """PNN (arXiv 1611.00144) with inner and outer products."""
    return _deep("pnn", activation="relu", products=("inner", "outer"))


MODELS = {
    "ada_ensemble": ada_ensemble,
    "dcn": dcn,
    "dcn_v2": dcn_v2,
    "deep_crossing": deep_crossing,
    "deepfm": deepfm,
    "dnn": dnn,
    "factorization_machine": factorization_machine,
    "logistic_regression": logistic_regression,
    "pnn": pnn,
    "wide_and_deep": wide_and_deep,
}


def config_for(model: str) -> ConfigDict:
    """The trainer's keys with `model`'s own as `config.model`.

    Raises:
        ValueError: for a model without a config.
    """
    if model not in MODELS:
        raise ValueError(f"there is no config for model {model!r}; there are {', '.join(sorted(MODELS))}")
    config = trainer()
    config.model = MODELS[model]()
    if model == "logistic_regression":
        # One weight a level: FTRL-Proximal, slower than embeddings under normalisation want.
        config.embedding_optimizer.learning_rate = 0.02
        config.embedding_optimizer.l2 = 0.0
    if model == "factorization_machine":
        # FTRL too; its factors keep the prior on rare rows, which they memorise more easily than weights.
        config.embedding_optimizer.learning_rate = 0.05
    return config
