"""Configs that go by the prepared data: `--config=tabular`."""

import sys

import pytest
from absl import flags
from command_line import ROOT

from ada_ensemble_tf.comparison.comparing import plan
from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.configs import files, table_rules
from ada_ensemble_tf.configs.datasets import tabular
from ada_ensemble_tf.configs.facts import Facts, described
from ada_ensemble_tf.configs.models import MODELS
from ada_ensemble_tf.trained.config_ranges import check_config, flat
from data_pipelines.read.dataset import open_data

SMALL = Facts(rows=7_000, positives=1_500, fields=39, levels=10_000)
MIDDLE = Facts(rows=150_000, positives=30_000, fields=11, levels=7_000)
LARGE = Facts(rows=3_000_000, positives=90_000, fields=39, levels=900_000)


def values(model: str, facts: Facts) -> dict:
    """The config by dotted key."""
    return flat(make_config("tabular", model, {}, facts).to_dict())


def test_the_facts_are_those_of_the_prepared_data(prepared_criteo):
    data, facts = open_data(prepared_criteo), Facts.load(prepared_criteo)
    labels = [label for _, label in data.evaluation("train", 500).as_numpy_iterator()]
    assert (facts.rows, facts.positives) == (sum(map(len, labels)), sum(map(sum, labels)))
    # A line for each level, and the out-of-vocabulary row of each field.
    known = [file.read_text().count("\n") for file in (prepared_criteo / "vocabulary").iterdir()]
    assert (facts.fields, facts.levels) == (39, sum(known) + 39)


def test_rules_by_hand():
    small, middle, large = (values("dcn_v2", facts) for facts in (SMALL, MIDDLE, LARGE))
    # 7,000 / 256 = 27, below the least; 150,000 / 256 = 586, nearer to 512; 3,000,000 / 256 = 11,719, above the most.
    assert [each["batch_size"] for each in (small, middle, large)] == [128, 512, 4096]
    # An epoch has 55, 293 and 733 updates.
    assert [each["eval_every"] for each in (small, middle, large)] == [50, 74, 184]
    assert [each["max_epochs"] for each in (small, middle, large)] == [20.0, 20.0, 4.0]
    assert [each["training"] for each in (small, middle, large)] == ["joint", "joint", "bilevel"]
    # (16 * 39)^2 = 389,376 and (16 * 11)^2 = 30,976 weights.
    assert [each["model.dimension"] for each in (small, middle, large)] == [8, 16, 16]
    # sqrt(N) / 2 = 42, 194 and 866.
    assert [each["model.hidden_units"] for each in (small, middle, large)] == [(64, 64), (256, 256), (512, 512)]
    assert [each["model.dropout"] for each in (small, middle, large)] == [0.3, 0.2, 0.1]
    assert [each["model.l2"] for each in (small, middle, large)] == pytest.approx([1e-3, 10 / 150_000, 1e-5])
    assert [each["embedding_optimizer.l2"] for each in (small, middle, large)] == [500 / 128, 500 / 512, 500 / 4096]
    same = {"patience": 4, "calibration": "temperature", "monitor": "auc"}
    assert all(same.items() <= each.items() for each in (small, middle, large))


def test_levels_that_outnumber_rows_are_not_normalised_and_weights_are_averaged():
    few = Facts(rows=7_000, positives=1_500, fields=39, levels=7_000)
    keys = ("model.normalization", "average_last", "ema_momentum")
    assert [values("dnn", SMALL)[key] for key in keys] == ["none", 1, 0.995]
    assert [values("dnn", few)[key] for key in keys] == ["batch", 3, 0.0]
    keys = ("model.embedding_normalization", "average_last", "ema_momentum")
    assert [values("ada_ensemble", SMALL)[key] for key in keys] == ["none", 1, 0.995]
    assert [values("ada_ensemble", few)[key] for key in keys] == ["none", 1, 0.995]
    keys = ("model.dimension", "model.num_layers", "model.dropout", "weight_optimizer.learning_rate")
    assert [values("ada_ensemble", SMALL)[key] for key in keys] == [2, 1, 0.3, 0.001]
    half = Facts(rows=21_000, positives=3_500, fields=11, levels=10_501)
    assert [values("ada_ensemble", half)[key] for key in keys] == [8, 1, 0.3, 0.001]
    assert values("ada_ensemble", half)["model.embedding_normalization"] == "none"
    enough = Facts(rows=21_000, positives=3_500, fields=11, levels=10_500)
    assert [values("ada_ensemble", enough)[key] for key in keys] == [8, 2, 0.1, 0.003]
    # The normalisation of other models' layers is of rows, not of levels.
    assert values("dhen", SMALL)["model.normalization"] == values("dhen", few)["model.normalization"] != "none"
    linear = values("logistic_regression", SMALL)
    assert (linear["average_last"], linear["ema_momentum"]) == (3, 0.0)


