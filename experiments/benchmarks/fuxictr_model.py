"""DCN V2 and DNN of FuxiCTR's layers, as a program that `experiments.benchmarks.fuxictr_training` times.

It runs under the python of an environment with FuxiCTR and torch, and imports nothing of this project:

    python3 -m venv runs/fuxictr_env
    runs/fuxictr_env/bin/pip install fuxictr==2.3.10 'polars<2' 'pandas<3' 'torch==2.13.*'
    runs/fuxictr_env/bin/python experiments/benchmarks/fuxictr_model.py --task=job --model=dcn_v2 --data_dir=DIR ..

FuxiCTR's package has layers and the training loop but no models; these two are assembled as in its model zoo ("DCNv2"
with `model_structure="parallel"`, "DNN"), with the batch normalisation of ours. All training goes through its
`BaseModel.fit`: dense Adam for all parameters, gradients clipped to norm 10, the loss read after every step.

Tasks, each writing its findings to --out as JSON:

loss: the loss on the first --batch_size training rows in training mode, with the weights from the file --weights
    (.npz).
rate: training rows/s over --steps steps after --warmup ones, from the end of one step to the end of another. Batches
    come from train.npz or train.parquet as --reading says; "memory" is those of train.npz read beforehand.
job: one epoch on train.parquet with the evaluation at its end, then the metrics of test.parquet, with seconds of both.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

# Set before Ray is imported, because a measurement should not send usage statistics.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import fuxictr
import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import CrossNetV2, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from torch import nn

DATASET = "criteo"
LEARNING_RATE = 1e-3
EPSILON = 1e-3
"""Epsilon of batch normalisation: that of `RoutedBatchNormalization`, instead of torch's 1e-5."""


class Network(BaseModel):
    """Embeddings, dense layers and, with `num_crosses` > 0, matrix crosses beside them on normalised embeddings."""

    def __init__(self, feature_map: FeatureMap, dimension: int, num_crosses: int, hidden: list[int], root: Path):
        options = {"model_root": str(root), "metrics": ["AUC", "logloss"], "verbose": 0}
        super().__init__(feature_map, model_id="network", gpu=-1, **options)
        scale = "partial(nn.init.normal_, std=0.01)"
        self.embedding_layer = FeatureEmbedding(feature_map, dimension, embedding_initializer=scale)
        width = feature_map.sum_emb_out_dim()
        self.normalize = nn.BatchNorm1d(width, eps=EPSILON) if num_crosses else None
        self.crosses = CrossNetV2(width, num_crosses) if num_crosses else None
        self.dnn = MLP_Block(width, hidden, hidden_activations="relu", batch_norm=True)
        for layer in self.dnn.modules():
            if isinstance(layer, nn.BatchNorm1d):
                layer.eps = EPSILON
        self.fc = nn.Linear(hidden[-1] + (width if num_crosses else 0), 1)
        self.compile("adam", "binary_crossentropy", LEARNING_RATE)
        self.reset_parameters()
        self.model_to_device()
        Path(self.model_dir).mkdir(parents=True, exist_ok=True)

    def forward(self, inputs: dict) -> dict:
        """{"y_pred": click probabilities [B, 1]} of a batch of FuxiCTR's loaders."""
        x0 = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
        if self.crosses is None or self.normalize is None:
            logit = self.fc(self.dnn(x0))
        else:
            x0 = self.normalize(x0)
            logit = self.fc(torch.cat([self.crosses(x0), self.dnn(x0)], dim=-1))
        return {"y_pred": self.output_activation(logit)}


class TimedBatches:
    """The first `warmup` + `steps` batches of a loader, one epoch after the other, with the seconds of the latter."""

    def __init__(self, loader: Iterable[dict], warmup: int, steps: int):
        self.loader, self.warmup, self.steps = loader, warmup, steps
        self.seconds, self.rows = 0.0, 0

    def __len__(self) -> int:
        # One more than there are: FuxiCTR evaluates after the last batch of an epoch, and that must not be timed.
        return self.warmup + self.steps + 1

    def __iter__(self) -> Iterator[dict]:
        start, done = 0.0, 0
        while True:
            for batch in self.loader:
                # When the next batch is requested, the previous step is over.
                if done == self.warmup:
                    start = time.perf_counter()
                if done == self.warmup + self.steps:
                    self.seconds = time.perf_counter() - start
                    return
                self.rows += len(next(iter(batch.values()))) if done >= self.warmup else 0
                done += 1
                yield batch


