import keras
import numpy as np
import pytest
import tensorflow as tf
from model_checks import (
    FIELDS,
    INPUTS,
    LABELS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    randomize,
    reference_estimator,
    reference_mlp,
    reference_normalization,
)

from ada_ensemble_tf.evaluation.metrics import cross_expert_correlation
from ada_ensemble_tf.gates.scalars import report_scalars
from ada_ensemble_tf.losses.decorrelation import decorrelation_loss
from ada_ensemble_tf.models import DMoE, MultiEmbeddingMoE

SMALL = {"dimension": 4, "expert_size": 6, "feature_maps": (3, 2), "hidden_units": (6, 5)}


def small_model(**arguments) -> DMoE:
    return DMoE(**(SMALL | arguments))


def inner_weights(weights, name: str) -> dict[str, np.ndarray]:
    return {path.removeprefix(f"{name}/"): value for path, value in weights.items() if path.startswith(f"{name}/")}


def reference_cin(weights, v: np.ndarray) -> np.ndarray:
    """The maps of both layers by explicit sums over pairs, pooled: `[B, H_1 + H_2]`."""
    maps, pooled = v, []
    for k in (1, 2):
        kernel, bias = weights[f"cin/dense_{k}/kernel"], weights[f"cin/dense_{k}/bias"]
        kernel = kernel.reshape(maps.shape[1], v.shape[1], -1)
        maps = np.einsum("bid,bjd,ijh->bhd", maps, v, kernel) + bias[:, None]
        pooled.append(maps.sum(axis=2))
    return np.concatenate(pooled, axis=1)


def reference_interaction(weights, kind: str, v: np.ndarray) -> np.ndarray:
    x0 = v.reshape(len(v), -1)
    if kind == "cin":
        return reference_cin(weights, v)
    if kind == "cross":
        x = x0
        for i in (1, 2):
            x = x0 * (x @ weights[f"cross_{i}/dense/kernel"] + weights[f"cross_{i}/dense/bias"]) + x
        return x
    if kind == "mlp":
        return reference_mlp(weights, "mlp", x0)
    return v[:, 0] * v[:, 1] + v[:, 0] * v[:, 2] + v[:, 1] * v[:, 2]


def reference_experts(weights, fields, kinds, own: bool) -> list[np.ndarray]:
    outputs = []
    for j, kind in enumerate(kinds, 1):
        table = f"embedding_{j}" if own else "embedding"
        x0 = reference_normalization(weights, f"normalize_{table}", fields[table].reshape(-1, 12))
        inner = inner_weights(weights, f"{kind}_{j}")
        x = reference_normalization(inner, "normalize", reference_interaction(inner, kind, x0.reshape(-1, 3, 4)))
        outputs.append(np.maximum(x @ inner["project/kernel"] + inner["project/bias"], 0.0))
    return outputs


def reference_model(kinds, own: bool, gate_embedding: str):
    def reference(weights, fields):
        outputs = reference_experts(weights, fields, kinds, own)
        logits = np.tile(weights["gate/bias"], (len(outputs[0]), 1))
        for j in range(len(kinds)):
            table = "gate_embedding" if gate_embedding == "own" else f"embedding_{j + 1}" if own else "embedding"
            read = reference_normalization(weights, f"normalize_{table}", fields[table].reshape(-1, 12))
            logits[:, j] += read @ weights["gate/kernel"][:, j]
        gates = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        mixed = sum(gates[:, j, None] * output for j, output in enumerate(outputs))
        return reference_estimator(weights, mixed)

    return reference


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("gate_embedding", ["own", "experts"])
@pytest.mark.parametrize("own", [True, False], ids=["own", "shared"])
def test_forward_is_the_numpy_network(rows, gate_embedding, own):
    model = small_model(**rows, own_embeddings=own, gate_embedding=gate_embedding)
    assert len(model.embedding_variables) == (4 if own else 1) + (gate_embedding == "own")
    assert model.gate_variables == []
    assert_forward_is(model, reference_model(("cin", "cross", "mlp", "fm"), own, gate_embedding))


@pytest.mark.parametrize("kind", ["mlp", "fm"])
def test_homogeneous_forward_is_the_numpy_network(kind):
    model = small_model(**PLAIN, heterogeneous=False, homogeneous_expert=kind, normalization="none")
    assert_forward_is(model, reference_model((kind,) * 4, True, "own"))


@pytest.mark.parametrize("expert", ["cin", "cross"])
def test_multi_embedding_forward_is_the_numpy_network(expert):
    model = MultiEmbeddingMoE(**PLAIN, **SMALL, num_experts=2, expert=expert, embedding_normalization="none")
    assert_forward_is(model, reference_model((expert,) * 2, True, "own"))


def test_own_embeddings_alone_are_the_multi_embedding_mixture():
    model = small_model(**FIELDS, heterogeneous=False, decorrelation_weight=0.0)
    twin = MultiEmbeddingMoE(**FIELDS, **SMALL, l2=0.0)
    randomize(model)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(INPUTS), model(INPUTS))
    assert set(twin.objective(twin.forward(INPUTS, training=True), LABELS)) == {"log_loss"}


def test_expert_outputs_are_what_the_gate_weights():
    model = small_model(**FIELDS)
    randomize(model)
    outputs, forward = model.expert_outputs(INPUTS), model.forward(INPUTS)
    assert list(outputs) == ["experts"] and [output.shape for output in outputs["experts"]] == [(3, 6)] * 4
    gates = forward.tensors["gates"].numpy()
    mixed = sum(gates[:, j, None] * output.numpy() for j, output in enumerate(outputs["experts"]))
    np.testing.assert_allclose(forward.tensors["sum of experts"], mixed, rtol=1e-5)


