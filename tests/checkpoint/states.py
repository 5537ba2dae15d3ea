"""States that are a known function of the step, and exact comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from flan_t5x.checkpoint.completeness import MANIFEST


def host_state(step: int, *, width: int = 64, layers: int = 2) -> dict[str, Any]:
    """Parameters, optimizer slots and counters of a step, as NumPy arrays and an int."""
    rng = np.random.Generator(np.random.Philox(step))

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    return {
        "step": step,
        "params": {
            "embedding": normal(96, width),
            "encoder": {"kernel": normal(layers, width, width), "scale": normal(width)},
            "head": normal(width, 96).astype(jax.numpy.bfloat16),
        },
        "optimizer": {
            "row": {"embedding": normal(96)},
            "count": np.asarray(step, dtype=np.int32),
        },
    }


def device_state(step: int, **sizes: int) -> dict[str, Any]:
    """The same on the first device (the int stays an int)."""
    return jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, int) else jax.device_put(leaf),
        host_state(step, **sizes),
    )


def abstract_state(**sizes: int) -> dict[str, Any]:
    """Shapes and dtypes of a state."""
    return jax.tree.map(
        lambda leaf: (
            leaf if isinstance(leaf, int) else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        ),
        host_state(0, **sizes),
    )


def assert_bitwise_equal(found: Any, wanted: Any) -> None:
    """Same structure, dtypes and bits (NaN payloads and signed zeros included)."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if isinstance(right, int):
            assert type(left) is int
            assert left == right
            continue
        left, right = np.asarray(left), np.asarray(right)
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()


def files_of(step_folder: Path) -> list[Path]:
    """The files that a step cannot do without, biggest first."""
    files = [p for p in step_folder.rglob("*") if p.is_file()]
    needed = [p for p in files if p.name not in ("commit_success.txt", MANIFEST.name)]
    return sorted(needed, key=lambda p: (-p.stat().st_size, str(p)))
