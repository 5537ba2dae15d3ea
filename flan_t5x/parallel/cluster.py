"""Was this process started as one of several? What the cluster says, before jax is asked.

jax finds the addresses itself (`jax.distributed.initialize` without arguments), but where there is
no cluster that call is an error, and on a Cloud TPU machine nothing in the environment tells a
pod slice from a single machine. So the same places are read here as jax reads:

| where            | how many processes                                                        |
|------------------|---------------------------------------------------------------------------|
| SLURM, by srun   | SLURM_NTASKS                                                              |
| Open MPI         | OMPI_COMM_WORLD_SIZE                                                      |
| GKE              | names in TPU_PROCESS_ADDRESSES or TPU_WORKER_HOSTNAMES, times             |
|                  | MEGASCALE_NUM_SLICES                                                      |
| Cloud TPU VM     | worker-network-endpoints of the metadata server, times MEGASCALE_NUM_SLICES|
|                  | of its tpu-env                                                            |
"""

from __future__ import annotations

import importlib.util
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_GKE = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")
_SLICES = "MEGASCALE_NUM_SLICES"
_METADATA_SECONDS = 5.0


def process_count(
    environment: Mapping[str, str] = os.environ,
    *,
    metadata: Callable[[str], str | None] | None = None,
) -> int:
    """How many processes the cluster runs; 1 where there is no cluster.

    Args:
        environment: the process's variables.
        metadata: gives an attribute of this machine, or None; default `read_metadata` where
            this is a TPU machine.
    """
    if all(name in environment for name in _SLURM):
        return _number(environment["SLURM_NTASKS"])
    if "OMPI_MCA_orte_hnp_uri" in environment:
        return _number(environment.get("OMPI_COMM_WORLD_SIZE", "1"))
    slices = _number(environment.get(_SLICES, "1"))
    for name in _GKE:
        if name in environment:
            return len(environment[name].split(",")) * slices
    if metadata is None:
        if not _tpu_machine(environment):
            return slices
        metadata = read_metadata
    endpoints = metadata("worker-network-endpoints")
    if not endpoints:
        return slices
    return len(endpoints.split(",")) * _slices_of(metadata("tpu-env") or "", slices)


def read_metadata(attribute: str) -> str | None:
    """An attribute of this Google Cloud machine; None where nobody answers or it has none."""
    host = os.environ.get("GCE_METADATA_IP", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/attributes/{attribute}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.urlopen(request, timeout=_METADATA_SECONDS) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def _tpu_machine(environment: Mapping[str, str], devices: Path = Path("/dev")) -> bool:
    """Whether jax would take this for a Cloud TPU machine that has a metadata server."""
    wanted = environment.get("JAX_PLATFORMS", "tpu")
    if "tpu" not in wanted or "TPU_SKIP_MDS_QUERY" in environment:
        return False
    if "TPU_LIBRARY_PATH" not in environment and importlib.util.find_spec("libtpu") is None:
        return False
    return any(next(devices.glob(kind), None) for kind in ("accel[0-9]*", "vfio/[0-9]*"))


def _slices_of(tpu_env: str, default: int) -> int:
    """MEGASCALE_NUM_SLICES out of lines like ``MEGASCALE_NUM_SLICES: '2'``."""
    for line in tpu_env.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == _SLICES:
            return _number(value.strip().strip("'"))
    return default


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 1
