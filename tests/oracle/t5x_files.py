"""Reads the outputs of real T5X that lie in ../shared/oracle (see the README there)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from flan_t5x.model.config import T5Config

T5X = T5Config(
    vocab_size=512, emb_dim=64, num_heads=4, head_dim=16, mlp_dim=128,
    num_encoder_layers=2, num_decoder_layers=2,
)  # fmt: skip
FACTORED = T5Config(
    vocab_size=256, emb_dim=128, num_heads=2, head_dim=64, mlp_dim=128,
    num_encoder_layers=1, num_decoder_layers=1,
)  # fmt: skip


def load_params(path: Path) -> dict[str, Any]:
    """T5X's flat, unscanned names to our tree with stacked layers."""
    flat = np.load(path)
    groups: dict[str, Any] = {}
    for name in flat.files:
        match = re.match(r"(encoder|decoder)/layers_(\d+)/(.*)", name)
        if match:
            stack = groups.setdefault(f"{match[1]}/layers/{match[3]}", {})
            stack[int(match[2])] = flat[name]
        else:
            groups[name] = flat[name]
    tree: dict[str, Any] = {}
    for name, value in groups.items():
        array = np.stack([value[i] for i in sorted(value)]) if isinstance(value, dict) else value
        *folders, leaf = name.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[leaf] = jnp.asarray(array)
    return tree


def load_batch(data: Any, name: str) -> dict[str, np.ndarray]:
    """The features of one batch in data.npz."""
    return {k.split("/", 1)[1]: data[k] for k in data.files if k.startswith(f"{name}/")}
