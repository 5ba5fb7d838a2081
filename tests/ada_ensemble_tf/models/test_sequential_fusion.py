import numpy as np
import pytest
from model_checks import (
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    randomize,
    reference_estimator,
    reference_normalization,
)

from ada_ensemble_tf.models import SequentialFusion


def small_model(**arguments) -> SequentialFusion:
    return SequentialFusion(**({"dimension": 4, "num_layers": 2, "experts": ("cross", "dense", "cross")} | arguments))


def fused(weights, name: str, maps: list[np.ndarray], kind: str) -> np.ndarray:
    logits = weights[f"{name}/logits"]
    if kind == "sigmoid":
        shares = 2 / (1 + np.exp(-logits))
    else:
        powers = np.exp(logits / np.log1p(np.exp(weights[f"{name}/raw_temperature"])))
        shares = powers / powers.sum(axis=0)
    return sum(share * one for share, one in zip(shares, maps, strict=True))


@pytest.mark.parametrize(
    "options",
    [{}, {"fusion": "bit", "fusion_activation": "sigmoid", "residual": False}],
    ids=["vector softmax with residual", "bit sigmoid without"],
)
def test_forward_is_the_numpy_network(options):
    names, kind = ("cross", "dense", "cross_2"), options.get("fusion_activation", "softmax")

    def reference(weights, fields):
        x0 = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        maps = []
        for depth in (1, 2):
            before, maps = maps, []
            for name in names:
                place = f"layer_{depth}_{name}"
                z = fused(weights, f"fuse_{place}", before, kind) if depth == 2 else x0
                sums = z @ weights[f"{place}/dense/kernel"] + weights[f"{place}/dense/bias"]
                output = np.maximum(sums, 0) if name == "dense" else x0 * sums
                output = output + z if options.get("residual", True) else output
                maps.append(reference_normalization(weights, f"normalize_{place}", output))
        return reference_estimator(weights, fused(weights, "fuse", maps, kind))

    assert_forward_is(small_model(**PLAIN, **options), reference)


def test_flops_and_outputs_by_hand_with_lists_of_different_lengths():
    model = small_model(**PLAIN, experts=(("dense", "identity", "dense"), ("identity", "dense")), residual=False)
    randomize(model)
    # Three dense experts; two fusions of three maps and the last of two; the estimator.
    assert float(model.forward(PLAIN_INPUTS).flops) == 4 * (3 * 2 * 144 + 2 * (2 * 3 + 2) * 12 + 2 * 12)
    assert model.choice_names() == {"fusion": ["identity", "dense"]}
    outputs = model.expert_outputs(PLAIN_INPUTS)
    assert {place: len(maps) for place, maps in outputs.items()} == {"layer_1": 3, "layer_2": 2}
    np.testing.assert_allclose(outputs["layer_1"][1], model.forward(PLAIN_INPUTS).tensors["embedding output x0"])


def test_all_rows_have_the_fusions_weights():
    model = small_model(**PLAIN, fusion_activation="sparsemax")
    model.fuse.logits.assign([[5.0], [0.0], [0.0]])
    report = model.forward(PLAIN_INPUTS).reports["fusion"]
    np.testing.assert_allclose(report.load, [1, 0, 0])
    np.testing.assert_allclose(report.routed, [1, 0, 0])


def test_what_every_model_does(tmp_path):
    # Four dense kernels and the estimator's.
    check_model(lambda **arguments: small_model(**arguments, experts=("cross", "dense")), tmp_path, kernels=5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"fusion": "matrix"}, "fusion must be among bit, vector; received 'matrix'"),
        ({"experts": (("cross",),)}, "experts must be one list, or one for each of the 2 layers; received"),
        ({"experts": ({"name": "cross", "scale": 1},)}, "experts.cross.scale must be left out: expert 'cross' has no"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
