"""The rules of `--config=tabular`: sizes, regularisation, rates and patience from the prepared data.

N is the number of training rows, F of fields, V of levels, B the batch size, D the embedding size. "2^" stands for the
nearest power of two, [low, value, high] for a value kept between two bounds. All models that have the key:

| key | rule | reason |
|---|---|---|
| `batch_size` | 2^ N / 256, 128 to 4096 | Adam's steps are of one size: an epoch should have some hundred |
| `max_epochs` | [4, 4,000,000 / N, 20] | only a limit: early stopping ends training |
| `eval_every` | epoch / 4, at least 50 updates | the best weights may be those of the middle of an epoch |
| `patience` | 4 | an epoch without a better AUC, or 200 updates |
| `average_last` | 3 | a mean has less of the noise that small batches leave in weights |
| `calibration` | temperature | weights of the best AUC are often over-confident |
| `training` | joint if N < 1,000,000 | bi-level training would keep a tenth of the rows for gates |
| `model.dimension` | 16 if (16 F)^2 <= N, else 8 | the matrix of one cross layer has (F D)^2 weights |
| `model.hidden_units` | two of 2^ sqrt(N) / 2, 64 to 512 | weights between layers grow as rows do |
| `model.dropout` | 0.3; 0.2 from N = 30,000, 0.1 from 300,000 | with fewer rows, units fit noise sooner |
| `model.l2` | [1e-5, 10 / N, 1e-3] | a prior counts for less, the more rows there are |
| `embedding_optimizer.l2` | 500 / B | it is weighed against sums of gradients, each a mean of B rows |

Where levels outnumber rows (V > N), all but logistic regression, besides:

| key | rule | reason |
|---|---|---|
| `model.normalization`, `model.embedding_normalization` | none for batch | it scales up the noise of rare levels |
| `ema_momentum` | 0.995, with `average_last` 1 | so few rows leave noise in the weights |

AdaEnsemble, besides; `experiments/results/layer_form.md` has what they are worth on three tables:

| key | rule | reason |
|---|---|---|
| `weight_optimizer.learning_rate`, `gate_optimizer.learning_rate` | 0.003 | an average of weights allows a high rate |
| `embedding_optimizer.learning_rate` | 0.05 | its embeddings are normalised |
| `ema_momentum` | 0.995, with `average_last` 1 | it over-fits within an epoch, an average later |
| `model.dropout` | 0.1 | more was no better |
| `model.anneal_epochs` | 0.5 | gates should be final before the best weights, often of epoch 1 or 2 |

AdaEnsemble with a level for fewer than two rows (V > N / 2), in the place of these:

| key | rule | reason |
|---|---|---|
| `model.embedding_normalization` | none | it scales up the noise of rare levels |
| `model.dimension` | 8 or 4 if (F D)^2 <= N, else 2 | an expert has (F D)^2 weights |
| `model.num_layers` | 1 | a second layer gained nothing |
| `model.dropout` | 0.3 | so few rows are soon fitted |
| `weight_optimizer.learning_rate`, `gate_optimizer.learning_rate` | 0.001 | a higher one fits noise within an epoch |
| `embedding_optimizer.learning_rate` | 0.03 | its embeddings are not normalised |

The other mixtures of its table 2, besides:

| key | rule | reason |
|---|---|---|
| `model.num_layers` | 2, from N = 1,000,000 3 | each layer multiplies once more, which takes rows to learn |
| `model.embedding_normalization` | none if N < 1,000,000 | it would scale the noise of rare levels up |
| `model.anneal_epochs` | 0.5 | as above |

Logistic regression has `embedding_optimizer.l2` 25 / B and the learning rate 0.1, with which it may take all
epochs; 0.3 was faster and worse.

Rules with B, and `eval_every`, follow a `batch_size` of the command line. `experiments/results/tables.md` has what the
rules give on several tables.
"""

import math

from ml_collections import ConfigDict, FieldReference

from ada_ensemble_tf.configs.facts import Facts
from ada_ensemble_tf.configs.models import derived

MIDDLING = Facts(rows=100_000, positives=20_000, fields=20, levels=20_000)
"""For a config that is made before the data is known."""
MANY_ROWS = 1_000_000
"""From so many training rows on, models are as for large data."""
MIXTURES = ("dense_moe", "sequential_fusion", "single_expert", "ensemble")
"""Models made of AdaEnsemble's layers."""


