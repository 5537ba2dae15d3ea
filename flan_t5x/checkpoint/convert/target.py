"""What writers have in common: where a part goes, its dtype there, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np

from flan_t5x.checkpoint.convert.plan import Part, Plan
from flan_t5x.checkpoint.convert.shapes import moment_shapes
from flan_t5x.checkpoint.convert.table import layers

To = Literal["hf", "t5x", "flan_t5x", "peft"]
Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Goal:
    """Where a part goes.

    Attributes:
        name: of the target's leaf.
        shape: of the target's whole leaf.
        steps: what is done on this side, in words.
    """

    name: str
    shape: tuple[int, ...]
    steps: tuple[str, ...]


def goal(part: Part, plan: Plan, to: To) -> Goal:
    """The target's leaf of a part."""
    if to == "hf":
        turned = part.row.hf_transposed
        shape = part.shape[::-1] if turned else part.shape
        return Goal(part.row.in_hf(part.layer), shape, ("transpose",) if turned else ())
    if to == "t5x":
        kind = "target" if part.moment is None else "state/param_states"
        return Goal(f"{kind}/{part.name}", part.shape, ())
    name = f"params/{part.row.name}"
    if part.moment is not None:
        name = f"opt_state/{part.moment}/{part.row.name}"
    if part.row.stack is None or (part.moment is not None and part.shape == (1,)):
        return Goal(name, part.shape, ())
    count = len(layers(part.row, plan.config))
    return Goal(name, (count, *part.shape), (f"stack as layer {part.layer}",))


def target_dtype(part: Part, dtype: Dtype | None) -> str:
    """Name of the dtype a part is written with; moments stay as they are."""
    return part.dtype if dtype is None or part.moment is not None else dtype


def cast(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values in a dtype; to bfloat16 they are rounded to the nearest, ties to even."""
    wanted = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    return values if values.dtype == wanted else values.astype(wanted)


def bytes_to_write(plan: Plan, dtype: Dtype | None, to: To) -> int:
    """An upper bound of what the arrays take on disk, with their metadata."""
    if to == "peft":
        shapes = [shape for delta in plan.deltas for shape in delta.shapes]
        return sum(_bytes(shape, "float32") + 512 for shape in shapes) + (1 << 20)
    parts = [*plan.parts, *(plan.moments if to != "hf" else ())]
    total = sum(_bytes(part.shape, target_dtype(part, dtype)) for part in parts)
    return total + 4096 * len(parts) + (1 << 20)


def _bytes(shape: tuple[int, ...], dtype: str) -> int:
    return int(np.prod(shape, dtype=np.int64)) * (2 if dtype == "bfloat16" else 4)


def fresh_moments(part: Part) -> dict[str, np.ndarray]:
    """Zero second moments of a parameter, as T5X starts with."""
    return {k: np.zeros(s, np.float32) for k, s in moment_shapes(part.shape).items()}


def model_record(plan: Plan) -> dict[str, Any]:
    """The model, JSON-able: what `T5Config` needs besides how to compute."""
    c = plan.config
    return {
        "vocab_size": c.vocab_size,
        "emb_dim": c.emb_dim,
        "num_heads": c.num_heads,
        "head_dim": c.head_dim,
        "mlp_dim": c.mlp_dim,
        "num_encoder_layers": c.num_encoder_layers,
        "num_decoder_layers": c.num_decoder_layers,
        "mlp_activations": list(c.mlp_activations),
        "logits_via_embedding": c.logits_via_embedding,
        "relpos_num_buckets": c.relpos_num_buckets,
        "relpos_max_distance": c.relpos_max_distance,
        "layer_norm_epsilon": c.layer_norm_epsilon,
        "dropout_rate": c.dropout_rate,
    }
