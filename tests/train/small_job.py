"""A whole `flan-t5x train` job that takes seconds: its command line, and readers of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tests.train.small_tasks"

RECIPE = """\
from __gin__ import dynamic_registration

from flan_t5x.model import config
from flan_t5x.train import config as train_config
from flan_t5x.train import loop

include 'models/tiny.gin'
include 'runs/finetune.gin'

MIXTURE_OR_TASK_NAME = 'small'
EVAL_MIXTURE = 'small'
TASK_FEATURE_LENGTHS = {'inputs': 64, 'targets': 12}
INITIAL_CHECKPOINT_PATH = None
TRAIN_STEPS = 6
BATCH_SIZE = 8
DROPOUT_RATE = 0.1
LEARNING_RATE = 1e-2
EVAL_PERIOD = 3
MAX_TASK_EPOCHS = None
SAVE_PERIOD = None
LOG_PERIOD = 1
MESH = {'data': -1}
RULES = 'data_parallel'

config.T5Config:
  emb_dim = 32
  num_heads = 2
  head_dim = 8
  mlp_dim = 64
  num_encoder_layers = 1
  num_decoder_layers = 1

train_config.DataConfig.window = 64
train_config.DataConfig.num_workers = 2
train_config.EvalConfig.examples_per_task = 6
train_config.EvalConfig.batch_size = 16
train_config.EvalConfig.max_decode_length = 4
train_config.CheckpointConfig.save_period = %SAVE_PERIOD
loop.train.log_period = %LOG_PERIOD
loop.train.mesh = %MESH
loop.train.rules = %RULES
"""

NOT_COMPARED = frozenset({"time", "seconds", "host_share", "slowest_process"})


def write_recipe(folder: Path, extra: str = "") -> Path:
    """The job's gin file, in a folder of the test's own; `extra` is appended."""
    path = folder / "small.gin"
    path.write_text(RECIPE + extra)
    return path


def arguments(recipe: Path, model_dir: Path, cache_dir: Path, **macros: object) -> list[str]:
    """The command line after ``flan-t5x``.

    Args:
        recipe: from `write_recipe`.
        model_dir: the run's folder.
        cache_dir: token cache.
        macros: upper-case names of the recipe, e.g. ``TRAIN_STEPS=40``.
    """
    given: Mapping[str, object] = {"MODEL_DIR": model_dir, "CACHE_DIR": cache_dir, **macros}
    flags = [f"--gin.{name}={value}" for name, value in given.items()]
    return ["train", f"--gin_file={recipe}", f"--task_module={MODULE}", *flags]


def metrics(model_dir: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl, of one kind or all."""
    path = model_dir / "metrics.jsonl"
    if not path.exists():
        return []
    whole = [line for line in path.read_text().split("\n")[:-1] if line]
    found = [json.loads(line) for line in whole]
    return [record for record in found if kind in (None, record["kind"])]


def figures_of_steps(model_dir: Path) -> list[dict[str, Any]]:
    """What of metrics.jsonl the data, the seed and the steps determine, in file order.

    Speeds and times are left out, and so are the lines of kind "time".
    """
    return [
        {
            name: value
            for name, value in record.items()
            if name not in NOT_COMPARED and not name.endswith(("_per_second", "wait_share"))
        }
        for record in metrics(model_dir)
        if record["kind"] != "time"
    ]


def losses(model_dir: Path) -> np.ndarray:
    """Loss of every step, float64 [steps]; needs LOG_PERIOD=1."""
    return np.array([record["loss"] for record in metrics(model_dir, "train")])


def best(model_dir: Path) -> dict[str, Any]:
    """best.json."""
    record: dict[str, Any] = json.loads((model_dir / "best.json").read_text())
    return record


def saved_steps(model_dir: Path) -> list[int]:
    """Steps with a checkpoint folder under its final name, oldest first."""
    folder = model_dir / "checkpoints"
    return sorted(int(p.name) for p in folder.glob("*") if p.name.isdecimal())


def final_params(model_dir: Path) -> dict[str, np.ndarray]:
    """Parameters of the newest checkpoint by name."""
    return saved_params(model_dir, saved_steps(model_dir)[-1])


def saved_params(model_dir: Path, step: int) -> dict[str, np.ndarray]:
    """Parameters of a checkpoint by name."""
    from flan_t5x.checkpoint.leaves import named_leaves
    from flan_t5x.checkpoint.reading import read_params

    tree = read_params(model_dir / "checkpoints", step=step)
    return {name: np.asarray(leaf) for name, leaf in named_leaves(tree)}


def differing(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> Sequence[str]:
    """Names of leaves that are not the same bit for bit; empty where all are."""
    return [
        name
        for name in sorted({*a, *b})
        if name not in a
        or name not in b
        or a[name].dtype != b[name].dtype
        or a[name].tobytes() != b[name].tobytes()
        or a[name].shape != b[name].shape
    ]
