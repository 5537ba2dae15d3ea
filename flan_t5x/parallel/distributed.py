"""Several processes as one program: start-up, and the few things they say to each other."""

from __future__ import annotations

import os

import jax
import numpy as np

from flan_t5x.errors import UserError


def initialize(
    *,
    coordinator_address: str | None = None,
    process_count: int | None = None,
    process_index: int | None = None,
    timeout_seconds: int = 60,
) -> None:
    """Joins this process to the others; does nothing for a single process.

    Precedence: 1. explicit arguments (the command's T5X-style flags); 2. a cluster that jax
    recognises by itself (Cloud TPU pods, GKE, SLURM) when more than one process is expected;
    3. a single process.

    Args:
        coordinator_address: ``host:port`` of process 0.
        process_count: how many processes there are.
        process_index: which one this is, 0-based.
        timeout_seconds: how long to wait for the others.

    Raises:
        UserError: some of the three are given but not all, or nobody answers in time.
    """
    given = (coordinator_address, process_count, process_index)
    if all(value is None for value in given):
        if not _cluster_environment():
            return
    elif any(value is None for value in given):
        raise UserError(
            "--coordinator_address, --process_count and --process_index belong together: "
            f"got {coordinator_address!r}, {process_count!r}, {process_index!r}"
        )
    if process_count is not None and process_index is not None:
        if process_count < 1 or not 0 <= process_index < process_count:
            raise UserError(
                f"--process_index {process_index} of --process_count {process_count}: "
                "the index runs from 0 to the count minus 1"
            )
        if process_count == 1:
            return
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator_address,
            process_count,
            process_index,
            initialization_timeout=timeout_seconds,
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"process {process_index} of {process_count} could not join the others through "
            f"{coordinator_address or 'the cluster'} within {timeout_seconds} s: "
            f"{str(error).splitlines()[0]}; check that process 0 runs and the port is reachable"
        ) from error


def _cluster_environment() -> bool:
    """Whether this process was started as one of several that jax can find by itself."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        return True
    workers = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return "," in workers or "MEGASCALE_COORDINATOR_ADDRESS" in os.environ


def is_lead() -> bool:
    """Whether this process writes the files that exist once (metrics, best.json)."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until every process is here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def from_lead(array: np.ndarray) -> np.ndarray:
    """Process 0's array, on every process; the others give one of the same shape and dtype."""
    if jax.process_count() == 1:
        return array
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(array))


def bytes_from_lead(data: bytes) -> bytes:
    """Process 0's bytes, on every process; what the others give is not looked at."""
    if jax.process_count() == 1:
        return data
    size = int(from_lead(np.array(len(data), np.int64)))
    mine = np.frombuffer(data, np.uint8) if is_lead() else np.zeros(size, np.uint8)
    return from_lead(mine).astype(np.uint8).tobytes()