def apply(config: ConfigDict, facts: Facts) -> None:
    """Sets a model's config to what the rules give.

    Args:
        config: with the model's and the trainer's defaults; keys that a model does not have, or has empty, stay so.
        facts: about the prepared data.
    """
    _trainer(config, facts)
    _sizes(config, facts)
    if config.model.name == "logistic_regression":
        config.embedding_optimizer.learning_rate = 0.1
        config.embedding_optimizer.l2 = _over_batch(config, 25.0)
        return
    if facts.levels > facts.rows:
        _rare_levels(config)
    if config.model.name == "ada_ensemble":
        _ada_ensemble(config)
        if facts.levels > facts.rows / 2:
            _few_rows(config, facts)
    elif config.model.name in MIXTURES:
        _mixture(config, facts)


def _trainer(config: ConfigDict, facts: Facts) -> None:
    config.batch_size = power_of_two(facts.rows / 256, 128, 4096)
    config.max_epochs = between(4.0, 4e6 / facts.rows, 20.0)
    config.eval_every = derived(
        facts.rows, lambda rows, batch: max(50, math.ceil(rows / batch / 4)), config.get_ref("batch_size")
    )
    config.patience = 4
    config.average_last = 3
    config.calibration = "temperature"
    if facts.rows < MANY_ROWS:
        config.training = "joint"


def _sizes(config: ConfigDict, facts: Facts) -> None:
    rows = facts.rows
    values = {
        "dimension": 16 if (16 * facts.fields) ** 2 <= rows else 8,
        "hidden_units": (power_of_two(math.sqrt(rows) / 2, 64, 512),) * 2,
        "l2": between(1e-5, 10.0 / rows, 1e-3),
    }
    for key, value in values.items():
        # Some models have no dense layers by design.
        if config.model.get(key):
            config.model[key] = value
    if "dropout" in config.model:
        config.model.dropout = 0.3 if rows < 30_000 else 0.2 if rows < 300_000 else 0.1
    config.embedding_optimizer.l2 = _over_batch(config, 500.0)


def _rare_levels(config: ConfigDict) -> None:
    config.average_last, config.ema_momentum = 1, 0.995
    for key in ("normalization", "embedding_normalization"):
        if config.model.get(key) == "batch":
            config.model[key] = "none"


def _ada_ensemble(config: ConfigDict) -> None:
    config.weight_optimizer.learning_rate = config.gate_optimizer.learning_rate = 3e-3
    config.embedding_optimizer.learning_rate = 0.05
    config.average_last, config.ema_momentum = 1, 0.995
    config.model.dropout, config.model.anneal_epochs = 0.1, 0.5


def _few_rows(config: ConfigDict, facts: Facts) -> None:
    config.model.dimension = next((d for d in (8, 4) if (d * facts.fields) ** 2 <= facts.rows), 2)
    config.model.num_layers, config.model.dropout, config.model.embedding_normalization = 1, 0.3, "none"
    config.weight_optimizer.learning_rate = config.gate_optimizer.learning_rate = 1e-3
    config.embedding_optimizer.learning_rate = 0.03


def _mixture(config: ConfigDict, facts: Facts) -> None:
    many = facts.rows >= MANY_ROWS
    config.model.num_layers = 3 if many else 2
    if not many:
        config.model.embedding_normalization = "none"
    if "anneal_epochs" in config.model:
        config.model.anneal_epochs = 0.5


def _over_batch(config: ConfigDict, strength: float) -> FieldReference:
    return derived(strength, lambda own, rows: own / rows, config.get_ref("batch_size"))


def power_of_two(value: float, low: int, high: int) -> int:
    """The power of two nearest to a value, by their ratio, between two of them.

    Example:
        >>> power_of_two(90.0, 16, 512), power_of_two(92.0, 16, 512), power_of_two(3.0, 16, 512)
        (64, 128, 16)
    """
    return int(between(low, 2 ** round(math.log2(value)), high))


def between(low: float, value: float, high: float) -> float:
    """The value, kept between two bounds."""
    return min(max(low, value), high)
