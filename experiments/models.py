"""Each model's own keys, `config.model`, with values that suit most data."""

from ml_collections import ConfigDict

EXPERTS = ("gated_dense", "cross", "polynomial", "convolution", "attention")
"""The experts of AdaEnsemble's original release."""


def ada_ensemble() -> ConfigDict:
    """AdaEnsemble with the sizes and priors of its paper (arXiv 2301.08353) and original release."""
    return ConfigDict(
        {
            "name": "ada_ensemble",
            "dimension": 16,
            "num_layers": 4,
            "experts": EXPERTS,
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
            # Of experts and depth; every gate takes these keys, each says what its noise is.
            "gate": {
                "name": "noisy_cosine",
                "reduction": 16,
                "noise": 0.5,
                "initial_temperature": 0.5,
                "stop_gradient": True,
            },
            # "sparse" or "dense"; or in the gates' place "vector_fusion" or "bit_fusion", with an activation.
            "dispatcher": "sparse",
            "fusion_activation": "softmax",
            "decorrelation_weight": 0.0,
            "dropout": 0.0,
            "l2": 1e-4,
        }
    )


def dense_moe() -> ConfigDict:
    """AdaEnsemble with all experts on (arXiv 2301.08353, table 2)."""
    config = ada_ensemble().to_dict() | {"name": "dense_moe", "dispatcher": "dense"}
    del config["k"]
    return ConfigDict(config)


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


def dhen() -> ConfigDict:
    """DHEN (arXiv 2203.11014) with the modules and a depth of its table 2; dense layers on top are an option."""
    return ConfigDict(
        {
            "name": "dhen",
            "dimension": 16,
            "num_layers": 4,
            "modules": ("dlrm", "linear"),
            "num_outputs": 16,
            "ensemble": "concat",
            "heads": 2,
            "filters": 4,
            "dlrm_units": (256,),
            "dlrm_compressed": 0,
            "numeric_units": (64,),
            "hidden_units": (),
            "activation": "relu",
            "normalization": "layer",
            "dropout": 0.0,
            "embedding_normalization": "batch",
            "l2": 1e-4,
        }
    )


def _interaction_experts() -> dict:
    """The keys of the models that are dense mixtures of interactions."""
    return {
        "dimension": 16,
        # "own": a table for the gate alone. "experts": each expert's logit reads that expert's embeddings.
        "gate_embedding": "own",
        "expert_size": 64,
        "feature_maps": (64, 64),
        "num_crosses": 2,
        "hidden_units": (200, 200),
        "activation": "relu",
        "normalization": "batch",
        "dropout": 0.0,
        "embedding_normalization": "batch",
        "l2": 1e-4,
    }


def multi_embedding_moe() -> ConfigDict:
    """The multi-embedding mixture of experts, the baseline of D-MoE (arXiv 2505.17925)."""
    return ConfigDict({"name": "multi_embedding_moe", "num_experts": 4, "expert": "cross"} | _interaction_experts())


def d_moe() -> ConfigDict:
    """D-MoE (arXiv 2505.17925); its three strategies can be turned off one by one."""
    strategies = {"heterogeneous": True, "own_embeddings": True, "decorrelation_weight": 0.1}
    experts = {"experts": ("cin", "cross", "mlp", "fm"), "homogeneous_expert": "cross"}
    return ConfigDict({"name": "d_moe"} | strategies | experts | _interaction_experts())


def pnn() -> ConfigDict:
    """PNN (arXiv 1611.00144) with inner and outer products."""
    return _deep("pnn", activation="relu", products=("inner", "outer"))


def _stack(name: str, **own) -> ConfigDict:
    """The keys that stacks of experts have, and a model's `own`."""
    norms = {"normalization": "batch", "embedding_normalization": "batch"}
    return ConfigDict({"name": name, "dimension": 16, "num_layers": 4, "dropout": 0.0, "l2": 1e-4} | norms | own)


def single_expert() -> ConfigDict:
    """A stack of one kind of expert (AdaEnsemble, arXiv 2301.08353, table 2)."""
    return _stack("single_expert", expert="cross")


def ensemble() -> ConfigDict:
    """The mean of a single-expert model an expert (AdaEnsemble, arXiv 2301.08353, table 2)."""
    return _stack("ensemble", experts=EXPERTS)


def xdeepfm() -> ConfigDict:
    """xDeepFM (arXiv 1803.05170); `feature_maps` are those of its compressed interaction network."""
    return _deep("xdeepfm", activation="relu", feature_maps=(128, 128), embedding_normalization="batch")


def autoint() -> ConfigDict:
    """AutoInt (arXiv 1810.11921); with `hidden_units`, its AutoInt+."""
    interactions = {"num_layers": 3, "heads": 2, "attention_size": 64, "scaled": False, "hidden_units": ()}
    return _deep("autoint", activation="relu", embedding_normalization="batch", **interactions)


def fibinet() -> ConfigDict:
    """FiBiNET (arXiv 1905.09433); `bilinear` may be "all", "each" or "interaction"."""
    interactions = {"reduction": 3, "bilinear": "interaction", "embedding_normalization": "batch"}
    return _deep("fibinet", activation="relu", **interactions)


def xdeepint() -> ConfigDict:
    """xDeepInt (arXiv 2301.01089); as many `subspaces` as the embedding's size are bit-wise, one is vector-wise."""
    interactions = {"num_layers": 4, "subspaces": 16, "embedding_normalization": "none"}
    return ConfigDict({"name": "xdeepint", "dimension": 16, "l2": 1e-4} | interactions)


def hilomoe() -> ConfigDict:
    """HiLoMoE (arXiv 2510.10432); at 39 fields its FLOPs are 19 % below those of `dnn`, its base of (400, 400, 400)."""
    experts = {"num_layers": 3, "rank_experts": 8, "k": 0, "query_rank": 8, "parallel": True}
    losses = {"expert_load_weight": 0.01, "z_weight": 1e-3}
    # Epochs of the first two stages, the base and then the experts; the third lasts to the end.
    stages = {"stage_epochs": (1.0, 1.0), "final_learning_rate_factor": 0.1}
    own = experts | losses | stages | {"activation": "relu", "embedding_normalization": "batch"}
    return _deep("hilomoe", **own | {"hidden_units": (316, 316, 316)})


MODELS = {
    "ada_ensemble": ada_ensemble,
    "autoint": autoint,
    "d_moe": d_moe,
    "dcn": dcn,
    "dcn_v2": dcn_v2,
    "deep_crossing": deep_crossing,
    "deepfm": deepfm,
    "dense_moe": dense_moe,
    "dhen": dhen,
    "dnn": dnn,
    "ensemble": ensemble,
    "factorization_machine": factorization_machine,
    "fibinet": fibinet,
    "hilomoe": hilomoe,
    "logistic_regression": logistic_regression,
    "multi_embedding_moe": multi_embedding_moe,
    "pnn": pnn,
    "single_expert": single_expert,
    "wide_and_deep": wide_and_deep,
    "xdeepfm": xdeepfm,
    "xdeepint": xdeepint,
}
