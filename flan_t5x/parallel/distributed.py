"""Several processes as one program: start-up, and the few things they say to each other."""

from __future__ import annotations

import os
import threading

import jax
import numpy as np

from flan_t5x.errors import DisconnectedError, UserError
from flan_t5x.parallel import cluster, together

JOIN_SECONDS = 50
"""How long processes wait for each other at the start, unless told otherwise."""

HEARTBEAT_SECONDS = 30
"""After so long without a sign of life of one process, jax ends the others."""

_SHUTDOWN_SECONDS = 60


def initialize(
    *,
    coordinator_address: str | None = None,
    process_count: int | None = None,
    process_index: int | None = None,
    timeout_seconds: int = JOIN_SECONDS,
) -> None:
    """Joins this process to the others; does nothing for a single process.

    Precedence: 1. explicit arguments (the command's T5X-style flags); 2. a cluster that jax
    recognises by itself (Cloud TPU pods, GKE, SLURM, Open MPI) when more than one process is
    expected; 3. a single process.

    Where the others do not come in time, this process prints one line and ends with
    `errors.EXIT_DISCONNECTED`: jax itself would abort with a stack trace.

    Args:
        coordinator_address: ``host:port`` of process 0.
        process_count: how many processes there are.
        process_index: which one this is, 0-based.
        timeout_seconds: how long to wait for the others.

    Raises:
        UserError: some of the three are given but not all, or they contradict each other.
        DisconnectedError: the others cannot be joined.
    """
    given = (coordinator_address, process_count, process_index)
    if all(value is None for value in given):
        if cluster.process_count() == 1:
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
    if coordinator_address is not None and not _is_address(coordinator_address):
        raise UserError(
            f"--coordinator_address {coordinator_address!r}: give host:port of process 0, "
            "e.g. 10.0.0.2:8476"
        )
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # jax's own handler would swallow a SIGTERM that comes before the loop is there to heed it.
    jax.config.update("jax_enable_preemption_service", False)
    who = "this process" if process_index is None else f"process {process_index} of {process_count}"
    alone = (
        f"{who} could not join the others through {coordinator_address or 'the cluster'} within "
        f"{timeout_seconds} s; check that every process was started with the same address and "
        "count, and that all reach the port of process 0 (--join_seconds waits longer)"
    )
    # jax ends the process by abort() when its own time is up: ours comes first.
    patience = threading.Timer(timeout_seconds, together.end_now, args=(DisconnectedError(alone),))
    patience.daemon = True
    patience.start()
    try:
        jax.distributed.initialize(
            coordinator_address,
            process_count,
            process_index,
            initialization_timeout=timeout_seconds + 30,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise DisconnectedError(f"{alone}: {str(error).splitlines()[0]}") from error
    finally:
        patience.cancel()
    together.watch()


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def is_lead() -> bool:
    """Whether this process writes the files that exist once (metrics, best.json)."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until every process is here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def gather(values: np.ndarray) -> np.ndarray:
    """Every process's `values`, stacked [process, ...]; all must call it at the same point.

    Args:
        values: of the same shape and dtype everywhere.
    """
    if jax.process_count() == 1:
        return np.asarray(values)[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))


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
