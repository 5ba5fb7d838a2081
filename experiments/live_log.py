"""A live log, day by day: a training that goes on each day against a new one on all days so far.

python -m experiments.live_log --out=runs/live_log [--rows=40000] [--days=5] [--models=dcn_v2,ada_ensemble]

writes days of rows from a click model that drifts, with new ads every day, runs `ada_ensemble_tf.progressive` on them
in both modes with each model's config of `sample`, and prints a table for each model and the best possible AUC by day.

The log-odds of a click are: an effect of the ad's campaign, one of the ad itself, one of the site, one of the hour, and
the product of a vector of the user with one of the campaign. Effects and vectors of campaigns and sites drift: from day
to day x becomes sqrt(1 - drift^2) x + drift e, with e of the variance that x had at first. An ad lives three days; on
each day a third of the ads shown are new. Users, sites and ads have power-law frequencies.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from absl import flags

from ada_ensemble_tf.configs.datasets.sample import get_config
from ada_ensemble_tf.configs.overrides import override, parse
from ada_ensemble_tf.progression.days import progress
from ada_ensemble_tf.progression.page import table
from ada_ensemble_tf.progression.request import MODES, Request
from ada_ensemble_tf.progression.results import totals
from data_pipelines.errors import run_main
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.output import write_complete
from data_pipelines.read.preparation import Options

CAMPAIGNS, NEW_ADS, LIFE, SITES, USERS, RANK = 40, 120, 3, 60, 3000, 4
FIELDS = ("user", "ad", "campaign", "site", "hour")
BIAS = -1.6


@dataclasses.dataclass(frozen=True)
class LoggedDay:
    """A day's rows and the click probabilities that they were drawn from."""

    frame: pl.DataFrame
    probabilities: np.ndarray


def days(number: int, rows: int, drift: float, seed: int = 0) -> Iterator[LoggedDay]:
    """Yields the days' rows, in order."""
    rng = np.random.default_rng(seed)
    campaign, site = rng.normal(0.0, 0.5, CAMPAIGNS), rng.normal(0.0, 0.5, SITES)
    vectors, users = rng.normal(0.0, 1.0, (CAMPAIGNS, RANK)), rng.normal(0.0, 1.0, (USERS, RANK))
    hours = 0.4 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    of_ad = rng.integers(0, CAMPAIGNS, NEW_ADS * (number + LIFE))
    effect = rng.normal(0.0, 0.5, len(of_ad))
    for day in range(number):
        if day:
            for drifting, deviation in ((campaign, 0.5), (site, 0.5), (vectors, 1.0)):
                fresh = rng.normal(0.0, deviation, drifting.shape)
                drifting[...] = np.sqrt(1 - drift**2) * drifting + drift * fresh
        user, at = _ranks(rng, rows, USERS), _ranks(rng, rows, SITES)
        # Those of the last days, in an order of their own: being new says nothing about being shown.
        ad = rng.permutation(np.arange(day * NEW_ADS, (day + LIFE) * NEW_ADS))[_ranks(rng, rows, LIFE * NEW_ADS)]
        hour = rng.integers(0, 24, rows)
        crossed = (users[user] * vectors[of_ad[ad]]).sum(axis=1) / np.sqrt(RANK)
        logit = BIAS + campaign[of_ad[ad]] + effect[ad] + site[at] + hours[hour] + crossed
        probabilities = 1.0 / (1.0 + np.exp(-logit))
        columns = {"click": (rng.random(rows) < probabilities).astype(np.int8)}
        columns |= dict(zip(FIELDS, (user, ad, of_ad[ad], at, hour), strict=True))
        yield LoggedDay(pl.DataFrame(columns), probabilities)


def _ranks(rng: np.random.Generator, rows: int, levels: int) -> np.ndarray:
    """Ranks in [0, levels) with frequencies that fall about as 1 / rank."""
    return np.minimum((levels + 1.0) ** rng.random(rows), levels).astype(np.int64) - 1


def write_days(folder: Path, number: int, rows: int, drift: float) -> list[Path]:
    """Writes a CSV file a day and the best AUCs, bayes.json; returns the files."""
    from sklearn.metrics import roc_auc_score

    files = [folder / f"day_{day}.csv" for day in range(1, number + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "bayes.json").exists():
        best = []
        for file, day in zip(files, days(number, rows, drift), strict=True):
            day.frame.write_csv(file)
            best.append(float(roc_auc_score(day.frame["click"].to_numpy(), day.probabilities)))
        write_complete(folder / "bayes.json", json.dumps(best))
    return files


def request(files: Sequence[Path], model: str, settings: Sequence[str]) -> Request:
    """What `progressive` is asked to do for a model."""
    schema = {"label": "click", "fields": [{"name": name, "kind": "categorical"} for name in FIELDS]}
    options = Options(*parse_schema(schema, "the schema"), min_count=5, split=(0.9, 0.05, 0.05))
    config = get_config(model)
    override(config, parse(settings))
    return Request(tuple(files), options, 0, config.to_dict())


def main(argv: Sequence[str]) -> None:
    """Prints a table for each model."""
    del argv
    values = flags.FLAGS
    out = Path(values.out)
    files = write_days(out / "raw", values.days, values.rows, values.drift)
    best = json.loads((out / "raw" / "bayes.json").read_text())
    for model in values.models:
        found = progress(request(files, model, values.set), MODES, out / model)
        print(f"## {model}\n\n{table(found)}")
        sums = totals(found)
        # The first day is not tested, and the last training is tested by no day.
        auc = {mode: sums[mode]["auc"] for mode in MODES}
        last = {mode: sum(d.rows or 0 for d in found if (d.mode, d.number) == (mode, values.days)) for mode in MODES}
        print(
            f"mean AUC continued - anew: {auc['continue'] - auc['anew']:+.5f}; "
            f"rows trained on day {values.days}: {last['continue'] / last['anew']:.3f} of anew's; "
            f"in all: {sums['continue']['rows'] / sums['anew']['rows']:.3f}\n"
        )
    print("best possible AUC by day:", ", ".join(f"{value:.5f}" for value in best))


if __name__ == "__main__":
    flags.DEFINE_string("out", None, "Where everything goes; finished days are not repeated.", required=True)
    flags.DEFINE_integer("rows", 40_000, "Rows a day.", lower_bound=1000)
    flags.DEFINE_integer("days", 5, "Days.", lower_bound=2)
    flags.DEFINE_float("drift", 0.3, "Share of an effect that is new each day.", 0.0, 1.0)
    flags.DEFINE_list("models", ["dcn_v2", "ada_ensemble"], "Models.")
    flags.DEFINE_multi_string("set", [], "KEY=VALUE for every model's config; may be repeated.")
    run_main(main)
