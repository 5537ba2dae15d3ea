"""A small engine for configuration tests: the shapes of the real one, without jax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flan_t5x.errors import UserError


@dataclass(frozen=True)
class Sizes:
    """Stands for the model's configuration."""

    emb_dim: int
    num_heads: int = 4
    mlp_activations: tuple[str, ...] = ("gelu", "linear")

    def __post_init__(self) -> None:
        if self.emb_dim % self.num_heads:
            raise ValueError(
                f"emb_dim {self.emb_dim} is not divisible by num_heads {self.num_heads}"
            )


def adafactor(learning_rate: float, *, step_offset: int = 0) -> tuple[str, float, int]:
    """Stands for one optimizer."""
    return ("adafactor", learning_rate, step_offset)


def adamw(learning_rate: float) -> tuple[str, float]:
    """Stands for another optimizer."""
    return ("adamw", learning_rate)


def refuses(*, limit: int) -> int:
    """Raises what the engine raises for bad input."""
    raise UserError(f"limit {limit} is too high: lower it")


def train(
    *,
    model_dir: str,
    model: Sizes,
    optimizer: tuple[Any, ...],
    train_steps: int,
    task_feature_lengths: Mapping[str, int],
    batch_size: int = 32,
    learning_rate_factor: float = 1.0,
    initial_checkpoint_path: str | None = None,
    schedule: Callable[..., Any] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Stands for the training loop; hands back its arguments."""
    return dict(locals())


def build_cache(*, batch_size: int = 8) -> int:
    """Stands for another command."""
    return batch_size


VERSION = "a constant, not a function"
