"""Devices of TPU slices that are not here, for the compiler: `libtpu` describes them.

`libtpu` is an optional dependency (`pip install 'flan-t5x[plan]'`), loaded here alone. Only one
process at a time may load it, so this one waits for its turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax

from flan_t5x.errors import UserError
from flan_t5x.parallel.tpu import TpuSlice

INSTALL = "pip install 'flan-t5x[plan]' (or: pip install libtpu)"
# Without these libtpu asks the network what machine this is.
_SETTINGS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


def libtpu_version() -> str | None:
    """The installed version, None without it."""
    if importlib.util.find_spec("libtpu") is None:
        return None
    for name in ("libtpu", "libtpu-nightly"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"


def require_libtpu() -> None:
    """Raises UserError, with the way out, where the TPU compiler is not installed."""
    if libtpu_version() is None:
        raise UserError(
            f"the TPU compiler is not installed: {INSTALL}, or plan with --analytic, "
            "which needs no compiler"
        )


@contextlib.contextmanager
def compiler_turn() -> Iterator[None]:
    """One process at a time: waits until no other of this user's plans compiles."""
    path = Path(tempfile.gettempdir()) / f"flan_t5x_plan_{os.getuid()}.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another plan is compiling; waiting for its end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def describe(tpu: TpuSlice, slices: int = 1) -> list[jax.Device]:
    """Compile-only devices of some slices.

    Args:
        tpu: the kind of slice.
        slices: how many, joined by the data-centre network.

    Raises:
        UserError: no `libtpu`, or it does not know such a slice.
    """
    require_libtpu()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from jax.experimental import topologies

    options: dict[str, object] = {
        # Torus or mesh decides which form the collectives take.
        "wrap": list(tpu.wrap),
        "chips_per_host_bounds": list(tpu.host_bounds),
    }
    if slices > 1:
        options["num_slices"] = slices
    if tpu.generation.name == "v4":
        options["chip_config_name"] = "megacore"  # both cores of a chip as one device
    try:
        topology = topologies.get_topology_desc(
            platform="tpu",
            topology_name=f"{tpu.generation.name}:{tpu.topology_name}",
            **options,
        )
    except Exception as error:  # libtpu's own kinds
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"libtpu {libtpu_version()} does not describe {tpu.name} ({tpu.topology_name}): {line}"
        ) from error
    devices = list(topology.devices)
    if len(devices) != tpu.devices * slices:
        raise UserError(
            f"libtpu {libtpu_version()} shows {len(devices)} devices for {slices} x {tpu.name}, "
            f"not {tpu.devices * slices}; plan with --analytic"
        )
    return devices
