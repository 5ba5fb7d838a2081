"""FuxiCTR's own preprocessing of Criteo rows, as a program that `experiments.benchmarks.preparation` times.

It runs under the python of an environment with FuxiCTR and imports nothing of this project:

    python3 -m venv runs/fuxictr_env
    runs/fuxictr_env/bin/pip install fuxictr==2.3.10 'polars<2' 'pandas<3'
    runs/fuxictr_env/bin/python experiments/benchmarks/fuxictr_preparation.py --csv_dir=DIR --out=NEW_DIR

Its preprocessing does not need torch, but needs polars below 2: its CSV reader uses an argument, `dtypes`, that polars
2 dropped.

The settings are those of FuxiCTR's `criteo_x4`, except for the threshold. I1..I13 are floats (missing: 0), which its
Criteo processor's `convert_to_bucket` turns into categories, floor(ln(v)^2) for v > 2; C1..C26 are texts (missing: "").
Levels seen fewer than --min_count times in train.csv share one id. `build_dataset` reads DIR/{train,valid,test}.csv,
fits, transforms (in Ray workers, half as many as there are cores) and writes NEW_DIR/criteo/{train,valid,test}.parquet.
"""

import argparse
import os
from pathlib import Path

# Set before Ray is imported, because a measurement should not send usage statistics.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from fuxictr.datasets.criteo import CustomizedFeatureProcessor
from fuxictr.preprocess import build_dataset

NUMERIC = [f"I{number}" for number in range(1, 14)]
CATEGORICAL = [f"C{number}" for number in range(1, 27)]


def main() -> None:
    """Reads the command line and runs FuxiCTR."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--csv_dir", type=Path, required=True, help="Directory of train.csv, valid.csv and test.csv.")
    parser.add_argument("--out", type=Path, required=True, help="Directory to make.")
    parser.add_argument("--min_count", type=int, default=20, help="Rarer levels share one id per field.")
    arguments = parser.parse_args()
    categories = {"active": True, "type": "categorical"}
    processor = CustomizedFeatureProcessor(
        feature_cols=[
            categories | {"name": NUMERIC, "dtype": "float", "fill_na": 0, "preprocess": "convert_to_bucket"},
            categories | {"name": CATEGORICAL, "dtype": "str", "fill_na": ""},
        ],
        label_col={"name": "label", "dtype": "float"},
        dataset_id="criteo",
        data_root=str(arguments.out),
    )
    files = {f"{split}_data": str(arguments.csv_dir / f"{split}.csv") for split in ("train", "valid", "test")}
    build_dataset(processor, **files, min_categr_count=arguments.min_count)


if __name__ == "__main__":
    main()
