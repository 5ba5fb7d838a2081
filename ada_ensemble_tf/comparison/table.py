"""The table of a comparison, in Markdown and CSV."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ada_ensemble_tf.comparison.configs import config_hash
from ada_ensemble_tf.comparison.runs import PROBABILITIES, Run
from ada_ensemble_tf.comparison.significance import RULE, Verdict, against_best
from data_pipelines.output import write_complete
from data_pipelines.truth import Truth

HEADER = ("command", "data", "rows")
"""What is known of a comparison as a whole before its first run is done."""
METRICS = ("auc", "logloss", "normalized_entropy", "calibration")
FIGURES = ("parameters", "flops_per_example", "examples_per_second", "best_step")
CORRELATION = "expert_correlation"
"""Cross-Expert Correlation (arXiv 2505.17925) over all layers, for models that have experts."""


@dataclasses.dataclass(frozen=True)
class Table:
    """What is known about a comparison so far.

    Attributes:
        runs: all runs of the comparison.
        failures: why a run failed, by (label, seed).
        header: lines about the comparison as a whole, by name.
        labels_file: labels of the test rows.
        truth: the best figures that are possible, of synthetic rows.
    """

    runs: Sequence[Run]
    failures: Mapping[tuple[str, int], str]
    header: Mapping[str, str]
    labels_file: Path
    truth: Truth | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per label, by decreasing mean AUC, those without a finished run last."""
        by_label: dict[str, list[Run]] = {}
        for run in self.runs:
            by_label.setdefault(run.label, []).append(run)
        rows = [self._row(label, runs) for label, runs in by_label.items()]
        if self.truth:
            bayes = {"auc_mean": self.truth["bayes_auc"], "logloss_mean": self.truth["bayes_logloss"]}
            rows.append({"label": "Bayes-optimal"} | {name: one for name, one in bayes.items() if one is not None})
        rows.sort(key=lambda row: -row.get("auc_mean", -1.0))
        predictions = {
            label: {run.seed: run.folder / PROBABILITIES for run in runs if run.done()}
            for label, runs in by_label.items()
            if any(run.done() for run in runs)
        }
        best = next((row["label"] for row in rows if row["label"] in predictions), None)
        if best is not None:
            verdicts = against_best(predictions, self.labels_file, best)
            for row in rows:
                row |= {"mark": "best"} if row["label"] == best else _against(verdicts.get(row["label"]))
        return rows

    def _row(self, label: str, runs: list[Run]) -> dict[str, Any]:
        results = [run.metrics() for run in runs if run.done()]
        failures = [f"seed {seed}: {text}" for (name, seed), text in self.failures.items() if name == label]
        row = {
            "label": label,
            "model": runs[0].config["model"]["name"],
            "config_hash": config_hash(runs[0].config),
            "seeds_asked": len(runs),
            "seeds_done": len(results),
            "seeds_failed": len(failures),
            "failure": "; ".join(failures),
        }
        if results:
            for name in METRICS:
                values = [result["test"][name] for result in results]
                row[f"{name}_mean"] = float(np.mean(values))
                row[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
            # A run with a single report has no examples per second: null in its file.
            speeds = [result["examples_per_second"] for result in results if result["examples_per_second"]]
            row["parameters"] = results[0]["parameters"]
            row["flops_per_example"] = float(np.mean([result["flops_per_example"] for result in results]))
            row["examples_per_second"] = float(np.median(speeds)) if speeds else None
            row["best_step"] = float(np.mean([result["best_step"] for result in results]))
            if correlations := [result[CORRELATION] for result in results if result.get(CORRELATION)]:
                row[CORRELATION] = float(np.mean([one["all"]["absolute"] for one in correlations]))
        return row

    def write(self, out: Path) -> str:
        """Writes table.md and table.csv, which appear only when complete, and returns the text of table.md."""
        rows = self.rows()
        markdown = self.markdown(rows)
        write_complete(out / "table.md", markdown)
        write_complete(out / "table.csv", self.csv(rows))
        return markdown

    def markdown(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The text of table.md."""
        titles = ["", "AUC", "LogLoss", "NE", "calibration", "parameters", "FLOPs/example", "examples/s"]
        titles += ["steps to best", "seeds", "AUC - best", "p DeLong (Holm)", "p paired t", "mark"]
        correlated = any(CORRELATION in row for row in rows)
        if correlated:
            titles.append("expert correlation")
        lines = [f"- {name}: {text}" for name, text in {**self.header, **self._measured()}.items()]
        lines += ["", "| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
        for row in rows:
            last = [f"{row[CORRELATION]:.3f}" if CORRELATION in row else ""] if correlated else []
            lines.append("| " + " | ".join(_cells(row) + last) + " |")
        lines += ["", "mean ± standard deviation over seeds; examples/s: median over seeds. " + RULE]
        return "\n".join(lines) + "\n"

    def csv(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The text of table.csv."""
        names = ["label", "model", "config_hash", "seeds_asked", "seeds_done", "seeds_failed"]
        names += [f"{metric}_{part}" for metric in METRICS for part in ("mean", "std")] + [*FIGURES, CORRELATION]
        names += ["auc_difference", "p_delong", "p_delong_holm", "p_paired_t", "mark", "failure"]
        common = {**self.header, **self._measured()}
        text = io.StringIO()
        writer = csv.DictWriter(text, names + list(common), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **common} for row in rows)
        return text.getvalue()

    def _measured(self) -> dict[str, str]:
        jobs = sorted({run.jobs() for run in self.runs if run.done()})
        versions = sorted({_versions(run.metrics()["versions"]) for run in self.runs if run.done()})
        if not jobs:
            return {}
        return {"examples/s": f"with {' or '.join(map(str, jobs))} runs at once", "versions": " or ".join(versions)}


def header_of(out: Path) -> dict[str, str]:
    """The lines about a comparison as a whole that its table.md begins with; {} where there is no such file."""
    if not (out / "table.md").is_file():
        return {}
    lines = (out / "table.md").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    found = dict(line.removeprefix("- ").split(": ", 1) for line in lines if line.startswith("- ") and ": " in line)
    return {name: text for name, text in found.items() if name in HEADER}


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _against(verdict: Verdict | None) -> dict[str, Any]:
    if verdict is None:
        return {}
    tests = {"p_delong": verdict.p_delong, "p_delong_holm": verdict.p_delong_holm, "p_paired_t": verdict.p_paired_t}
    return {"auc_difference": verdict.difference, "mark": verdict.mark} | tests


def plus_minus(row: Mapping[str, Any], name: str, digits: int) -> str:
    """A metric's mean and standard deviation over seeds, of a row of the table or its CSV; "" where there is none."""
    mean, std = row.get(f"{name}_mean"), row.get(f"{name}_std")
    if mean is None or mean == "":
        return ""
    return f"{float(mean):.{digits}f}" + ("" if std is None or std == "" else f" ± {float(std):.{digits}f}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [row["label"]]
    for name, digits in zip(METRICS, (5, 5, 4, 3), strict=True):
        cells.append(plus_minus(row, name, digits))
    cells += ["" if row.get(name) is None else f"{row[name]:,.0f}" for name in FIGURES]
    cells.append(_seeds(row))
    difference = row.get("auc_difference")
    cells.append("" if difference is None or difference != difference else f"{difference:+.5f}")
    cells += ["" if row.get(name) is None else f"{row[name]:.2g}" for name in ("p_delong_holm", "p_paired_t")]
    return [cell.replace("|", "\\|") for cell in [*cells, row.get("mark", "")]]


def _seeds(row: Mapping[str, Any]) -> str:
    if "seeds_asked" not in row:
        return ""
    text = f"{row['seeds_done']} of {row['seeds_asked']}"
    return text + (f", {row['seeds_failed']} failed ({row['failure']})" if row["failure"] else "")
