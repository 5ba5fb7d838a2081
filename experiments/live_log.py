"""A live log, day by day: a training that goes on each day against a new one on all days so far.

python -m experiments.live_log --out=runs/live_log [--rows=40000] [--users=3000] [--days=5] [--seeds=3]
    [--models=dcn_v2,ada_ensemble] [--set=KEY=VALUE] [--set_continue=KEY=VALUE] [--set_anew=KEY=VALUE]

writes days of rows from a click model that drifts, with new ads every day, runs what `ada_ensemble_tf.progressive` does
on them in both modes with each model's config of `sample`, and prints, for each model, tables of the days and of the
difference between the modes. Each seed has a log of its own, and is that of the config too. A setting of one mode alone
makes its first day's training one of its own.

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
from ada_ensemble_tf.progression.results import Day
from data_pipelines.errors import run_main
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.output import write_complete
from data_pipelines.read.preparation import Options

CAMPAIGNS, NEW_ADS, LIFE, SITES, RANK = 40, 120, 3, 60, 4
FIELDS = ("user", "ad", "campaign", "site", "hour")
BIAS = -1.6


@dataclasses.dataclass(frozen=True)
class LoggedDay:
    """A day's rows and the click probabilities that they were drawn from."""

    frame: pl.DataFrame
    probabilities: np.ndarray


def days(number: int, rows: int, users_of_log: int, drift: float, seed: int) -> Iterator[LoggedDay]:
    """Yields the days' rows, in order."""
    rng = np.random.default_rng(seed)
    campaign, site = rng.normal(0.0, 0.5, CAMPAIGNS), rng.normal(0.0, 0.5, SITES)
    vectors, users = rng.normal(0.0, 1.0, (CAMPAIGNS, RANK)), rng.normal(0.0, 1.0, (users_of_log, RANK))
    hours = 0.4 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    of_ad = rng.integers(0, CAMPAIGNS, NEW_ADS * (number + LIFE))
    effect = rng.normal(0.0, 0.5, len(of_ad))
    for day in range(number):
        if day:
            for drifting, deviation in ((campaign, 0.5), (site, 0.5), (vectors, 1.0)):
                fresh = rng.normal(0.0, deviation, drifting.shape)
                drifting[...] = np.sqrt(1 - drift**2) * drifting + drift * fresh
        user, at = _ranks(rng, rows, users_of_log), _ranks(rng, rows, SITES)
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


def write_days(folder: Path, number: int, rows: int, users: int, drift: float, seed: int) -> list[Path]:
    """Writes a CSV file a day and the best AUCs, bayes.json; returns the files."""
    from sklearn.metrics import roc_auc_score

    files = [folder / f"day_{day}.csv" for day in range(1, number + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "bayes.json").exists():
        best = []
        for file, day in zip(files, days(number, rows, users, drift, seed), strict=True):
            day.frame.write_csv(file)
            best.append(float(roc_auc_score(day.frame["click"].to_numpy(), day.probabilities)))
        write_complete(folder / "bayes.json", json.dumps(best))
    return files


def request(files: Sequence[Path], model: str, settings: Sequence[str], seed: int) -> Request:
    """What `progressive` is asked to do for a model."""
    schema = {"label": "click", "fields": [{"name": name, "kind": "categorical"} for name in FIELDS]}
    options = Options(*parse_schema(schema, "the schema"), min_count=5, split=(0.9, 0.05, 0.05))
    config = get_config(model)
    override(config, parse([f"seed={seed}", *settings]))
    return Request(tuple(files), options, 0, config.to_dict())


def worked(out: Path, model: str, seed: int) -> tuple[list[Day], list[float]]:
    """(the days of both modes, the best possible AUC of each day) of a seed's log."""
    values = flags.FLAGS
    raw = out / f"log_{seed}"
    files = write_days(raw, values.days, values.rows, values.users, values.drift, seed)
    own = {"continue": values.set_continue, "anew": values.set_anew}
    if not any(own.values()):
        found = progress(request(files, model, values.set, seed), MODES, out / model / f"seed_{seed}")
    else:
        found = [
            day
            for mode in MODES
            for day in progress(
                request(files, model, [*values.set, *own[mode]], seed), [mode], out / model / f"seed_{seed}_{mode}"
            )
        ]
    return sorted(found, key=lambda day: (day.number, MODES.index(day.mode))), json.loads(
        (raw / "bayes.json").read_text()
    )


def differences(logs: Sequence[tuple[Sequence[Day], Sequence[float]]]) -> str:
    """A table in Markdown: by tested day, the means over the logs, and the spread of continued less anew."""
    lines = ["| day | best possible | continued | anew | continued - anew |", "|---" * 5 + "|"]
    auc = np.array(
        [[[d.metrics["auc"] for d in found if d.mode == mode and d.metrics] for mode in MODES] for found, _ in logs]
    )
    best = np.array([bound for _, bound in logs])[:, 1:]
    for place, name in enumerate([*map(str, range(2, 2 + auc.shape[2])), "mean"]):
        part = slice(None) if name == "mean" else slice(place, place + 1)
        by_log = auc[:, :, part].mean(axis=2)
        apart = by_log[:, 0] - by_log[:, 1]
        spread = f" ± {apart.std(ddof=1):.5f}" if len(apart) > 1 else ""
        cells = [
            f"{best[:, part].mean():.5f}",
            *(f"{one:.5f}" for one in by_log.mean(axis=0)),
            f"{apart.mean():+.5f}{spread}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Prints tables for each model."""
    del argv
    values = flags.FLAGS
    for model in values.models:
        logs = [worked(Path(values.out), model, seed) for seed in range(values.seed, values.seed + values.seeds)]
        for number, (found, _) in enumerate(logs):
            print(f"## {model}, seed {values.seed + number}\n\n{table(found)}")
        rows = {mode: [sum(d.rows or 0 for d in found if d.mode == mode) for found, _ in logs] for mode in MODES}
        last = {
            mode: [d.rows or 0 for found, _ in logs for d in found if (d.mode, d.number) == (mode, values.days)]
            for mode in MODES
        }
        print(
            f"{differences(logs)}\n\nrows trained on day {values.days}: "
            f"{sum(last['continue']) / sum(last['anew']):.3f} of anew's; "
            f"in all: {sum(rows['continue']) / sum(rows['anew']):.3f}\n"
        )


if __name__ == "__main__":
    flags.DEFINE_string("out", None, "Where everything goes; finished days are not repeated.", required=True)
    flags.DEFINE_integer("rows", 40_000, "Rows a day.", lower_bound=1000)
    flags.DEFINE_integer("users", 3000, "Users.", lower_bound=2)
    flags.DEFINE_integer("days", 5, "Days.", lower_bound=2)
    flags.DEFINE_float("drift", 0.3, "Share of an effect that is new each day.", 0.0, 1.0)
    flags.DEFINE_integer("seed", 0, "The first seed.", lower_bound=0)
    flags.DEFINE_integer("seeds", 3, "Seeds.", lower_bound=1)
    flags.DEFINE_list("models", ["dcn_v2", "ada_ensemble"], "Models.")
    flags.DEFINE_multi_string("set", [], "KEY=VALUE for every config; may be repeated.")
    flags.DEFINE_multi_string("set_continue", [], "Likewise, for continued trainings.")
    flags.DEFINE_multi_string("set_anew", [], "Likewise, for new trainings.")
    run_main(main)
