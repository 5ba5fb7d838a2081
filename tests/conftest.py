"""Fixtures shared by all tests."""

import gc
import runpy
from pathlib import Path

import pytest
from made_up_rows import criteo_lines

SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"

# As in the commands; `data_pipelines.errors` says why.
gc.set_threshold(50_000, 20, 20)

LONG = (
    "test_end_to_end",
    "test_workers",
    "test_spark",
    "test_compare",
    "test_tune",
    "test_publish",
    "test_documentation",
    "test_docstring_examples",
    "test_notebooks",
    "test_kill_at_random",
    "test_random_faults",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs slow files first; otherwise one process would run them last while the others were idle."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of real slices next to the checkout; skips if it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real slices are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small made-up files, each with something that is easily read wrongly; skips if there is none."""
    script = SHARED_DATA.parent / "cases" / "make_cases.py"
    if not script.is_file():
        pytest.skip(f"what makes the cases is not at {script}")
    folder = tmp_path_factory.mktemp("cases")
    runpy.run_path(str(script))["main"](str(folder))
    return folder


@pytest.fixture(scope="session")
def criteo_raw_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw file of 3,000 made-up Criteo rows."""
    path = tmp_path_factory.mktemp("raw") / "train.txt"
    path.write_text("\n".join(criteo_lines(3000, seed=1)) + "\n")
    return path


@pytest.fixture(scope="session")
def prepared_criteo(criteo_raw_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`criteo_raw_file` prepared with min_count 2 and small blocks; read only."""
    from data_pipelines.formats import make_format
    from data_pipelines.prepare.build import build
    from data_pipelines.read.preparation import Options

    data_dir = tmp_path_factory.mktemp("prepared") / "criteo"
    options = Options(*make_format("criteo"), min_count=2, block_rows=128)
    build(options, [criteo_raw_file], data_dir, show=lambda line: None)
    return data_dir


@pytest.fixture(scope="session")
def small_run(prepared_criteo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of a logistic regression trained for an epoch on `prepared_criteo`; read only."""
    from ada_ensemble_tf.comparison.configs import make_config
    from ada_ensemble_tf.training.run import train
    from data_pipelines.read.dataset import open_data

    workdir = tmp_path_factory.mktemp("small") / "run"
    values = {"max_epochs": 1.0, "batch_size": 512, "eval_every": 10}
    train(make_config("sample", "logistic_regression", values), open_data(prepared_criteo), workdir)
    return workdir
