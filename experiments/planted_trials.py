"""The trials of AdaEnsemble and DCN V2 on planted rows, as `studies.py` has studies; the config has what they found."""

from experiments.studies import Study


def first() -> Study:
    """Nine trials each of AdaEnsemble and DCN V2 on planted rows: the same changes of rates, L2, dropout and depth."""
    l2 = "embedding_optimizer.l2"
    changes: dict[str, dict] = {
        "default": {},
        "more_l2": {l2: 4.0},
        "most_l2": {l2: 8.0},
        "lower_rate": {"weight_optimizer.learning_rate": 3e-3, "gate_optimizer.learning_rate": 3e-3},
        "cosine": {"weight_optimizer.schedule.name": "cosine", "weight_optimizer.schedule.decay_steps": 1368},
        "dropout": {},
        "deeper": {},
        "deeper_more_l2": {l2: 4.0},
        "deeper_most_l2": {l2: 8.0},
    }
    before: dict[str, dict] = {
        "ada_ensemble": {l2: 2.0, "model.num_layers": 2, "model.dropout": 0.1},
        "dcn_v2": {l2: 2.0, "model.num_layers": 3, "model.dropout": 0.0},
    }
    own: dict[str, dict[str, dict]] = {
        "ada_ensemble": {"deeper": {"model.num_layers": 3}, "dropout": {"model.dropout": 0.2}},
        "dcn_v2": {"deeper": {"model.num_layers": 4}, "dropout": {"model.dropout": 0.1}},
    }
    return {
        f"{model}_{label}": (model, before[model] | own[model].get(label.partition("_")[0], {}) | values)
        for model in before
        for label, values in changes.items()
    }


def second() -> Study:
    """Six more trials each, from the best of `first`."""
    l2, rate = "embedding_optimizer.l2", "weight_optimizer.learning_rate"
    deeper = {"model.num_layers": 3}
    ada_ensemble: dict[str, dict] = {
        "no_dropout": {},
        "no_dropout_k1": {"model.k": 1},
        "no_dropout_more_l2": {l2: 16.0},
        "no_dropout_deeper": deeper,
        "no_dropout_deeper_more_l2": deeper | {l2: 16.0},
        "no_dropout_deeper_annealed_sooner": deeper | {"model.anneal_epochs": 0.5, "model.load_anneal_epochs": 0.5},
    }
    dcn_v2: dict[str, dict] = {
        "dropout": {"model.dropout": 0.1},
        "dropout_more_l2": {"model.dropout": 0.1, l2: 8.0},
        "more_dropout": {"model.dropout": 0.2},
        "deeper": {"model.num_layers": 5},
        "deeper_dropout": {"model.num_layers": 5, "model.dropout": 0.1},
        "lower_rate": {rate: 4e-3},
    }
    best = {"model.num_layers": 2, "model.dropout": 0.0, l2: 8.0}
    return {f"ada_ensemble_{label}": ("ada_ensemble", best | values) for label, values in ada_ensemble.items()} | {
        f"dcn_v2_{label}": ("dcn_v2", {"model.num_layers": 4, l2: 4.0} | values) for label, values in dcn_v2.items()
    }
