"""Weak scaling by plan: the same rows a chip on ever larger slices, by arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from flan_t5x.parallel.tpu import TpuSlice, topologies
from flan_t5x.plan.job import PlanJob
from flan_t5x.plan.plan import Plan, analytic_plan

LARGEST_FSDP = 256
"""Parts of the parameters; chips beyond it hold replicas."""


class Point(NamedTuple):
    """One slice.

    Attributes:
        job: the step on it.
        plan: its figures.
        efficiency: tokens/s a chip, against the smallest slice.
    """

    job: PlanJob
    plan: Plan
    efficiency: float


def weak_scaling(job: PlanJob, *, smallest: int = 8, largest: int = 4096) -> list[Point]:
    """Slices of the job's generation, the number of chips doubling.

    Args:
        job: gives the rows a chip (its batch over its chips, at least one) and the model; its
            mesh and rules are replaced by FSDP and replicas.
        smallest: chips of the first slice.
        largest: chips of the last one.
    """
    rows = max(job.batch // job.chips, 1)
    points: list[Point] = []
    for tpu in _slices(job.tpu, smallest, largest):
        fsdp = min(tpu.devices, LARGEST_FSDP)
        larger = dataclasses.replace(
            job,
            tpu=tpu,
            slices=1,
            batch=rows * tpu.chips * tpu.generation.devices_per_chip,
            mesh={"data": tpu.devices // fsdp, "fsdp": fsdp},
            rules="fsdp",
        )
        plan = analytic_plan(larger)
        rate = larger.tokens / larger.chips / plan.seconds.step
        first = points[0] if points else None
        best = first.job.tokens / first.job.chips / first.plan.seconds.step if first else rate
        points.append(Point(larger, plan, rate / best))
    return points


def scaling_table(points: list[Point]) -> str:
    """The curve as lines: chips, topology, seconds, tokens/s, efficiency and a bar."""
    lines = [f"{'slice':<12}{'chips':>6}{'topology':>10}{'step s':>9}{'tokens/s':>14}  efficiency"]
    for job, plan, efficiency in points:
        lines.append(
            f"{job.tpu.name:<12}{job.chips:>6}{job.tpu.topology_name:>10}"
            f"{plan.seconds.step:>9.4f}{job.tokens / plan.seconds.step:>14,.0f}  "
            f"{efficiency:.2f} {'#' * round(40 * efficiency)}"
        )
    return "\n".join(lines)


def _slices(tpu: TpuSlice, smallest: int, largest: int) -> Iterator[TpuSlice]:
    sizes = {smallest * 2**i for i in range(32)}
    for topology in topologies(tpu.generation):
        found = TpuSlice(tpu.generation, topology)
        if found.chips in sizes and found.chips <= largest:
            yield found
