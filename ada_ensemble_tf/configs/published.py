"""Configs of published experiments: those of AdaEnsemble's paper (arXiv 2301.08353), and of its original release."""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict, FieldReference

from ada_ensemble_tf.configs import defaults
from ada_ensemble_tf.configs.models import WITH_PRIORS, derived, set_k, set_priors
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS

MIXTURES = ("ada_ensemble", "dense_moe", "single_expert", "ensemble")
"""Models whose embeddings the paper trains with G-FTRL: its own, and those of its table 2."""
LINEAR = ("logistic_regression", "factorization_machine")
"""Models that the paper trains with FTRL."""
BASELINES = {
    "autoint": "none",
    "dcn": "batch",
    "dcn_v2": "none",
    "deep_crossing": "none",
    "deepfm": "none",
    "dnn": "none",
    "fibinet": "none",
    "pnn": "none",
    "wide_and_deep": "none",
    "xdeepfm": "none",
    "xdeepint": "none",
}
"""The neural baselines of the paper's table 1, with the normalisation of dense layers in the papers that it cites.

Of these only DCN (arXiv 1708.05123, section 4.2) batch-normalises them. None normalises embeddings.
"""
LAYERS: dict[str, Any] = {
    "experts": RELEASED_EXPERTS,
    "k": 3,
    "num_layers": 4,
    "normalization": "batch",
    "shared_expert": None,
    "head_units": (),
    "dropout": 0.0,
    "depth_objective": "straight_through",
    "load_anneal_epochs": 0.0,
}
"""AdaEnsemble's layers and exits as the paper and its original release have them; see `paper_config` for what they do
not say."""
_RELEASE_BATCH = 4096
DEPTH_PRIOR = (0.1, 0.2, 0.6, 0.1)
PAPER, RELEASE = "ada_ensemble_paper", "ada_ensemble_release"


def paper_config(model: str) -> ConfigDict:
    """The config with which AdaEnsemble's paper trains `model` (arXiv 2301.08353, section 4.1.4).

    Batch 4096, D = 16, dense kernels with L2 1e-4 (the paper searched 1e-4 to 1e-3), evaluation every 2000 steps with
    early stopping. Gates learn from half of the validation rows (equation 19), and the other half stops training and
    chooses the checkpoint. The neural baselines use Adam at one rate, 1e-3, for weights and embeddings: the embeddings'
    rate follows the weights' unless it is set. Their embeddings use `RowSparseAdam`, which does not change rows missing
    from the batch, whereas the paper's Adam would move them by their momentum. Normalisation is that of the papers
    cited, see `BASELINES`. Logistic regression and factorisation machine use FTRL.

    AdaEnsemble and the models of its table 2 use Adam and G-FTRL. Their layers are batch-normalised; the paper has a
    normalisation there but does not say which, and none of embeddings, which start as TensorFlow's do, from a truncated
    normal distribution of standard deviation 1 / sqrt(D). The paper gives no values for G-FTRL: these are the
    release's, see `group_ftrl`.

    The paper's bins are floor(ln(v^2)) by its section 4.1.1, `prepare --numeric_bins=log_of_square`, and of equal
    frequency by its section 3.1, `--numeric_bins=equal_frequency`. `python -m ada_ensemble_tf.tune --search=grid
    --parsimony=0.0002` is its choice of hyper-parameters.

    Args:
        model: a name in `models.MODELS`; models that are not in the paper keep their own defaults, with Adam. Or a name
            in `PUBLISHED`.

    Raises:
        ValueError: for a model without a config.
    """
    if model in PUBLISHED:
        return PUBLISHED[model]()
    config = defaults.config_for(model)
    config.gate_source, config.gate_share = "validation", 0.5
    if model == "ada_ensemble":
        set_published_layers(config.model)
    if model in WITH_PRIORS:
        set_priors(config.model, DEPTH_PRIOR)
    if model in MIXTURES:
        config.embedding_optimizer.update(group_ftrl(config.get_ref("batch_size")))
        config.model.embedding_normalization = "none"
        config.model.embedding_scale, config.model.embedding_truncated = None, True
    elif model not in LINEAR:
        rate = derived(1e-3, lambda own, of_weights: of_weights, config.weight_optimizer.get_ref("learning_rate"))
        own = {"name": "sparse_adam", "learning_rate": rate, **defaults.optimizer_options()}
        config.embedding_optimizer = ConfigDict(own)
    if model in BASELINES:
        for key, value in (("normalization", BASELINES[model]), ("embedding_normalization", "none")):
            if key in config.model:
                config.model[key] = value
    return config


