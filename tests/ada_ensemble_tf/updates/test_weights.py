"""Row weights in losses, gradients, updates and Keras' own loops: a row of weight 2 is two rows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.models import DNN, AdaEnsemble, Ensemble, FactorizationMachine, LogisticRegression

ROWS, BATCH = 30, 12
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, ROWS, (BATCH, 3)).astype(np.int32)
LABELS = (RNG.random(BATCH) < 0.4).astype(np.float32)
COUNTS = RNG.integers(0, 4, BATCH)
WEIGHTS = COUNTS.astype(np.float32)
REPEATED = np.repeat(IDS, COUNTS, axis=0), np.repeat(LABELS, COUNTS)
COMMON = {"num_rows": ROWS, "num_fields": 3, "embedding_scale": 0.5}
SMALL = {"dimension": 4, "num_layers": 2}
MODELS = {
    "logistic_regression": lambda: LogisticRegression(num_rows=ROWS, num_fields=3),
    "factorization_machine": lambda: FactorizationMachine(**COMMON, dimension=4),
    "dnn": lambda: DNN(**COMMON, dimension=4, normalization="none"),
    "ensemble": lambda: Ensemble(**COMMON, **SMALL, experts=("cross", "dense")),
    "expected": lambda: AdaEnsemble(**COMMON, **SMALL, experts=("cross", "dense"), k=1, depth_objective="expected"),
    "compared": lambda: AdaEnsemble(**COMMON, **SMALL, experts=("cross", "dense"), k=1, depth_objective="compared"),
}


def _of_labels(model, ids, labels, weights=None):
    """(sum of the terms that compare rows with labels, its gradients), in inference mode, without noise."""
    with tf.GradientTape() as tape:
        forward = model.forward(ids)
        terms = model.objective(forward, labels, weights)
        loss = tf.add_n([term for name, term in terms.items() if name.startswith("log_loss")])
    return loss, tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_gradients(name):
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    loss, gradients = _of_labels(model, IDS, tf.constant(LABELS), tf.constant(WEIGHTS))
    expected, repeated = _of_labels(model, REPEATED[0], tf.constant(REPEATED[1]))
    assert float(loss) == pytest.approx(float(expected), abs=1e-6)
    for one, other in zip(gradients, repeated, strict=True):
        # Sums of up to 12 in float32: in which order a processor adds them shows in the seventh digit.
        np.testing.assert_allclose(tf.convert_to_tensor(one), tf.convert_to_tensor(other), rtol=1e-6, atol=1e-6)
    assert max(float(tf.reduce_max(tf.abs(g))) for g in map(tf.convert_to_tensor, gradients)) > 1e-3


@pytest.mark.parametrize("name", ["compared", "expected"])
def test_the_losses_of_gates(name):

    def loss(weights):
        # The same weights and noise each time.
        keras.utils.set_random_seed(1)
        rows = IDS, tf.constant(LABELS), "gates"
        return float(MODELS[name]().loss_terms(*rows, None if weights is None else tf.constant(weights))[1]["log_loss"])

    # The scale of the weights does not matter.
    assert loss(WEIGHTS) == pytest.approx(loss(3 * WEIGHTS), abs=1e-6)
    assert loss(np.ones_like(WEIGHTS)) == pytest.approx(loss(None), abs=1e-6)
    assert abs(loss(WEIGHTS) - loss(None)) > 1e-4


def test_means_by_hand():
    values, weights = tf.constant([1.0, 2.0, 6.0]), tf.constant([0.5, 0.0, 1.5])
    assert float(losses.row_mean(values, weights)) == pytest.approx(9.5 / 2)
    assert float(losses.row_mean(values, tf.zeros(3))) == 0.0
    assert float(losses.row_mean(values)) == 3.0


def _compiled():
    keras.utils.set_random_seed(1)
    model = MODELS["dnn"]()
    sgd = keras.optimizers.SGD
    model.compile(embedding_optimizer=sgd(0.5), weight_optimizer=sgd(0.5))
    return model


def test_fit_and_evaluate_take_sample_weights():
    one, other = _compiled(), _compiled()
    one.fit(IDS, LABELS, sample_weight=WEIGHTS, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    other.fit(*REPEATED, batch_size=len(REPEATED[1]), epochs=2, shuffle=False, verbose=0)
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    found = one.evaluate(IDS, LABELS, sample_weight=WEIGHTS, batch_size=BATCH, return_dict=True, verbose=0)
    expected = one.evaluate(*REPEATED, batch_size=50, return_dict=True, verbose=0)
    assert found == pytest.approx(expected, abs=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="sample weights must be finite numbers of at least 0"):
        one.evaluate(IDS, LABELS, sample_weight=-WEIGHTS, batch_size=BATCH, verbose=0)
    batches = tf.data.Dataset.from_tensors((IDS, LABELS, WEIGHTS))
    np.testing.assert_allclose(one.predict(batches, verbose=0), one(IDS), atol=1e-6)


@pytest.mark.parametrize("xi", [0.0, 0.1])
def test_a_bilevel_element_has_weights_of_both_streams(xi):
    def after(scale_train, scale_gate, some=WEIGHTS):
        keras.utils.set_random_seed(1)
        model = MODELS["expected"]()
        sgd = keras.optimizers.SGD
        model.compile(sgd(0.5), sgd(0.5), sgd(0.5), xi=xi, run_eagerly=True)
        train = (np.stack([IDS] * 2), np.stack([LABELS] * 2), np.stack([scale_train * some] * 2))
        logs = model.train_step(
            tf.nest.map_structure(tf.constant, {"train": train, "gate": (IDS, LABELS, scale_gate * some)})
        )
        return float(logs["log_loss"]), [v.numpy() for v in model.trainable_variables]

    loss, variables = after(1.0, 1.0)
    scaled_loss, scaled = after(3.0, 5.0)
    assert loss == pytest.approx(scaled_loss, abs=1e-5)
    for one, other in zip(variables, scaled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert abs(after(1.0, 1.0, np.ones_like(WEIGHTS))[0] - loss) > 1e-4
