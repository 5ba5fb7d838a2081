"""The building blocks inside a user's own functional model."""

import keras
import numpy as np

from ada_ensemble_tf.gates import make_gate
from ada_ensemble_tf.layers.cin import CompressedInteractionNetwork
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.moe import SparseMoE


def test_embedding_gate_cin_and_mixture_fit_save_and_load(tmp_path):
    ids = keras.Input((4,), dtype="int32")
    x0 = FusedEmbedding(20, 4)(ids)
    gates, _ = make_gate("noisy_cosine", 3)(x0, k=2)
    # Both experts on every row: with one each, the random gate may send no row to one of them.
    mixed, _, _ = SparseMoE(["dense", "cross"], num_fields=4)(x0, x0, k=2)
    features = keras.layers.Concatenate()([CompressedInteractionNetwork(4, [3, 2])(x0), gates, mixed])
    model = keras.Model(ids, keras.layers.Dense(1, activation="sigmoid")(features))
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    rng = np.random.default_rng(0)
    rows, labels = rng.integers(0, 20, (32, 4)).astype(np.int32), rng.integers(0, 2, (32, 1))
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit(rows, labels, batch_size=32, verbose=0)
    moved = [not np.array_equal(old, new) for old, new in zip(before, model.trainable_variables, strict=True)]
    names = [variable.path for variable, one in zip(model.trainable_variables, moved, strict=True) if one]
    for part in ("fused_embedding", "gate", "compressed_interaction_network", "cross", "dense"):
        assert any(part in name for name in names), f"{part} did not learn; {names} did"
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(rows), model(rows), atol=1e-6)
