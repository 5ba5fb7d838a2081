import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.gates import GATES, Gate, GateReport, gate_options, make_gate, prior_shares

CHOICES, WIDTH, ROWS = 5, 24, 40
SHARED = ["reduction", "hidden_size", "noise", "initial_temperature", "stop_gradient", "dropout", "l2"]
SHARED += ["noise_schedule", "temperature_schedule"]


def built(name: str, **options) -> Gate:
    """A gate with random weights, so that rows route differently."""
    gate = make_gate(name, CHOICES, seed=1, **({"reduction": 4} | options))
    gate.build((None, WIDTH))
    random_weights(gate, seed=3)
    if name == "noisy_top_k":
        gate.score.assign(0.05 * gate.score)  # Its logits have no bound.
    return gate


def some_rows(rows: int = ROWS, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, WIDTH)).astype(dtype)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("k", [1, 3, CHOICES])
@pytest.mark.parametrize("name", GATES)
def test_gates_of_a_row_sum_to_one_and_at_most_k_are_not_zero(name, k, training):
    gates = built(name)(some_rows(), k=k, training=training)[0].numpy()
    assert gates.min() >= 0.0
    np.testing.assert_allclose(gates.sum(axis=1), 1.0, rtol=1e-5)
    kept = (gates > 0.0).sum(axis=1)
    assert kept.min() >= 1 and kept.max() <= k
    if name.endswith(("cosine", "top_k")):
        assert kept.min() == k
    assert len(np.unique(gates.argmax(axis=1))) > 1, "all rows chose alike"


@pytest.mark.parametrize("name", GATES)
def test_k_may_change_inside_a_graph(name):
    gate = built(name)
    run = tf.function(
        lambda x0, k: gate(x0, k=k),
        input_signature=[tf.TensorSpec([None, WIDTH]), tf.TensorSpec([], "int32")],
        autograph=False,
    )
    for k in (CHOICES, 1):
        gates, report = run(some_rows(), tf.constant(k))
        np.testing.assert_allclose(gates, gate(some_rows(), k=k)[0], rtol=1e-5, atol=1e-6)
        assert int(report.k) == k


