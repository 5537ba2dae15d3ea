"""Reads LoRA adapters in PEFT's layout: ``adapter_config.json`` and ``adapter_model.safetensors``.

Names are ``base_model.model.<module>.lora_A.weight`` [rank, in] and ``...lora_B.weight`` [out,
rank], where <module>.weight is what transformers calls the matrix.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flan_t5x.checkpoint.adapter import AdapterRecord
from flan_t5x.checkpoint.convert.read_hf import safetensors_leaves
from flan_t5x.checkpoint.convert.source import Leaf, Source
from flan_t5x.checkpoint.convert.table import find
from flan_t5x.errors import UserError
from flan_t5x.model.config import KERNELS, LoraConfig

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."

# What changes the function and is not W + scale A B; each must be absent or as here.
_MUST_BE: dict[str, Any] = {
    "bias": "none",
    "use_dora": False,
    "use_rslora": False,
    "use_qalora": False,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "layer_replication": None,
    "trainable_token_indices": None,
    "target_parameters": None,
}


def read_peft(path: str) -> Source:
    """Opens a folder that peft wrote, or that `flan-t5x convert --to=peft` did.

    Raises:
        UserError: a file is missing or damaged, or it is another kind of adapter.
    """
    folder = Path(path).expanduser().absolute()
    folder = folder if folder.is_dir() else folder.parent
    config = _config(folder)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has no {WEIGHTS}; save the adapter as safetensors")
    stored = safetensors_leaves(folder / WEIGHTS)
    leaves = {
        name: Leaf(name, leaf.shape, leaf.dtype, leaf.load)
        for full, leaf in stored.items()
        for name in [full.removeprefix(PREFIX)]
    }
    lora = LoraConfig(
        rank=config["r"],
        alpha=config["lora_alpha"],
        dropout=config.get("lora_dropout", 0.0),
        targets=_targets(leaves) or KERNELS,
    )
    return Source(
        kind="peft",
        path=str(folder),
        layout="hf",
        leaves=leaves,
        adapter=AdapterRecord(base=_base(config), fingerprint="", config=lora),
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        kind = config["peft_type"]
        float(config["r"]), float(config["lora_alpha"]) if kind == "LORA" else None
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no {CONFIG}: its weights alone do not tell it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); copy it again") from error
    if kind != "LORA":
        raise UserError(f"{path}: peft_type {kind!r} is not supported; LORA is")
    for name, value in _MUST_BE.items():
        if (config.get(name) or value) != value:
            raise UserError(
                f"{path}: {name} = {config[name]!r} is not supported: only plain LoRA, "
                "W + alpha / r * B A, is"
            )
    return config


def _base(config: dict[str, Any]) -> str:
    """The base's name as `flan_t5x.checkpoint.initial` takes it; ``org/name`` is on the hub."""
    name = str(config.get("base_model_name_or_path") or "")
    on_hub = name.count("/") == 1 and name[0] not in "./~" and not Path(name).exists()
    return f"hf://{name}" if on_hub else name


def _targets(leaves: dict[str, Leaf]) -> tuple[str, ...]:
    """The matrices that have adapters, by this project's names."""
    places = [find(name.rsplit(".lora_", 1)[0] + ".weight", "hf") for name in leaves]
    kernels = {place.row.name.split("/")[-2] for place in places if place is not None}
    return tuple(sorted(kernels & set(KERNELS), key=KERNELS.index))
