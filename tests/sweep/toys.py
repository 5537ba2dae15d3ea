"""Runs that cost nothing: folders with the files that a finished run leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from flan_t5x.data.cache import default_cache_dir
from flan_t5x.model.config import T5Config
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.table import Choice
from flan_t5x.train.config import DataConfig

ARGUMENTS = {
    "model": T5Config(
        vocab_size=64,
        emb_dim=8,
        num_heads=2,
        head_dim=4,
        mlp_dim=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
    ),
    "data": DataConfig(
        mixture_or_task_name="mini_flan",
        task_feature_lengths={"inputs": 16, "targets": 8},
        cache_dir=default_cache_dir(),
    ),
    "batch_size": 2,
    "train_steps": 10,
}


def planned(name: str, seed: int = 0, **choices: str) -> PlannedRun:
    """A run with these choices; its name ends like a real one's."""
    chosen = {axis: Choice(label) for axis, label in choices.items()}
    return PlannedRun(f"{name}-{name}{seed}", chosen, seed, (), ARGUMENTS)


def finish(
    folder: Path,
    run: PlannedRun,
    *,
    score: float,
    start: float = 0.0,
    baseline: float = 0.2,
    sets: Mapping[str, float] | None = None,
) -> None:
    """Leaves what a run leaves at its end."""
    place = folder / run.name
    place.mkdir(parents=True, exist_ok=True)
    record = {"step": 10, "metric": "held_out/average", "value": score, "values": {"t": score}}
    (place / "best.json").write_text(json.dumps(record))
    lines = [
        {"step": 0, "kind": "held_out", "average": start, "baseline": baseline, "task/t": start},
        {"step": 5, "kind": "train", "steps_per_second": 2.0, "tokens_per_second": 100.0},
        {"step": 5, "kind": "time", "total": 30.0},
        {"step": 10, "kind": "train", "steps_per_second": 1.0, "tokens_per_second": 100.0},
        {"step": 10, "kind": "time", "total": 12.0},
    ]
    (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    final = {
        label: {
            "average": value,
            "baseline": 0.1,
            "tasks": {"t": {"score": value, "baseline": 0.1}},
        }
        for label, value in (sets or {}).items()
    }
    (place / "final.json").write_text(json.dumps({"step": 10, "sets": final}))