def test_decorrelation_is_a_term_of_training():
    model = small_model(**PLAIN, decorrelation_weight=0.5)
    randomize(model)
    forward = model.forward(PLAIN_INPUTS, training=True)
    outputs = [forward.tensors[f"output of {expert.name}"] for expert in model.experts]
    expected = 0.5 * float(decorrelation_loss(outputs))
    assert expected > 0.01
    terms = model.objective(forward, tf.constant([1.0, 0.0, 0.0, 1.0]))
    assert float(terms["decorrelation"]) == pytest.approx(expected)
    assert model.forward(PLAIN_INPUTS).terms == {}


def test_gate_report():
    model = small_model(**PLAIN)
    randomize(model)
    forward = model.forward(PLAIN_INPUTS)
    scalars = {name: float(v) for name, v in report_scalars(forward.reports, model.choice_names()).items()}
    gates = forward.tensors["gates"].numpy()
    np.testing.assert_allclose(gates.sum(axis=1), 1.0, rtol=1e-6)
    for j, name in enumerate(("cin_1", "cross_2", "mlp_3", "fm_4")):
        assert scalars[f"gate/load/{name}"] == np.mean(gates.argmax(axis=1) == j)
        assert scalars[f"gate/probability/{name}"] == pytest.approx(gates[:, j].mean(), rel=1e-5)
        assert scalars[f"gate/routed/{name}"] == 1.0
    assert scalars["gate/entropy"] == pytest.approx(-np.sum(gates * np.log(gates)) / 4, rel=1e-4)
    assert scalars["gate/k"] == 4.0


def test_flops_by_hand():
    gate, estimator = 2 * 12 * 4, 2 * 6
    # D times the products, their weighted sums and the pooling, of 3 x 3 pairs to 3 maps and 3 x 3 to 2.
    cin = 4 * (9 + 2 * 9 * 3 + 3 + 9 + 2 * 9 * 2 + 2) + 2 * 5 * 6
    cross = 2 * (2 * 12 * 12 + 3 * 12) + 2 * 12 * 6
    mlp = 2 * (12 * 6 + 6 * 5) + 2 * 5 * 6
    fm = 3 * 12 + 2 * 4 + 2 * 4 * 6
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (cin + cross + mlp + fm + gate + estimator)
    alike = MultiEmbeddingMoE(**FIELDS, **SMALL, num_experts=2)
    assert float(alike.forward(INPUTS).flops) == 3 * (2 * cross + 2 * 12 * 2 + estimator)


# Kernels: of CIN 2, MLP 2, FM 0; a projection each; gate and estimator.
@pytest.mark.parametrize(
    "arguments, kernels",
    [
        ({"experts": ("cin", "mlp"), "gate_embedding": "experts"}, 8),
        (
            {"experts": ("mlp",) * 2, "heterogeneous": False, "homogeneous_expert": "fm", "own_embeddings": False}
            | {"decorrelation_weight": 0.0},
            4,
        ),
    ],
    ids=["all strategies", "none"],
)
def test_what_every_model_does(tmp_path, arguments, kernels):
    check_model(lambda **rows: small_model(**rows, **arguments), tmp_path, kernels)


def test_multi_embedding_does_what_every_model_does(tmp_path):
    check_model(lambda **rows: MultiEmbeddingMoE(**(SMALL | {"num_crosses": 1, "num_experts": 2} | rows)), tmp_path, 6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"experts": ("fm",)}, r"experts must be two or more names; received \['fm'\]"),
        ({"experts": ("fm", "ffm")}, "experts? must be among .*; received 'ffm'"),
        ({"heterogeneous": False, "homogeneous_expert": "ffm"}, "experts? must be among .*; received 'ffm'"),
        ({"gate_embedding": "shared"}, r"gate_embedding must be 'own' or 'experts'; received 'shared'"),
        ({"decorrelation_weight": -0.1}, "decorrelation_weight must be a finite number of at least 0; received -0.1"),
        ({"expert_size": 0}, "expert_size must be a whole number of at least 1; received 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
    if "experts" in arguments:
        with pytest.raises(ValueError, match="num_experts must be at least 2; received 1"):
            MultiEmbeddingMoE(**PLAIN, num_experts=1)


def held_out_correlation(weight: float) -> tuple[float, float]:
    """(squared Cross-Expert Correlation, LogLoss) on held-out rows after training two experts of the same kind."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    fields, levels = 4, 10
    ids = rng.integers(levels, size=(1024, fields)) + levels * np.arange(fields)
    effects = rng.normal(size=fields * levels)[ids]
    odds = 2.0 * (effects[:, 0] * effects[:, 1] + effects[:, 2])
    labels = (rng.uniform(size=len(ids)) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    model = DMoE(
        num_rows=fields * levels, num_fields=fields, dimension=4, experts=("mlp", "mlp"), own_embeddings=False,
        expert_size=4, hidden_units=(3,), l2=0.0, decorrelation_weight=weight,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.02), keras.optimizers.Adam(0.01))
    step = tf.function(model.train_step, autograph=False)
    for start in list(range(0, 768, 128)) * 8:
        rows = slice(start, start + 128)
        step((tf.constant(ids[rows], tf.int32), tf.constant(labels[rows])))
    held_out = tf.constant(ids[768:], tf.int32)
    loss = float(model.objective(model.forward(held_out), tf.constant(labels[768:]))["log_loss"])
    return cross_expert_correlation([o.numpy() for o in model.expert_outputs(held_out)["experts"]])["squared"], loss


def test_the_loss_lowers_the_correlation_of_experts_that_are_alike():
    plain, plain_loss = held_out_correlation(0.0)
    decorrelated, loss = held_out_correlation(0.3)
    assert plain > 0.04
    assert decorrelated < 0.4 * plain
    assert loss < 0.55 and loss < plain_loss + 0.05
