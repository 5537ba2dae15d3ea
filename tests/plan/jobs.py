"""A small model as a plan's job."""

from __future__ import annotations

import dataclasses
from typing import Any

from flan_t5x.model.config import T5Config
from flan_t5x.parallel.tpu import parse_slice
from flan_t5x.plan.job import PlanJob
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.step import StepConfig

CONFIG = T5Config(
    vocab_size=512,
    emb_dim=128,
    num_heads=4,
    head_dim=32,
    mlp_dim=256,
    num_encoder_layers=2,
    num_decoder_layers=2,
    dropout_rate=0.05,
)


def small_job(*, tpu: str = "v5e-8", config: dict[str, Any] | None = None, **given: Any) -> PlanJob:
    """Eight rows of 128/64 on eight chips; `config` and `given` change it."""
    settings: dict[str, Any] = {
        "config": dataclasses.replace(CONFIG, **(config or {})),
        "optimizer": adafactor(1e-3),
        "step": StepConfig(),
        "batch": 8,
        "inputs": 128,
        "targets": 64,
        "train_steps": 100,
        "mesh": {"fsdp": 8},
        "rules": "fsdp",
        "tpu": parse_slice(tpu),
    }
    return PlanJob(**(settings | given))
