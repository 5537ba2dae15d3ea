"""The fastest plan that fits: all candidates by arithmetic, the best few by the compiler."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from flan_t5x.errors import UserError
from flan_t5x.model.config import RematPolicy
from flan_t5x.plan.job import PlanJob
from flan_t5x.plan.plan import Plan, analytic_plan, compiled_plan
from flan_t5x.plan.report import fits

Found = tuple[PlanJob, Plan]
HEADROOM = 0.9
"""Share of the memory that an estimate by arithmetic may fill."""


def candidates(job: PlanJob) -> Iterator[PlanJob]:
    """Meshes, rules, remat policies and microbatches that divide the job's sizes."""
    within = job.devices // job.slices
    for tensor in _powers(within, most=job.config.num_heads):
        for fsdp in _powers(within // tensor, most=job.config.emb_dim):
            data = within // tensor // fsdp
            mesh = {"slice": job.slices, "data": data, "fsdp": fsdp, "tensor": tensor}
            names = ("fsdp",) if tensor == 1 else ("fsdp_tensor", "fsdp_tensor_sequence")
            for rules in ("data_parallel",) if tensor == fsdp == 1 else names:
                for remat in get_args(RematPolicy):
                    for micro in (1, 2, 4, 8):
                        config = dataclasses.replace(job.config, remat_policy=remat)
                        step = dataclasses.replace(job.step, num_microbatches=micro)
                        yield dataclasses.replace(
                            job, mesh=mesh, rules=rules, config=config, step=step
                        )


def search(job: PlanJob, *, finalists: int, cache_dir: Path, say: Callable[[str], None]) -> Found:
    """The best plan of a job's hardware.

    Args:
        job: mesh, rules, remat policy and microbatches of it are replaced.
        finalists: how many the compiler looks at; 0 stays with arithmetic.
        cache_dir: of the compiler's results.
        say: told what is tried.

    Raises:
        UserError: nothing fits.
    """
    by_arithmetic: list[Found] = []
    for candidate in candidates(job):
        parts = candidate.shape()
        unit = parts[0] * parts[1] * parts[2] * candidate.step.num_microbatches
        if candidate.batch % unit:
            continue
        try:
            plan = analytic_plan(candidate)
        except UserError:
            continue  # a dimension that this mesh does not divide
        if plan.bytes.total <= HEADROOM * job.tpu.generation.hbm_bytes:
            by_arithmetic.append((candidate, plan))
    if not by_arithmetic:
        raise UserError(
            f"nothing fits: {job.batch} rows on {job.slices} x {job.tpu.name}; take a larger "
            "slice, or a batch that more devices divide"
        )
    by_arithmetic.sort(key=_seconds)
    say(f"{len(by_arithmetic)} candidates fit by arithmetic")
    if not finalists:
        return by_arithmetic[0]
    compiled: list[Found] = []
    for candidate, _ in by_arithmetic[:finalists]:
        try:
            plan = compiled_plan(candidate, cache_dir=cache_dir)
        except UserError as error:
            say(f"{_named(candidate)}: {error}")
            continue
        say(f"{_named(candidate)}: {plan.seconds.step:.4f} s")
        if fits(candidate, plan):
            compiled.append((candidate, plan))
    if not compiled:
        raise UserError("none of the finalists fits by the compiler's count; try more --finalists")
    return min(compiled, key=_seconds)


def _seconds(found: Found) -> float:
    return found[1].seconds.step


def _powers(limit: int, *, most: int) -> list[int]:
    sizes = []
    size = 1
    while size <= min(limit, most):
        if limit % size == 0:
            sizes.append(size)
        size *= 2
    return sizes


def _named(job: PlanJob) -> str:
    mesh = "x".join(str(n) for n in job.shape())
    return f"{mesh} {job.rules}, remat {job.config.remat_policy}, {job.step.num_microbatches} micro"