@pytest.mark.parametrize("name", GATES)
def test_the_only_gate_of_a_row_is_one_and_has_the_gradient_of_its_probability(name):
    gate = built(name)
    if name == "dselect_k":
        gate.code.assign(0.05 * gate.code)  # On the slopes of the smooth step.
    x0, upstream = some_rows(), tf.random.stateless_normal([ROWS, CHOICES], [1, 2])
    variables = [v.value for v in gate.trainable_variables]
    # The report's probability is a mean over rows, so feed one row at a time to get each row's own.
    with tf.GradientTape(persistent=True) as tape:
        gates, _ = gate(x0[:1], k=1)
        loss = tf.reduce_sum(gates * upstream[:1])
        probability = gate(x0[:1], k=1)[1].probability
        through = tf.reduce_sum(tf.where(gates > 0.0, probability * upstream[:1], 0.0))
    assert sorted(gates.numpy()[0]) == [0.0] * (CHOICES - 1) + [1.0]
    expected = tape.gradient(through, variables, unconnected_gradients="zero")
    assert sum(np.abs(g).max() > 1e-6 for g in expected) >= 4
    for ours, wanted in zip(tape.gradient(loss, variables, unconnected_gradients="zero"), expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", GATES)
def test_report_follows_the_gates(name):
    gate = built(name)
    gates, report = gate(some_rows(), k=2, training=True)
    gates = gates.numpy()
    np.testing.assert_allclose(report.load, np.bincount(gates.argmax(axis=1), minlength=CHOICES) / ROWS, rtol=1e-6)
    np.testing.assert_allclose(report.routed, (gates > 0.0).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.sum(report.probability), 1.0, rtol=1e-5)
    assert 0.0 <= float(report.entropy) <= np.log(CHOICES) + 1e-6
    assert float(report.logit_min) < float(report.logit_max)
    np.testing.assert_allclose(report.temperature, np.log1p(np.exp(gate.raw_temperature.numpy())), rtol=1e-5)
    assert (float(report.penalty) > 0.0) == (name == "dselect_k")


@pytest.mark.parametrize("name", GATES)
def test_no_rows(name):
    gate = built(name)
    check_zero_rows(gate, some_rows(3), k=2, training=True)
    _, report = gate(tf.zeros([0, WIDTH]), k=2, training=True)
    assert all(np.isfinite(value).all() for value in report)
    shares = (report.load, report.routed, report.probability, report.entropy, report.z, report.penalty)
    assert not any(np.any(value) for value in shares)


@pytest.mark.parametrize("name", GATES)
def test_gradients_equal_central_differences(name):
    with float64_layers():
        options = {"stop_gradient": False, "hidden_size": 3} | ({"threshold": 0.0} if "threshold" in name else {})
        gate = make_gate(name, CHOICES, reduction=8, **options)
        x0 = some_rows(3, np.float64)
        gate.build(x0.shape)
        random_weights(gate, seed=4)
        if name == "dselect_k":
            gate.code.assign(0.1 * gate.code)
        check_gradients(gate, x0, k=CHOICES, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", GATES)
def test_stop_gradient_is_an_option(name):
    for stop in (True, False):
        gate, x0 = built(name, stop_gradient=stop), tf.constant(some_rows())
        with tf.GradientTape() as tape:
            tape.watch(x0)
            value = gate(x0, k=CHOICES)[0][0, 0]
        assert (tape.gradient(value, x0) is None) == stop


@pytest.mark.parametrize("name", GATES)
def test_noise_is_there_in_training_only_and_follows_the_seed(name):
    gate, again, x0 = built(name, noise=0.9), built(name, noise=0.9), some_rows()
    quiet = gate(x0, k=2)[0]
    np.testing.assert_array_equal(quiet, gate(x0, k=2, training=False)[0])
    first, second = (gate(x0, k=2, training=True)[0].numpy() for _ in range(2))
    assert np.abs(first - quiet).max() > 1e-3 and np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(again(x0, k=2, training=True)[0], first)
    silent = built(name, noise=0.0)
    np.testing.assert_array_equal(silent(x0, k=2, training=True)[0], silent(x0, k=2)[0])


@pytest.mark.parametrize("name", GATES)
def test_keras_round_trip(name):
    before, after = round_trip(make_gate(name, CHOICES, reduction=4), some_rows(), k=2)
    np.testing.assert_array_equal(before, after)
    options = {"reduction": 3, "hidden_size": 5, "noise": 0.25, "initial_temperature": 0.75, "stop_gradient": False}
    gate = make_gate(name, CHOICES, seed=7, layer_name="depth_gate", **options)
    again = config_round_trip(gate)
    assert type(again) is GATES[name] and again.get_config() == gate.get_config()
    assert again.get_config().items() >= (options | {"num_choices": CHOICES, "seed": 7, "name": "depth_gate"}).items()


@pytest.mark.parametrize("name", GATES)
def test_flops_are_two_a_weight_of_every_product(name):
    gate = built(name)
    products = [v for v in gate.trainable_variables if len(v.shape) == 2 and v.name != "deviation"]
    summed = 2 * 3 * CHOICES if name == "dselect_k" else 0
    assert gate.flops() == 2 * sum(np.prod(v.shape) for v in products) + summed


@pytest.mark.parametrize("name", GATES)
def test_all_gates_share_their_options(name):
    assert gate_options(name)[: len(SHARED)] == SHARED


def test_one_choice_is_always_taken():
    for name in GATES:
        gates, _ = make_gate(name, 1)(some_rows(), k=1, training=True)
        np.testing.assert_array_equal(gates, np.ones((ROWS, 1)))


def test_wrong_names():
    with pytest.raises(ValueError, match="name must be among dselect_k, gumbel_threshold, gumbel_top_k"):
        make_gate("cosine", 3)
    with pytest.raises(
        ValueError,
        match="gate 'noisy_top_k' has no option jitter; it has reduction, .* temperature_schedule; received 0.1$",
    ):
        make_gate("noisy_top_k", 3, jitter=0.1)
    with pytest.raises(ValueError, match="gate 'gumbel_top_k' has no option threshold; it has"):
        make_gate("gumbel_top_k", 3, threshold=0.1)


@pytest.mark.parametrize(
    "name, options, message",
    [(name, {"num_choices": 0}, "num_choices must be a whole number of at least 1; received 0") for name in GATES]
    + [
        (name, {"noise": -0.5}, r"noise must (be a finite number of at least 0|lie in \[0, 1\]); received -0.5")
        for name in GATES
    ]
    + [
        (name, {"initial_temperature": 0.0}, "initial_temperature must be a finite number above 0; received 0.0")
        for name in GATES
    ]
    + [
        ("noisy_cosine", {"reduction": 0}, "reduction must be a whole number of at least 1; received 0"),
        ("dselect_k", {"noise": 1.5}, r"noise must lie in \[0, 1\]; received 1.5"),
        ("dselect_k", {"selectors": 0}, "selectors must be a whole number of at least 1; received 0"),
        ("dselect_k", {"entropy_weight": -1.0}, "entropy_weight must be a finite number of at least 0; received -1.0"),
        ("gumbel_threshold", {"threshold": 1.0}, r"threshold must lie in \[0, 1\); received 1.0"),
    ],
)
def test_wrong_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_gate(name, **({"num_choices": 3} | options))


def test_a_gate_must_say_its_logits():
    with pytest.raises(NotImplementedError, match="Gate must define logits"):
        Gate(3)(some_rows(), k=1)


def test_reports_have_no_penalty_unless_a_gate_says_so():
    assert GateReport(*[tf.zeros([])] * 9).penalty == 0.0


def test_prior_shares():
    assert prior_shares(None, 4, "prior") == (0.25,) * 4
    assert prior_shares([0.5, 0.25, 0.25], 3, "prior") == (0.5, 0.25, 0.25)
    for wrong in ([0.5, 0.5], [0.5, 0.5, 0.5], [1.5, -0.25, -0.25], [0.5, 0.5, 0.0]):
        with pytest.raises(ValueError, match="depth_prior must hold 3 positive shares that sum to 1; received"):
            prior_shares(wrong, 3, "depth_prior")


def test_registered_for_saving():
    for cls in GATES.values():
        assert keras.saving.get_registered_name(cls) == f"ada_ensemble_tf>{cls.__name__}"


@pytest.mark.parametrize("name", GATES)
def test_dropout_and_l2_of_the_ffn(name):
    plain, gate = built(name, noise=0.0), built(name, noise=0.0, dropout=0.5, l2=0.1)
    squares = sum(np.sum(kernel.numpy() ** 2) for kernel in (gate.squeeze.kernel, gate.project.kernel))
    penalty = float(gate(some_rows(), k=2)[1].penalty - plain(some_rows(), k=2)[1].penalty)
    assert penalty == pytest.approx(0.1 * squares, rel=1e-4)
    np.testing.assert_array_equal(gate(some_rows(), k=2)[0], plain(some_rows(), k=2)[0])
    # What is kept is doubled, so the mean over many draws is the plain FFN.
    rows = np.tile(some_rows(1), [4000, 1])
    drawn, once = gate.hidden(tf.constant(rows), training=True), gate.hidden(tf.constant(rows[:1]))
    assert len(np.unique(drawn, axis=0)) > 4
    assert (np.abs(np.mean(drawn, axis=0) - once[0]) < 5.0 * np.std(drawn, axis=0) / 4000**0.5 + 1e-5).all()
