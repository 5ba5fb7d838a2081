"""Named sets of runs, for `python -m ada_ensemble_tf.compare --study=experiments/studies.py:NAME`.

A study is a function that returns {label: (model, {config key: value})}.
"""

from typing import Any

from ada_ensemble_tf.configs.published import LAYERS
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS

Study = dict[str, tuple[str, dict]]
PAPER = {f"model.{key}": value for key, value in LAYERS.items()}
"""AdaEnsemble with the paper's layers, whatever the data set's config has."""
SAME: dict[str, Any] = {
    "model.dimension": 16,
    "model.num_layers": 2,
    "model.dropout": 0.1,
    "model.l2": 1e-4,
    "model.normalization": "none",
    "model.embedding_normalization": "batch",
    "embedding_optimizer.learning_rate": 0.05,
    "embedding_optimizer.l2": 1.0,
    "weight_optimizer.learning_rate": 3e-3,
    "gate_optimizer.learning_rate": 3e-3,
}
"""Sizes, regularisation and rates for all rows of AdaEnsemble's tables, so that only what they combine differs."""
MIXTURE: dict[str, Any] = SAME | {
    "model.experts": RELEASED_EXPERTS,
    "model.shared_expert": None,
    "model.head_units": (),
    "model.depth_objective": "none",
    "model.expert_prior": None,
    "model.depth_prior": None,
    "model.load_anneal_epochs": 1.0,
}
"""A mixture of the paper's five experts and nothing else: no row leaves early, and no expert is shared."""


def paper_table2() -> Study:
    """AdaEnsemble (arXiv 2301.08353), table 2: number of experts, dense mixture, single experts, their ensemble."""
    return (
        {f"sparse_k{k}": ("ada_ensemble", MIXTURE | {"model.k": k}) for k in (1, 2, 3, 4)}
        | {"dense_moe": ("dense_moe", MIXTURE), "ensemble": ("ensemble", SAME)}
        | {f"{expert}_only": ("single_expert", SAME | {"model.expert": expert}) for expert in RELEASED_EXPERTS}
    )


def paper_table3() -> Study:
    """AdaEnsemble (arXiv 2301.08353), table 3: with and without the depth controller, in three layers."""
    layers = MIXTURE | {"model.k": 3, "model.num_layers": 3}
    return {
        "with_controller": ("ada_ensemble", layers | {"model.depth_objective": "compared"}),
        "without_controller": ("ada_ensemble", layers),
    }


def paper_figure5() -> Study:
    """AdaEnsemble (arXiv 2301.08353), figure 5a: depth 1 to 4; figure 5b's K = 1 to 4 is in `paper_table2`."""
    controlled = MIXTURE | {"model.k": 3, "model.depth_objective": "compared"}
    return {f"depth_{n}": ("ada_ensemble", controlled | {"model.num_layers": n}) for n in (1, 2, 3, 4)}


def decorrelation() -> Study:
    """D-MoE (arXiv 2505.17925): its strategies for de-correlating experts, added one by one."""
    steps = {"model.own_embeddings": True, "model.heterogeneous": True, "model.decorrelation_weight": 0.1}
    off = {"model.own_embeddings": False, "model.heterogeneous": False, "model.decorrelation_weight": 0.0}
    labels = ("plain_moe", "own_embeddings", "and_heterogeneous", "and_decorrelation_loss")
    keys = list(steps)
    return {label: ("d_moe", off | {key: steps[key] for key in keys[:count]}) for count, label in enumerate(labels)}


def dhen_table1() -> Study:
    """DHEN (arXiv 2203.11014), table 1: ensembles of interaction modules in five layers, against deep cross layers."""
    modules = {
        "dcn": ("deep_cross",),
        "attention": ("attention",),
        "cnn": ("convolution",),
        "linear": ("linear",),
        "dcn_linear": ("deep_cross", "linear"),
        "attention_linear": ("attention", "linear"),
        "attention_cnn": ("attention", "convolution"),
    }
    return {label: ("dhen", {"model.num_layers": 5, "model.modules": names}) for label, names in modules.items()}


