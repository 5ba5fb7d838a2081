import keras
import numpy as np
import pytest

from ada_ensemble_tf.arguments import ArgumentError, check_argument, plain_argument
from ada_ensemble_tf.experts import CINExpert, CrossExpert, Expert
from ada_ensemble_tf.moe import SparseMoE
from ada_ensemble_tf.moe.expert_lists import LayersExperts, OneExpert, SomeExperts, labels, layer_lists, spec_of


@keras.saving.register_keras_serializable(package="mine")
class Doubled(Expert):
    """An expert that a user of the library wrote."""

    def __init__(self, num_fields: int, times: float = 2.0, **kwargs):
        super().__init__(num_fields, **kwargs)
        self.times = times

    def call(self, x0, x):
        return self.times * x

    def flops(self) -> int:
        return self.width

    def get_config(self):
        return super().get_config() | {"times": self.times}


class Unregistered(Expert):
    pass


@keras.saving.register_keras_serializable(package="mine")
class Forgetful(Expert):
    def __init__(self, num_fields: int, size: int = 1, **kwargs):
        super().__init__(num_fields, **kwargs)


def test_plain_forms():
    options = {"name": "cin", "feature_maps": (np.int64(4), 2)}
    given = ["dense", {"name": "dense"}, options, CrossExpert, CINExpert(3), CINExpert(3, [8]), Doubled(3, times=3.0)]
    eight = {"name": "cin", "feature_maps": [8]}
    expected = ["dense", "dense", {"name": "cin", "feature_maps": [4, 2]}, "cross", "cin", eight]
    assert plain_argument(given, SomeExperts) == [*expected, {"name": "mine>Doubled", "times": 3.0}]
    assert plain_argument((given[:1], given[2:4]), LayersExperts) == [["dense"], [expected[2], "cross"]]
    assert plain_argument(CINExpert, OneExpert) == "cin"
    # The argument itself stays as it is.
    assert options["name"] == "cin"


def test_labels_tell_experts_of_one_name_apart():
    assert labels(["cross", Doubled, {"name": "cross"}, Doubled(2), "cross"]) == (
        "cross", "Doubled", "cross_2", "Doubled_2", "cross_3",
    )  # fmt: skip


def test_an_instance_is_a_pattern_that_every_layer_follows():
    shared = CINExpert(2, feature_maps=[3])
    one, two = (SparseMoE([shared], 2) for _ in range(2))
    assert one.experts[0] is not two.experts[0] is not shared
    assert one.experts[0].network.feature_maps == two.experts[0].network.feature_maps == (3,)


def test_ones_own_expert_is_saved_and_loaded(tmp_path):
    x0, x = keras.Input((6,)), keras.Input((6,))
    layer = SparseMoE([Doubled(3, times=3.0), "identity"], 3, "none")
    model = keras.Model([x0, x], layer(x0, x, k=1)[0])
    model.save(tmp_path / "moe.keras")
    again = keras.models.load_model(tmp_path / "moe.keras")
    inputs = [np.random.default_rng(i).normal(size=(7, 6)).astype(np.float32) for i in range(2)]
    np.testing.assert_array_equal(model(inputs), again(inputs))
    # Each row has 3 x or x beside the residual.
    times = model(inputs).numpy() / inputs[1]
    assert set(np.unique(np.round(times, 3))) <= {2.0, 4.0}


def test_lists_of_layers():
    assert layer_lists(("a", "b"), 2) == [["a", "b"], ["a", "b"]]
    assert layer_lists((("a", "b"), ["c"]), 2) == [["a", "b"], ["c"]]
    with pytest.raises(ArgumentError, match="experts must be one list, or one for each of the 3 layers; received"):
        layer_lists((["a"], ["b"]), 3)


def built() -> Expert:
    expert = CrossExpert(3)
    expert.build((None, 6), (None, 6))
    return expert


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ((), "experts must be one or more experts, or a list of them for each layer; received"),
        ("cross", "experts must be one or more experts, or a list of them for each layer; received 'cross'"),
        ((3,), 'experts must be names, mappings of a "name" and options, or experts; received 3'),
        (({"diag_scale": 1},), 'experts must have a "name" in each mapping; received'),
        (("cross", "crss"), "experts must be among attention, .*; received 'crss'"),
        (([], ["cross"]), "experts must be one or more experts in each layer; received"),
        ((["cross"], "cross"), "experts must be one list for all layers, or a list for each layer, not a mixture; rec"),
        (
            (["cross"], ["cross", {"name": "cross", "scale": 1}]),
            "experts.cross_2.scale must be left out: expert 'cross'",
        ),
        ((Unregistered,), r"experts must be in EXPERTS or registered with Keras \(keras.saving.*; received <class"),
        ((Unregistered(3),), "experts must be in EXPERTS or registered with Keras"),
        ((Forgetful(3),), "experts must have size in what their get_config returns; received <Forgetful"),
        ((built(),), "experts must be experts that are not built, since each layer makes its own; received <Cross"),
        (({"name": "Dense"},), "experts must be among attention, .*; received 'Dense'"),
        (({"name": "ada_ensemble_tf>SparseMoE"},), "experts must be among attention, .*; received 'ada_"),
    ],
)
def test_what_is_no_expert_is_refused(experts, message):
    with pytest.raises(ArgumentError, match=message):
        check_argument("experts", experts, LayersExperts)


def test_one_expert_names_its_own_argument():
    with pytest.raises(ArgumentError, match="^expert.cin.feature_maps must be one or more whole numbers"):
        check_argument("expert", {"name": "cin", "feature_maps": 3}, OneExpert)
    assert spec_of({"name": "cin", "feature_maps": (3,)}) == {"name": "cin", "feature_maps": [3]}
