"""What every test shares: CPU with eight simulated devices, and the sizes of a small model."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8".strip()

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and other systems' outputs, which lie beside the checkout on some machines."""
    if not (SHARED / "oracle").is_dir():
        pytest.skip(f"no folder {SHARED}: data of other systems is not part of this repository")
    return SHARED
