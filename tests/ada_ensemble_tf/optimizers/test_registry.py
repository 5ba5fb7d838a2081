import keras
import numpy as np
import pytest

from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import (
    GRDA,
    ClippedAdam,
    Ftrl,
    GroupFtrl,
    RowSparseAdagrad,
    RowSparseAdam,
    Schedule,
    make_optimizer,
)

KINDS = {
    "adam": ClippedAdam,
    "ftrl": Ftrl,
    "grda": GRDA,
    "group_ftrl": GroupFtrl,
    "sparse_adagrad": RowSparseAdagrad,
    "sparse_adam": RowSparseAdam,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_made_by_name_with_its_arguments(name, kind):
    optimizer = make_optimizer(name, learning_rate=0.25)
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate) == 0.25


def test_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=f"there is no optimizer 'newton'; choose one of {', '.join(KINDS)}"):
        make_optimizer("newton")


@pytest.mark.parametrize("name", KINDS)
def test_unknown_argument_is_refused_by_name(name):
    with pytest.raises(ValueError, match="alpha"):
        make_optimizer(name, alpha=0.1)


def test_argument_of_a_wrong_type_is_refused_with_the_optimizer():
    with pytest.raises(ValueError, match="optimizer 'group_ftrl': "):
        make_optimizer("group_ftrl", l1="much")


# All optimisers that also take the vectors of dense layers.
SAVED = [
    Ftrl(0.1, beta=0.5, l1=0.01, l2=0.02, keep_initial=True, clipnorm=1.0),
    GRDA(0.1, c=0.01),
    RowSparseAdagrad(0.1, initial_accumulator=0.3, epsilon=1e-6, clipnorm=1.0),
    RowSparseAdam(0.1, 0.8, 0.9, 1e-6, clipnorm=1.0),
    RowSparseAdam(0.1, 0.8, 0.9, 1e-6, catch_up=True),
    Ftrl(Schedule(0.1, "cosine", 1, 5), global_clipnorm=1.0),
    ClippedAdam(Schedule(0.1, "exponential", 1, 5), global_clipnorm=1.0),
]


@pytest.mark.parametrize("optimizer", SAVED, ids=lambda optimizer: optimizer.name)
def test_saved_with_a_model_it_goes_on_as_if_never_saved(optimizer, tmp_path):
    model = keras.Sequential([keras.Input((2,), dtype="int32"), FusedEmbedding(6, 3), keras.layers.Dense(1)])
    model.compile(type(optimizer).from_config(optimizer.get_config()), loss="mse")
    ids, targets = np.array([[0, 1], [4, 1], [2, 5]], np.int32), np.ones((3, 1), np.float32)
    model.train_on_batch(ids, targets)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(optimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config() == optimizer.get_config()
    for one in (model, loaded):
        one.train_on_batch(ids[:2], targets[:2])
    for ours, expected in zip(
        loaded.variables + loaded.optimizer.variables, model.variables + model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(expected, ours)
