import dhen_reference
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
    reference_estimator,
    reference_mlp,
    reference_normalization,
)

from ada_ensemble_tf.dhen import MODULES
from ada_ensemble_tf.models import DHEN

VALUES = np.array([[2.5], [0.0], [0.0]])
SMALL = {"dimension": 4, "num_layers": 2, "num_outputs": 2, "dlrm_units": (5,), "numeric_units": (3,)}


def small_model(**arguments) -> DHEN:
    keras.utils.set_random_seed(1)
    return DHEN(**(SMALL | arguments))


def assert_is_the_numpy_network(rows, modules, ensemble="concat", normalization="layer", **arguments):
    def reference(weights, fields):
        x = fields["embedding"]
        if "numeric/dense_1/kernel" in weights:
            assert rows is FIELDS
            x = np.concatenate([x, reference_mlp(weights, "numeric", VALUES)[:, None]], axis=1)
        shape = x.shape
        x = reference_normalization(weights, "normalize", x.reshape(len(x), -1)).reshape(shape)
        for i in (1, 2):
            numeric = arguments.get("numeric_modules", ()) if rows is FIELDS else ()
            read = (modules, ensemble, normalization, VALUES, numeric)
            x = dhen_reference.dhen_layer(weights, f"layer_{i}", x, *read)
        x = x.reshape(len(x), -1)
        return reference_estimator(weights, reference_mlp(weights, "mlp", x) if "hidden_units" in arguments else x)

    model = small_model(**rows, modules=modules, ensemble=ensemble, normalization=normalization, **arguments)
    assert (model.numeric is not None) == (rows is FIELDS)
    assert_forward_is(model, reference, rtol=1e-3)


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("module", sorted(MODULES))
def test_forward_is_the_numpy_network(rows, module):
    assert_is_the_numpy_network(rows, (module,))


@pytest.mark.parametrize("ensemble", ["concat", "sum", "weighted_sum"])
# With l = 4 and the embedding of the value, sums keep the length of the list.
@pytest.mark.parametrize("num_outputs", [2, 4])
def test_ensembles_are_those_of_the_numpy_network(ensemble, num_outputs):
    assert_is_the_numpy_network(FIELDS, ("dlrm", "linear"), ensemble, num_outputs=num_outputs)


def test_options_are_those_of_the_numpy_network():
    options = {"normalization": "batch", "hidden_units": (6, 5), "dlrm_compressed": 2, "dropout": 0.5}
    assert_is_the_numpy_network(FIELDS, ("dlrm", "attention"), "sum", **options)
    assert_is_the_numpy_network(PLAIN, ("linear", "convolution"), embedding_normalization="none", filters=2)


@pytest.mark.parametrize("depth, ensemble", [(1, "concat"), (9, "weighted_sum")])
def test_the_shallowest_and_the_deepest_train(depth, ensemble):
    model = small_model(**FIELDS, num_layers=depth, modules=sorted(MODULES), ensemble=ensemble)
    assert len(model.dhen_layers) == depth
    # Lists have the same length from the first layer's output on.
    assert [layer.shortcut is None for layer in model.dhen_layers] == [False] + [True] * (depth - 1)
    model.compile(keras.optimizers.SGD(), keras.optimizers.Adam())
    before = [v.numpy() for v in model.trainable_variables]
    model.train_step((INPUTS, LABELS))
    changed = [np.abs(v.numpy() - b).max() > 0 for v, b in zip(model.trainable_variables, before, strict=True)]
    assert np.isfinite(model(INPUTS)).all() and np.mean(changed) > 0.8


def test_modules_of_every_layer_can_read_the_floats():
    assert_is_the_numpy_network(FIELDS, ("dlrm", "linear", "attention"), "sum", numeric_modules=("dlrm", "attention"))
    # Without floats there is nothing to read.
    assert_is_the_numpy_network(PLAIN, ("dlrm", "linear"), numeric_modules=("linear",))


def test_values_reach_the_prediction_beside_their_field():
    model = small_model(**FIELDS)
    model.numeric.dense_layers[0].bias.assign([1.0, 1.0, 1.0])
    # The last rows' ids do not say that a value was read, so only the MLP of the floats reads their values.
    moved = {"ids": INPUTS["ids"], "values": tf.constant([[2.5], [1.0], [0.0]])}
    difference = np.abs(model(moved) - model(INPUTS))
    assert difference[1] > 1e-5 and difference[0] == difference[2] == 0


def test_flops_by_hand():
    # Lists of 3, then 2 modules of 2 embeddings of size 4.
    dlrm = [2 * (m * m * 4 + (4 * m + m * (m - 1) // 2) * 5 + 5 * 8) for m in (3, 4)]
    linear = [2 * m * 2 * 4 for m in (3, 4)]
    shortcut = 2 * 3 * 4 * 4
    plain = sum(dlrm) + sum(linear) + shortcut + 2 * 16
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * plain
    topped = plain - 2 * 16 + 2 * (16 * 6 + 6)
    assert float(small_model(**PLAIN, hidden_units=(6,)).forward(PLAIN_INPUTS).flops) == 4 * topped
    # The value's embedding makes the first list one of 4, which is the length of the second.
    fields = 2 * (dlrm[1] + linear[1]) + 2 * 16 + 2 * (1 * 3 + 3 * 4)
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 * fields
    # The linear module then reads 5 embeddings instead of 4, one of them a map of the one value.
    read = fields + 2 * (2 * 1 * 2 * 4 + 2 * 1 * 4)
    assert float(small_model(**FIELDS, numeric_modules=("linear",)).forward(INPUTS).flops) == 3 * read


@pytest.mark.parametrize(
    "arguments, kernels",
    [
        # The floats' MLP has 2, dlrm 2 and linear 1 a layer, the estimator 1; 4 embeddings stay 4.
        ({}, 2 + 2 * 3 + 1),
        # A layer has attention 5, deep_cross 1, convolution 2; the first a shortcut; 1 on top.
        (
            {
                "modules": ("attention", "deep_cross", "convolution"),
                "ensemble": "weighted_sum",
                "normalization": "batch",
                "hidden_units": (6,),
                "dropout": 0.1,
            },
            2 + 2 * 8 + 1 + 1 + 1,
        ),
    ],
)
def test_what_every_model_does(tmp_path, arguments, kernels):
    check_model(lambda **rows: small_model(**(arguments | rows)), tmp_path, kernels)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"numeric_modules": ("attention",)}, "numeric_modules must be among the modules dlrm, linear"),
        ({"modules": ("dlrm", "dcn")}, "modules must be among attention, .*; received 'dcn'"),
        ({"ensemble": "mean"}, r"ensemble must be 'concat', 'sum' or 'weighted_sum'; received 'mean'"),
        ({"modules": ("attention",), "heads": 3}, "heads must divide dimension=4"),
        ({"dlrm_compressed": 1}, "compressed must be at least 2, or 0 for no compression; received 1"),
        ({"hidden_units": (0,)}, r"hidden_units must be whole numbers of at least 1; received \[0\]"),
        ({"embedding_normalization": "group"}, "normalization must be 'batch', 'layer' or 'none'; received 'group'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