def dhen_table2() -> Study:
    """DHEN (arXiv 2203.11014), table 2: 2, 4 and 8 layers of DLRM and linear modules, against one DLRM."""
    one = {"dlrm": ("dhen", {"model.num_layers": 1, "model.modules": ("dlrm",)})}
    return one | {
        f"dhen_{n}": ("dhen", {"model.num_layers": n, "model.modules": ("dlrm", "linear")}) for n in (2, 4, 8)
    }


def dhen_table3() -> Study:
    """DHEN (arXiv 2203.11014), table 3: DLRM scaled by experts, and by layers of DHEN, at about equal FLOPs.

    With 39 fields and D = 16, four experts cost as much as two layers and eight as much as four, within 4 %. Sixteen
    cost 1.4 times as much as six layers; in the paper, 1.3 times.
    """
    experts = {"dlrm": 1, "moe_4": 4, "moe_8": 8, "moe_16": 16}
    sizes = {"model.expert_units": (128, 128)}
    scaled: Study = {label: ("moe_dlrm", {"model.num_experts": n} | sizes) for label, n in experts.items()}
    return scaled | {f"dhen_{n}": ("dhen", {"model.num_layers": n}) for n in (2, 4, 6)}


def low_rank_experts() -> Study:
    """HiLoMoE (arXiv 2510.10432) and its base: at equal widths, and at widths with the 18.5 % fewer FLOPs it claims.

    At equal widths its experts add FLOPs. "smaller_base" shows what the smaller widths alone do.
    """
    wide, narrow = (400, 400, 400), (316, 316, 316)
    return {
        "base": ("dnn", {"model.hidden_units": wide}),
        "hilomoe_equal_widths": ("hilomoe", {"model.hidden_units": wide}),
        "hilomoe": ("hilomoe", {"model.hidden_units": narrow}),
        "hilomoe_all_experts": ("hilomoe", {"model.hidden_units": narrow, "model.k": 0}),
        "smaller_base": ("dnn", {"model.hidden_units": narrow}),
    }


def objectives() -> Study:
    """Choices that AdaEnsemble's paper leaves open, each compared with the paper's layers."""
    changes: dict[str, dict] = {
        "default": {},
        "bilevel": {"training": "bilevel"},
        "joint": {"training": "joint"},
        "straight_through": {"model.depth_objective": "straight_through"},
        "expected": {"model.depth_objective": "expected"},
        "compared": {"model.depth_objective": "compared", "model.deep_supervision": 0.0},
        "compared_supervised": {"model.depth_objective": "compared", "model.deep_supervision": 0.1},
        "no_annealing": {"model.anneal_epochs": 0.0},
        "gates_read_gradient": {"model.gate.stop_gradient": False},
        "temperature_0.2": {"model.gate.initial_temperature": 0.2},
        "uniform_priors": {"model.expert_prior": None, "model.depth_prior": None},
        "layer_normalization": {"model.normalization": "layer"},
        "raw_embeddings": {"model.embedding_normalization": "none"},
    }
    return {label: ("ada_ensemble", PAPER | values) for label, values in changes.items()}


def layer_form() -> Study:
    """AdaEnsemble's default layers, and each choice of theirs undone; `dropout` has the one that is missing."""
    changes: dict[str, dict] = {
        "default": {},
        "no_shared_expert": {"model.shared_expert": None},
        "raw_embeddings": {"model.embedding_normalization": "none"},
        "normalised_layers": {"model.normalization": "batch"},
        "normalised_experts": {"model.expert_normalization": "pre_activation"},
        "sum_times_k": {"model.expert_scale": "k"},
        "linear_estimators": {"model.head_units": ()},
        "one_expert": {"model.k": 1},
        "all_experts": {"model.k": 4},
        "one_layer": {"model.num_layers": 1},
        "no_controller": {"model.depth_objective": "none"},
        "constant_load": {"model.load_anneal_epochs": 0.0},
        "released_experts": {"model.experts": RELEASED_EXPERTS, "model.k": 3},
        "published_layers": PAPER,
        "own_weights": {"ema_momentum": 0.0},
    }
    return {label: ("ada_ensemble", values) for label, values in changes.items()}


