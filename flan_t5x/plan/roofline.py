"""From counts to seconds: a roofline whose assumptions are written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flan_t5x.parallel.tpu import TpuSlice
from flan_t5x.plan.hlo import Collective

LINK_EFFICIENCY = 0.9
"""Share of a link's rate that a large collective reaches (scaling book: 90 of 100 GB/s on v5p)."""
EXPOSED_AXES = frozenset({"tensor"})
"""Collectives over these axes stand between two products of one layer: nothing hides them. All
others (weights gathered ahead, gradients reduced behind) may run beside the computation."""


@dataclass(frozen=True)
class Times:
    """Seconds of a step by what they are spent on.

    Attributes:
        flops: matrix products at the peak rate.
        cycles: the compiler's cycles at the chip's clock; None where the clock is unknown.
        hbm: bytes to and from memory at its full rate.
        hidden: collectives that can run beside the computation.
        exposed: collectives that cannot.
    """

    flops: float
    cycles: float | None
    hbm: float
    hidden: float
    exposed: float

    @property
    def compute(self) -> float:
        """The slowest of products, memory and the compiler's own estimate."""
        return max(self.flops, self.hbm, self.cycles or 0.0)

    @property
    def step(self) -> float:
        """Computation and hidden collectives at the same time, then what is exposed."""
        return max(self.compute, self.hidden) + self.exposed

    @property
    def limit(self) -> str:
        """What binds the step."""
        if self.exposed > max(self.compute, self.hidden):
            return "exposed collectives (tensor)"
        if self.hidden > self.compute:
            return "collectives"
        if self.compute == self.hbm:
            return "memory bandwidth"
        if self.cycles is not None and self.cycles > 1.5 * self.flops:
            return "computation, more than half of it not matrix products"
        return "matrix products"


def collective_seconds(
    collective: Collective, tpu: TpuSlice, *, ici_axes: dict[str, int], slices: int
) -> float:
    """Time of one kind of collective.

    A ring moves (n-1)/n of the bytes through every chip, an all-reduce twice that. Its rate is
    that of the torus dimensions the group extends over: one link each way where the dimension
    is a ring, one way where it is not. Over "slice" it is the data-centre network's.

    Args:
        collective: what is moved.
        tpu: the kind of slice.
        ici_axes: torus dimensions that each mesh axis extends over.
        slices: number of slices.
    """
    group = max(collective.group, 2)
    share = (group - 1) / group * (2 if collective.kind == "all-reduce" else 1)
    if collective.kind == "all-to-all":
        share /= group / 4  # every pair's part crosses a quarter of a ring on average
    axes = collective.axes.split("*")
    if "slice" in axes and slices > 1:
        return collective.bytes * share / tpu.generation.dcn_bandwidth
    dimensions = min(sum(ici_axes.get(axis, 0) for axis in axes), tpu.generation.dimensions)
    rings = 2 if any(tpu.wrap) else 1
    rate = max(dimensions, 1) * rings * tpu.generation.ici_link_bandwidth * LINK_EFFICIENCY
    return collective.bytes * share / rate


def times(
    *,
    flops_per_chip: float,
    hbm_traffic: float,
    cycles: int | None,
    collectives: Sequence[Collective],
    tpu: TpuSlice,
    ici_axes: dict[str, int],
    slices: int,
) -> Times:
    """The roofline of a step.

    Args:
        flops_per_chip: of all matrix products.
        hbm_traffic: bytes read and written per chip.
        cycles: the compiler's, None without it.
        collectives: per chip.
        tpu: the kind of slice.
        ici_axes: see `collective_seconds`.
        slices: how many.
    """
    generation = tpu.generation
    seconds = {True: 0.0, False: 0.0}
    for collective in collectives:
        exposed = bool(EXPOSED_AXES & set(collective.axes.split("*")))
        seconds[exposed] += collective_seconds(collective, tpu, ici_axes=ici_axes, slices=slices)
    clock = generation.clock_hz
    return Times(
        flops=flops_per_chip / generation.peak_flops,
        cycles=None if cycles is None or clock is None else cycles / clock,
        hbm=hbm_traffic / generation.hbm_bandwidth,
        hidden=seconds[False],
        exposed=seconds[True],
    )


def assumptions(tpu: TpuSlice, slices: int) -> list[str]:
    """Every rate and rule that the estimate stands on, one a line."""
    g = tpu.generation
    clock = f"{g.clock_hz / 1e9:g} GHz" if g.clock_hz else "unknown, cycles not turned into time"
    rings = "rings (both ways)" if any(tpu.wrap) else "lines (one way)"
    lines = [
        f"peak {g.peak_flops / 1e12:g} TFLOP/s bfloat16 a chip, reached in full by products; "
        f"clock {clock}",
        f"memory {g.hbm_bytes / 2**30:g} GiB at {g.hbm_bandwidth / 1e9:g} GB/s a chip",
        f"interconnect {g.ici_link_bandwidth / 1e9:g} GB/s a link and direction, "
        f"{LINK_EFFICIENCY:.0%} of it reached; {tpu.topology_name} in {rings}; an axis uses all "
        "torus dimensions it extends over",
        "collectives over tensor are exposed, all others overlap with computation in full",
    ]
    if slices > 1:
        lines.append(f"between slices {g.dcn_bandwidth / 1e9:g} GB/s a chip")
    return lines
