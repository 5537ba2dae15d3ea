"""Specs that tests render."""

from __future__ import annotations

from launch.spec import FLEX_START, RESERVATION, LaunchSpec

ACCELERATORS = ("v4-512", "v5e-4", "v5e-256", "v5p-128", "v6e-64", "tpu7x-64")


def spec(
    accelerator: str = "v5p-128", capacity: str = "on-demand", slices: int = 1, **changes: object
) -> LaunchSpec:
    """A sound spec."""
    given: dict[str, object] = {
        "name": "mine",
        "accelerator": accelerator,
        "slices": slices,
        "capacity": capacity,
        "reservation": "ours" if capacity == RESERVATION else None,
        "max_run_duration": "20h" if capacity == FLEX_START else None,
        "project": "project-1",
        "zone": "us-east5-a",
        "image": "us-docker.pkg.dev/project-1/images/flan-t5x",
        "command": ("train", "--gin_file=runs/flan_t5_xl.gin", "--gin.MODEL_DIR=/gcs/runs/a b"),
        "env": {"FLAN_T5X_CACHE_DIR": "/gcs/cache"},
        "secrets": {"HF_TOKEN": "hub/token"},
        "bucket": "bucket-1",
    }
    return LaunchSpec(**(given | changes))  # type: ignore[arg-type]