def test_rules_of_mixtures_and_logistic_regression():
    ours = values("ada_ensemble", MIDDLE)
    assert (ours["average_last"], ours["ema_momentum"], ours["model.dropout"]) == (1, 0.995, 0.1)
    rates = [ours[f"{part}_optimizer.learning_rate"] for part in ("weight", "gate", "embedding")]
    assert rates == [3e-3, 3e-3, 0.05] and ours["model.embedding_normalization"] == "batch"
    middle, large = values("dense_moe", MIDDLE), values("dense_moe", LARGE)
    assert (middle["model.num_layers"], large["model.num_layers"]) == (2, 3)
    assert (middle["model.embedding_normalization"], large["model.embedding_normalization"]) == ("none", "batch")
    assert middle["model.anneal_epochs"] == large["model.anneal_epochs"] == 0.5
    linear = values("logistic_regression", MIDDLE)
    assert linear["embedding_optimizer.name"] == "ftrl" and linear["embedding_optimizer.learning_rate"] == 0.1
    assert linear["embedding_optimizer.l2"] == 25 / 512 and "model.dropout" not in linear


@pytest.mark.parametrize("facts", [Facts(1, 0, 1, 1), SMALL, LARGE, Facts(10**10, 10**9, 2, 10**9)])
def test_every_model_has_a_config_for_every_table(facts):
    for model in MODELS:
        config = make_config("tabular", model, {}, facts)
        check_config(config.to_dict())
        assert config.model.name == model


def test_published_configs_stay_as_they_are():
    config = make_config("tabular", "ada_ensemble_release", {}, MIDDLE).to_dict()
    assert config == make_config("criteo", "ada_ensemble_release", {}).to_dict()


def test_power_of_two_is_the_nearest_by_ratio():
    # Between 64 and 128 the border is 64 * sqrt(2) = 90.5.
    assert [table_rules.power_of_two(value, 1, 4096) for value in (64, 90, 91, 128)] == [64, 64, 128, 128]


def for_facts(monkeypatch, facts: Facts, *arguments: str):
    """The config that `train` would use."""
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    known = flags.FlagValues()
    files.define_config(known)
    known(sys.argv)
    return files.config_for("config", facts, known)


def test_the_command_line_overrides_rules_and_rules_follow_its_batch(monkeypatch, capsys):
    config = for_facts(
        monkeypatch, MIDDLE, "--config=tabular:dnn", "--config.batch_size=1024", "--config.model.hidden_units=(8, 4)"
    )
    assert config.is_locked and config.batch_size == 1024 and config.model.hidden_units == (8, 4)
    # 147 updates an epoch.
    assert config.embedding_optimizer.l2 == 500 / 1024 and config.eval_every == 50
    same = make_config("tabular", "dnn", {"batch_size": 1024, "model.hidden_units": (8, 4)}, MIDDLE)
    assert config.to_dict() == same.to_dict()
    printed = capsys.readouterr().out
    assert printed == described(config, MIDDLE) + "\n"
    assert "config of dnn for 150,000 training rows (20.0% positive), 11 fields, 7,000 levels:\n" in printed
    assert "\n  batch_size=1024\n" in printed and "\n  model.hidden_units=(8, 4)\n" in printed
    assert "\n  embedding_optimizer.l2=0.4883\n" in printed
    assert for_facts(monkeypatch, MIDDLE, "--config=tabular").model.name == "ada_ensemble"
    assert for_facts(monkeypatch, MIDDLE, "--config=tabular:dnn", "--config.embedding_optimizer.l2=3.0") == make_config(
        "tabular", "dnn", {"embedding_optimizer.l2": 3.0}, MIDDLE
    )


def test_other_configs_are_as_the_command_line_says(monkeypatch, capsys, tmp_path):
    config = for_facts(monkeypatch, MIDDLE, "--config=sample:dnn", "--config.seed=3")
    assert config.to_dict() == make_config("sample", "dnn", {"seed": 3}).to_dict() and not capsys.readouterr().out
    # A file of one's own may read facts too.
    (tmp_path / "mine.py").write_text(
        "from ada_ensemble_tf.configs.defaults import config_for\n\n\n"
        "def get_config(model, facts=None):\n    config = config_for(model)\n"
        "    config.batch_size = facts.fields if facts else 1\n    return config\n"
    )
    assert for_facts(monkeypatch, MIDDLE, f"--config={tmp_path}/mine.py:dnn").batch_size == 11
    assert make_config(tmp_path / "mine.py", "dnn", {}).batch_size == 1


def test_comparisons_are_made_for_their_data(prepared_criteo, tmp_path):
    facts = Facts.load(prepared_criteo)
    runs = plan(str(ROOT / "experiments/tabular.py"), {"a": ("dnn", {})}, {"patience": 2}, 2, prepared_criteo, tmp_path)
    wanted = tabular.get_config("dnn", facts)
    wanted.patience = 2
    assert [run.config for run in runs] == [wanted.to_dict() | {"seed": seed} for seed in (0, 1)]
    assert runs[0].config["batch_size"] == 128


def test_the_guide_has_the_rules():
    rules = [line for line in table_rules.__doc__.splitlines() if line.startswith("| ")]
    guide = (ROOT / "docs/guides/training.md").read_text().splitlines()
    assert len(rules) > 10 and [line for line in guide if line in rules] == rules