def release_config() -> ConfigDict:
    """The Criteo experiment of AdaEnsemble's original release, to the letter.

    No normalisation anywhere; embeddings from a truncated normal distribution of standard deviation 1 / sqrt(D); the K
    = 3 kept outputs summed unweighted, from the first step on, and one exit per row. So no gradient of the prediction
    reaches any gate: gates learn from the load loss, with alpha = 1, the priors and the dispatched rows, and from the
    z-loss, whose coefficient the release sets to 0.01 but never applies. Joint training for three epochs, Adam 1e-3,
    G-FTRL for the embeddings, no L2. Its bins are `prepare --numeric_bins=log1p_of_square`; it leaves out I13 and reads
    missing integers as 0, which is not repeated here.
    """
    config = defaults.config_for("ada_ensemble")
    set_published_layers(config.model)
    set_priors(config.model, DEPTH_PRIOR)
    config.training, config.max_epochs = "joint", 3.0
    config.embedding_optimizer.update(group_ftrl(config.get_ref("batch_size")))
    config.model.update(
        {
            "normalization": "none",
            "embedding_normalization": "none",
            "embedding_truncated": True,
            "expert_scale": "unweighted",
            "depth_objective": "auxiliary",
            "anneal_epochs": 0.0,
            "expert_load_weight": 1.0,
            "depth_load_weight": 1.0,
            "load": "dispatched",
            "z_weight": 1.0,
            "l2": 0.0,
        }
    )
    config.model.embedding_scale = None
    config.model.gate.initial_temperature = 1.0
    return config


def set_published_layers(model: ConfigDict) -> None:
    """Gives AdaEnsemble's `config.model` the layers `LAYERS`."""
    model.update(LAYERS)
    set_k(model, LAYERS["k"])


PUBLISHED: dict[str, Callable[[], ConfigDict]] = {
    PAPER: lambda: paper_config("ada_ensemble"),
    RELEASE: release_config,
}
"""Configs of AdaEnsemble that every data set has beside that of the model, by the name to give in its place."""


def config_for(model: str) -> ConfigDict:
    """The config of a model, or of one of `PUBLISHED`, before a data set changes it."""
    return PUBLISHED[model]() if model in PUBLISHED else defaults.config_for(model)


def group_ftrl(batch_size: int | FieldReference) -> dict[str, Any]:
    """G-FTRL as the release sets it, for a batch size other than its 4096: alpha 0.02, beta, l1 and l2 of its loss.

    The release's beta 1e-4 and l1 = l2 = 1e-3 go with LogLoss averaged over 4096 rows. A row's gradient, z and root of
    n are inversely proportional to the batch size, as one row's part in the mean is, so these three are too: l1 is 4.1
    over the batch size. xDeepInt (arXiv 2301.01089), with a sum in place of the mean, has 10. Rows without use then go
    to zero at any batch size, as `test_published.py` shows. On 84,000 planted rows in batches of 256, one epoch of two
    layers with D = 8 left 75 % of the rows at zero: 81 % of those seen fewer than 20 times, 67 % up to 200 times, 7 %
    up to 2000 times, and none of the more frequent ones. A tenth of that l1 left 2 %, and the validation AUC was no
    better: 0.653 against 0.656 (one seed).

    l1 also goes with the size of gradients, so it is for embeddings that are not normalised. A batch normalisation of
    embeddings of standard deviation s multiplies their gradients by 1 / s.
    """

    def of_batch(value: float) -> Any:
        if isinstance(batch_size, FieldReference):
            return derived(value, lambda own, rows: own * _RELEASE_BATCH / rows, batch_size)
        return value * _RELEASE_BATCH / batch_size

    strengths = {"beta": 1e-4, "l1": 1e-3, "l2": 1e-3}
    return {"learning_rate": 0.02, "keep_initial": False} | {name: of_batch(v) for name, v in strengths.items()}
