"""Writes a run's adapters in PEFT's layout, for `peft` to load over the base in transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from flan_t5x.checkpoint.convert.card import model_card
from flan_t5x.checkpoint.convert.hub import HUB
from flan_t5x.checkpoint.convert.plan import Delta, Plan
from flan_t5x.checkpoint.convert.read_peft import CONFIG, PREFIX, WEIGHTS
from flan_t5x.checkpoint.convert.target import Dtype, cast
from flan_t5x.errors import UserError


def write_peft(folder: Path, plan: Plan, *, dtype: Dtype | None, name: str) -> None:
    """Writes ``adapter_config.json``, ``adapter_model.safetensors`` and a card.

    Args:
        folder: an empty folder.
        plan: what to write; its source must hold adapters.
        dtype: of A and B; None keeps float32.
        name: what the card calls the adapter.

    Raises:
        UserError: the source has no adapters.
    """
    from safetensors.numpy import save_file

    if plan.source.adapter is None:
        raise UserError(
            f"{plan.source.path} has no adapters to write as PEFT's; a run with T5Config.lora has"
        )
    arrays = {}
    for delta in plan.deltas:
        for side, values in zip("AB", (delta.a(), delta.b()), strict=True):
            values = cast(np.asarray(values), dtype or "float32")
            arrays[tensor_name(delta, side)] = np.ascontiguousarray(values.T)
    save_file(arrays, folder / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(_config(plan), indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(model_card(plan, name=name, adapter=True), encoding="utf-8")


def tensor_name(delta: Delta, side: str) -> str:
    """What PEFT calls the "A" or "B" of a matrix."""
    return f"{PREFIX}{_module(delta)}.lora_{side}.weight"


def base_name(plan: Plan) -> str:
    """What transformers can load the base by: its name on the hub, or its folder."""
    assert plan.source.adapter is not None
    return plan.source.adapter.base.removeprefix(HUB)


def base_note(plan: Plan) -> str | None:
    """What the user has to do before peft finds the base; None where transformers reads it."""
    assert plan.source.adapter is not None
    assert plan.base is not None
    base = plan.source.adapter.base
    if base.startswith(HUB) or plan.base.source.layout == "hf":
        return None
    return (
        f"transformers cannot read the base {base} that {CONFIG} names: make a folder of it by "
        f"`flan-t5x convert {base} BASE --to=hf`, and load the adapter over that one"
    )


def _config(plan: Plan) -> dict[str, Any]:
    assert plan.source.adapter is not None
    lora = plan.source.adapter.config
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": base_name(plan),
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": _target_modules(plan),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
    }


def _target_modules(plan: Plan) -> list[str]:
    """Last names ("q") where every such matrix has an adapter, else whole ones."""
    modules = {_module(delta) for delta in plan.deltas}
    endings = {module.rsplit(".", 1)[-1] for module in modules}
    of_model = {part.row.in_hf(part.layer).removesuffix(".weight") for part in plan.parts}
    hit = {module for module in of_model if module.rsplit(".", 1)[-1] in endings}
    return sorted(endings if hit == modules else modules)


def _module(delta: Delta) -> str:
    return delta.part.row.in_hf(delta.part.layer).removesuffix(".weight")
