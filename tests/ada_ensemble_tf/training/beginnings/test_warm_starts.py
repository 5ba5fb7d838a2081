"""Trainings that take weights by name from another one, and rows by level."""

import numpy as np
import pytest
from daily_rows import prepare_day, write_day
from daily_training import config_of, levels_of, loop_of

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.trained.checkpoint import SavedValues
from ada_ensemble_tf.trained.workdir import Workdir
from data_pipelines.errors import UserError
from data_pipelines.fields.vocabulary import Vocabularies


@pytest.mark.parametrize("optimizer", ["group_ftrl", "sparse_adam"])
def test_a_warm_start_takes_rows_by_level_and_new_optimisers_agree_with_them(days, first, tmp_path, told, optimizer):
    data = prepare_day(write_day(tmp_path / "alone.csv", "fbxa", seed=9), tmp_path / "alone")
    config = config_of(batch_size=7)
    config.embedding_optimizer = dict(config_for("deepfm").embedding_optimizer) | {"name": optimizer}
    if optimizer == "sparse_adam":
        config.embedding_optimizer = {"name": optimizer, "learning_rate": 0.1}
    config.update({"average_last": 1, "ema_momentum": 0.9})
    fresh = loop_of(tmp_path / "fresh", config, data).model
    begun, known_state = fresh.embedding.table.numpy(), fresh.embedding_optimizer.slots(fresh.embedding.table)
    loop = loop_of(tmp_path / "run", config, data, warm=first)
    model, values = loop.model, SavedValues(first / "checkpoints" / "best")
    best = {name: values.value(saved) for name, saved in values.by_path().items()}
    vocabularies = [Vocabularies.load(path, schema) for path, schema in (
        (first, Workdir(first).schema()), (data.path, data.schema))]  # fmt: skip
    old, new = map(levels_of, vocabularies)
    table, known = model.embedding.table.numpy(), [level in old for level in new]
    assert ("ad", "x") in new and ("ad", "x") not in old and 0 < sum(known) < len(new)
    for row, level in enumerate(new):
        np.testing.assert_array_equal(
            table[row], best["embedding.table"][old.index(level)] if known[row] else begun[row]
        )
    np.testing.assert_array_equal(model.estimator.weights[0].numpy(), best["estimator.kernel"])
    assert int(model.step) == 0 and loop.plan.max_steps == 10
    # Moving averages begin with the weights that were taken, not with those that the model began with.
    np.testing.assert_array_equal(model.embedding_optimizer.averaged(model.embedding.table), table)
    slots = model.embedding_optimizer.slots_by_name(model.embedding.table)
    if optimizer == "group_ftrl":
        # Equation of the update without a gradient: the state gives the weights that were taken.
        one, z = config.embedding_optimizer, slots["z"].numpy()
        norm = np.linalg.norm(z, axis=1, keepdims=True)
        ridge = one.beta / one.learning_rate + one.l2
        with np.errstate(invalid="ignore"):
            formula = -z * (1 - one.l1 * 2**0.5 / norm) / ridge
        np.testing.assert_allclose(formula[known], table[known], rtol=1e-4, atol=1e-7)
        np.testing.assert_array_equal(z[~np.array(known)], known_state[0].numpy()[~np.array(known)])
        assert not slots["n"].numpy().any()
    else:
        assert not any(slot.numpy().any() for slot in slots.values())
    took = f"took 10 of 10 variables from {first}, with {sum(known):,} of {len(new):,} rows of each table"
    assert took in told()


def test_a_warm_start_tells_what_it_does_not_take(days, first, tmp_path, told, monkeypatch):
    config = config_of("dcn_v2")
    loop_of(tmp_path / "run", config, days[0], warm=first)
    lines = told()
    assert "not taken: cross_1/dense/kernel: absent there" in lines
    assert "not taken: estimator/kernel: of shape [4] there, [400] here" in lines
    other = config_of()
    other.model.dimension = 3
    loop_of(tmp_path / "run", other, days[0], warm=first)
    assert "not taken: embedding/table: of shape [28, 2] there, [28, 3] here" in told()
    with pytest.raises(UserError, match="--warm_start=.*/none: no trained model there; name the --workdir of a"):
        loop_of(tmp_path / "run", config, days[0], warm=tmp_path / "none")
    with pytest.raises(UserError, match=r"--continue_from=\S+ and --warm_start=\S+: give one of them"):
        loop_of(tmp_path / "run", config, days[0], first, first)
    monkeypatch.setattr(SavedValues, "by_path", lambda self: {})
    with pytest.raises(UserError, match="no variable there has a name and shape of this model's; leave it out"):
        loop_of(tmp_path / "run", config, days[0], warm=first)
