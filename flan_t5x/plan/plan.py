"""A plan: what a training step takes and how long it may last, compiled or by arithmetic."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from flan_t5x.errors import UserError
from flan_t5x.parallel.mesh import MESH_AXES
from flan_t5x.plan import analytic
from flan_t5x.plan.analytic import Bytes
from flan_t5x.plan.flops import traced_flops
from flan_t5x.plan.hlo import Collective, Program, read_program
from flan_t5x.plan.job import PlanJob
from flan_t5x.plan.roofline import Times, times
from flan_t5x.plan.topology import compiler_turn, describe, libtpu_version
from flan_t5x.train.saved_program import save_program

FORMAT = 1
"""Of cached results; older ones are not read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The figures of one training step, per chip.

    Attributes:
        source: "compiler" or "arithmetic".
        bytes: by kind.
        flops: of all matrix products, recomputation included.
        collectives: by kind and mesh axes.
        cycles: the compiler's estimate; None by arithmetic.
        cycles_by_kind: the same by kind of operation.
        seconds: the roofline.
        compile_seconds: 0 by arithmetic; of the run that compiled, where the result was cached.
        versions: of what compiled.
    """

    source: str
    bytes: Bytes
    flops: float
    collectives: tuple[Collective, ...]
    cycles: int | None
    cycles_by_kind: Mapping[str, int]
    seconds: Times
    compile_seconds: float
    versions: Mapping[str, str]


def analytic_plan(job: PlanJob) -> Plan:
    """By arithmetic alone; no compiler.

    Raises:
        UserError: a mesh, rule or batch that does not fit.
    """
    used = analytic.memory(job)
    flops = analytic.step_flops(job)
    moved = analytic.collectives(job)
    return Plan(
        source="arithmetic",
        bytes=used,
        flops=flops,
        collectives=moved,
        cycles=None,
        cycles_by_kind={},
        seconds=_seconds(job, used, flops, moved, None, _guessed_axes(job)),
        compile_seconds=0.0,
        versions={"jax": jax.__version__},
    )


def compiled_plan(job: PlanJob, *, cache_dir: Path, program_file: Path | None = None) -> Plan:
    """From the program that the TPU compiler makes of the true step.

    Args:
        job: what to compile.
        cache_dir: folder of earlier results, by fingerprint of program, hardware and versions.
        program_file: where the compiled step is kept for `train.compiled_program`; it is then
            compiled whatever there is in `cache_dir`.

    Raises:
        UserError: no compiler, a mesh, rule or batch that does not fit, or a program that does
            not fit into the chip's memory.
    """
    with compiler_turn():
        devices = describe(job.tpu, job.slices)
        network, step, batch = job.place(devices)
        traced = step.trace(network.abstract, batch)
        lowered = traced.lower()
        versions = {"jax": jax.__version__, "libtpu": str(libtpu_version())}
        mark = _fingerprint(lowered.as_text(), job, versions)
        path = cache_dir / f"{mark}.json"
        if path.exists() and program_file is None:
            record = json.loads(path.read_text())
        else:
            record = _compile(lowered, network.mesh, job, program_file)
            cache_dir.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(record, indent=1))
            partial.replace(path)
    moved = tuple(Collective(**c) for c in record["collectives"])
    parameters, optimizer = _state_bytes(network.abstract, job)
    temporary = record["temporary_bytes"] * job.tpu.devices // job.tpu.chips
    kept = min(analytic.kept_bytes(job), temporary)
    used = Bytes(parameters, optimizer, kept, temporary - kept)
    flops = traced_flops(traced) / job.chips
    return Plan(
        source="compiler",
        bytes=used,
        flops=flops,
        collectives=moved,
        cycles=record["cycles"],
        cycles_by_kind=record["cycles_by_kind"],
        seconds=_seconds(job, used, flops, moved, record["cycles"], _ici_axes(network.mesh)),
        compile_seconds=record["compile_seconds"],
        versions=versions,
    )


def _compile(lowered: Any, mesh: Mesh, job: PlanJob, program_file: Path | None) -> dict[str, Any]:
    begin = time.monotonic()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        line = next((part for part in str(error).splitlines() if "Used" in part), str(error))
        raise UserError(
            f"{job.tpu.name}: the step does not fit into a chip's memory: {line.strip()}; more "
            "fsdp or tensor parts, more microbatches, or remat_policy = 'full' take less"
        ) from error
    seconds = time.monotonic() - begin
    if program_file is not None:
        save_program(program_file, lowered, compiled)
    program: Program = read_program(_text(compiled), dict(mesh.shape))
    return {
        "cycles": program.cycles,
        "cycles_by_kind": program.cycles_by_kind,
        "collectives": [dataclasses.asdict(c) for c in program.collectives],
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "compile_seconds": seconds,
    }


def _text(compiled: jax.stages.Compiled) -> str:
    try:
        return str(compiled.as_text())
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the step was compiled, but jax {jax.__version__} cannot show the program: {reason}; "
            "another number of microbatches or another mesh may do"
        ) from error


def _fingerprint(program: str, job: PlanJob, versions: Mapping[str, str]) -> str:
    what = [program, job.tpu.name, job.tpu.topology_name, str(job.slices), str(FORMAT)]
    what += [f"{name} {version}" for name, version in sorted(versions.items())]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()[:32]


def _state_bytes(abstract: Any, job: PlanJob) -> tuple[int, int]:
    def shard(tree: Any) -> int:
        return sum(
            int(np.prod(x.sharding.shard_shape(x.shape))) * x.dtype.itemsize
            for x in jax.tree.leaves(tree)
        )

    halves = job.tpu.devices // job.tpu.chips
    return shard(abstract.params) * halves, shard(abstract.opt_state) * halves


def _seconds(
    job: PlanJob,
    used: Bytes,
    flops: float,
    moved: tuple[Collective, ...],
    cycles: int | None,
    ici_axes: dict[str, int],
) -> Times:
    return times(
        flops_per_chip=flops,
        hbm_traffic=analytic.hbm_traffic(job, used),
        cycles=cycles,
        collectives=moved,
        tpu=job.tpu,
        ici_axes=ici_axes,
        slices=job.slices,
    )


def _ici_axes(mesh: Mesh) -> dict[str, int]:
    """How many torus dimensions each mesh axis extends over, from the devices' places."""
    places = np.array([d.coords for d in mesh.devices.flat]).reshape(*mesh.devices.shape, -1)
    found = {}
    for i, axis in enumerate(mesh.axis_names):
        line = np.moveaxis(places, i, 0).reshape(places.shape[i], -1, places.shape[-1])[:, 0]
        found[axis] = int((line != line[:1]).any(axis=0).sum())
    return found


def _guessed_axes(job: PlanJob) -> dict[str, int]:
    """The same without devices: an axis takes as many dimensions as its size needs."""
    free = sorted(job.tpu.topology, reverse=True)
    found = {}
    sizes = dict(zip(MESH_AXES, job.shape(), strict=True))
    for axis in ("tensor", "fsdp", "data"):
        size, count = sizes[axis], 0
        while size > 1 and free:
            side = free.pop()
            size = -(-size // side)
            count += 1
        found[axis] = count
    return found