def main() -> None:
    """Reads the command line, runs the task and writes what it found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=["loss", "rate", "job"], required=True)
    parser.add_argument("--data_dir", type=Path, required=True, help="With feature_map.json and train.*.")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write.")
    parser.add_argument("--model_root", type=Path, required=True, help="Where FuxiCTR keeps weights.")
    parser.add_argument("--reading", choices=["npz", "parquet", "memory"], default="npz", help="Of --task=rate.")
    parser.add_argument("--weights", type=Path, help="Of --task=loss.")
    parser.add_argument("--crosses", type=int, required=True, help="Matrix crosses; 0 is a plain DNN.")
    parser.add_argument("--hidden_units", type=int, nargs="+", required=True)
    for name in ("dimension", "batch_size", "threads", "seed", "warmup", "steps"):
        parser.add_argument(f"--{name}", type=int, default=0 if name in ("warmup", "steps", "seed") else None)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seed_everything(arguments.seed)
    feature_map = FeatureMap(DATASET, str(arguments.data_dir))
    feature_map.load(str(arguments.data_dir / "feature_map.json"), {"embedding_dim": arguments.dimension})
    sizes = (arguments.dimension, arguments.crosses, arguments.hidden_units)
    model = Network(feature_map, *sizes, arguments.model_root)
    found = {"loss": _loss, "rate": _rate, "job": _job}[arguments.task](model, arguments)
    found |= {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "versions": f"FuxiCTR {fuxictr.__version__}, torch {torch.__version__}",
    }
    arguments.out.write_text(json.dumps(found))


def _loaders(model: Network, arguments: argparse.Namespace, stage: str, kind: str, shuffle: bool):
    """FuxiCTR's loaders of the splits of a stage, which are `kind` files."""
    splits = ("train", "valid", "test") if stage == "both" else ("train",)
    files = {f"{split}_data": str(arguments.data_dir / f"{split}.{kind}") for split in splits}
    options = {"batch_size": arguments.batch_size, "shuffle": shuffle, "data_format": kind}
    return RankDataLoader(model.feature_map, stage=stage, **files, **options)


def _loss(model: Network, arguments: argparse.Namespace) -> dict:
    with np.load(arguments.weights) as weights:
        state = {name: torch.from_numpy(weights[name]) for name in weights.files}
    missing, unexpected = model.load_state_dict(state, strict=False)
    learned = [name for name, _ in model.named_parameters() if name in missing]
    if learned or unexpected:
        raise ValueError(f"{arguments.weights}: lacks {learned}, has {unexpected} in excess")
    loader, _ = _loaders(model, arguments, "train", "npz", shuffle=False)
    batch = next(iter(loader))
    model.train()
    with torch.no_grad():
        return {"loss": model.compute_loss(model.forward(batch), model.get_labels(batch)).item()}


def _rate(model: Network, arguments: argparse.Namespace) -> dict:
    in_memory = arguments.reading == "memory"
    batches, _ = _loaders(model, arguments, "train", "npz" if in_memory else arguments.reading, shuffle=True)
    if in_memory:
        batches = [batch for batch, _ in zip(batches, range(arguments.warmup + arguments.steps), strict=False)]
    timed = TimedBatches(batches, arguments.warmup, arguments.steps)
    model.save_weights(model.checkpoint)  # `fit` ends by loading the best ones
    model.fit(timed, epochs=1)
    return {"examples_per_second": timed.rows / timed.seconds}


def _job(model: Network, arguments: argparse.Namespace) -> dict:
    start = time.perf_counter()
    train, valid, test = _loaders(model, arguments, "both", "parquet", shuffle=True)
    model.fit(train, epochs=1, validation_data=valid)
    trained = time.perf_counter()
    scores = model.evaluate(test)
    seconds = {"train": trained - start, "test": time.perf_counter() - trained}
    return {"auc": scores["AUC"], "logloss": scores["logloss"], "seconds": seconds}


if __name__ == "__main__":
    main()
