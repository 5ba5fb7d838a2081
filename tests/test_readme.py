"""Runs what README shows."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf

README = Path(__file__).parents[1] / "README.md"


def test_the_python_text_runs(prepared_criteo, tmp_path, monkeypatch):
    (tmp_path / "runs" / "synthetic").mkdir(parents=True)
    (tmp_path / "runs" / "synthetic" / "data").symlink_to(prepared_criteo)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, str(README), "exec"), names)
    model, again, data = names["model"], names["again"], names["data"]
    assert int(model.step) == 2 * 5 * 4
    assert names["ctr"].shape == (data.rows["test"],) and 0.0 < names["ctr"].mean() < 1.0
    np.testing.assert_array_equal(again.predict(data.evaluation("test", 1024), verbose=0), names["ctr"])
    (file,) = (tmp_path / "runs" / "fit").iterdir()
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(file)) for value in event.summary.value}
    assert {"layer_1/load/cross", "layer_2/routed/attention", "depth/load/exit_2", "layer_1/k"} <= tags


def test_every_module_and_config_that_readme_names_exists():
    text = README.read_text()
    modules = set(re.findall(r"-m ((?:ada_ensemble_tf|data_pipelines|experiments)[\w.]*)", text))
    files = set(re.findall(r"experiments/\w+\.py", text))
    assert len(modules) >= 5 and len(files) >= 2
    paths = [README.parent / m.replace(".", "/") for m in modules]
    missing = [p for p in paths if not p.with_suffix(".py").exists() and not (p / "__main__.py").exists()]
    assert missing + [f for f in files if not (README.parent / f).exists()] == []