def dropout() -> Study:
    """AdaEnsemble with and without dropout of what experts read."""
    return {
        "dropout": ("ada_ensemble", {"model.dropout": 0.1}),
        "no_dropout": ("ada_ensemble", {"model.dropout": 0.0}),
    }


def depth_controller() -> Study:
    """AdaEnsemble with its exits, and with all rows through all of its layers."""
    return {"controller": ("ada_ensemble", {}), "no_controller": ("ada_ensemble", {"model.depth_objective": "none"})}


def learned_exits() -> Study:
    """AdaEnsemble whose gates learn on half of the validation rows, an update for each of the weights; and no exits.

    On training rows all exits of a model that fits them are alike, so gates that learn there cannot tell them apart. An
    exit is trained on its own rows alone, and K and the load weights fall so that exits soon have rows of their own. In
    "no_exits" all rows go through all layers, and everything else is the same.
    """
    rows = {"gate_source": "validation", "gate_share": 0.5, "weight_steps": 1, "gate_optimizer.learning_rate": 0.01}
    gates = {"training": "bilevel", "monitor": "logloss", "gate_weights": "averaged"} | rows
    exits = {"model.deep_supervision": 0.0, "model.anneal_epochs": 0.5, "model.load_anneal_epochs": 2.0}
    return {
        "learned_exits": ("ada_ensemble", gates | exits),
        "no_exits": ("ada_ensemble", gates | exits | {"model.depth_objective": "none"}),
    }


def exit_trials() -> Study:
    """What was tried before gates learned for the averaged weights: the form of `learned_exits`, each with a change."""
    model, form = learned_exits()["learned_exits"]
    chosen = form | {"gate_weights": "own"}
    slow = {"model.anneal_epochs": 1.0, "model.load_anneal_epochs": 1.0}
    changes: dict[str, dict] = {
        "chosen": {},
        "no_average": {"ema_momentum": 0.0},
        "three_layers": {"model.num_layers": 3},
        "prior": {"model.depth_prior": (0.7, 0.3)},
        "sooner_and_longer": {"model.anneal_epochs": 0.25, "model.load_anneal_epochs": 4.0},
        "more_dropout": {"model.dropout": 0.3},
        "slow": slow,
        "slow_three_layers": slow | {"model.num_layers": 3},
        "slow_three_layers_supervised": slow | {"model.num_layers": 3, "model.deep_supervision": 0.1},
    }
    return {label: (model, chosen | values) for label, values in changes.items()}


def equal_sizes() -> Study:
    """AdaEnsemble and three baselines at the same D and rates, for tables on which nothing has been tuned."""
    values = {
        "model.dimension": 16,
        "embedding_optimizer.learning_rate": 0.05,
        "embedding_optimizer.l2": 1.0,
        "weight_optimizer.learning_rate": 3e-3,
    }
    deep = {"model.hidden_units": (128, 128), "model.dropout": 0.2}
    return {
        # Its default: the config of Frappe, on which this study was run, has another.
        "ada_ensemble": ("ada_ensemble", values | {"model.dropout": 0.0}),
        "dnn": ("dnn", values | deep),
        "dcn_v2": ("dcn_v2", values | {"model.hidden_units": (128,), "model.num_layers": 3}),
        "wide_and_deep": ("wide_and_deep", values | deep),
    }


def precision() -> Study:
    """Whether computing in bfloat16 costs AUC."""
    return {
        f"{model}_{precision}": (model, {"precision": precision})
        for model in ("dcn_v2", "dense_moe", "ada_ensemble")
        for precision in ("float32", "bfloat16")
    }


def small_numbers() -> Study:
    """Whether tables and slots of an optimiser in 16 bits, rounded by chance, cost AUC."""
    model = "dcn_v2"
    slots = {"embedding_optimizer.slot_dtype": "bfloat16"}
    return {
        "float32": (model, {}),
        "bfloat16_tables": (model, {"model.table_dtype": "bfloat16"}),
        "float16_tables": (model, {"model.table_dtype": "float16"}),
        "bfloat16_tables_and_slots": (model, {"model.table_dtype": "bfloat16"} | slots),
    }
