import keras
import pytest

from ada_ensemble_tf.optimizers import GRDA, Ftrl, GroupFtrl, RowSparseAdagrad, RowSparseAdam, make_optimizer

KINDS = {
    "adam": keras.optimizers.Adam,
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
    with pytest.raises(ValueError, match=f"there is no optimizer 'newton'; there are {', '.join(KINDS)}"):
        make_optimizer("newton")


@pytest.mark.parametrize("name", KINDS)
def test_unknown_argument_is_refused_by_name(name):
    with pytest.raises(ValueError, match="alpha"):
        make_optimizer(name, alpha=0.1)


def test_argument_of_a_wrong_type_is_refused_with_the_optimizer():
    with pytest.raises(ValueError, match="optimizer 'group_ftrl': "):
        make_optimizer("group_ftrl", l1="much")
