"""Cloud TPU generations and slices: names, chips, hosts, topologies, rates. No jax in here.

The one table of accelerators; `flan_t5x.plan` and `launch` read it. Rates are per chip, decimal
(1 GB/s = 1e9 bytes/s), memory is binary, all as Google's pages "TPU v4", "TPU v5e", "TPU v5p",
"TPU v6e" and "TPU7x" (docs.cloud.google.com/tpu/docs) print them, unless said otherwise:

* a link's rate, one way, is the page's bidirectional ICI rate / (2 * links); v4's page has none,
  its 50 GB/s are from Jouppi et al. 2023 (arXiv 2304.01433, table 4);
* network rates of v4 and v5e are the hosts' 100 Gbit/s over four chips, an assumption for v4;
* v4's clock is from the same paper, v5e's and v5p's follow from the peak rate and their matrix
  units of 128 x 128; there is no published figure for v6e and TPU7x.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

from flan_t5x.errors import UserError, nearest

GIB = 2**30
TILED_SIDE = 4
"""Side of the cubes that slices of 64 chips and more are made of, in three dimensions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation of TPU.

    Attributes:
        name: what users write before the number, e.g. "v5p".
        accelerator_type: Cloud's prefix before the number in API calls.
        counts_cores: whether that number counts TensorCores (two a chip); otherwise chips.
        devices_per_chip: jax devices a chip shows (TPU7x: its two halves; v4, v5p: one for both
            cores).
        dimensions: 2 or 3, of the topology.
        max_chips: of the largest slice that one job can have.
        hbm_bytes: memory of a chip.
        peak_flops: bfloat16 FLOP/s of a chip.
        hbm_bandwidth: bytes/s of a chip.
        ici_link_bandwidth: bytes/s of one interconnect link in one direction; a chip has two
            links (forth and back) per dimension of the topology.
        dcn_bandwidth: bytes/s a chip gets of its host's data-centre network.
        clock_hz: of the TensorCores, to turn the compiler's cycles into seconds; None: unknown.
        gke_accelerator: value of GKE's node label cloud.google.com/gke-tpu-accelerator.
        machine_types: Compute Engine machine type by chips of a host.
        runtime_version: TPU VM software version of queued resources; None: GKE only.
    """

    name: str
    accelerator_type: str
    counts_cores: bool
    devices_per_chip: int
    dimensions: int
    max_chips: int
    hbm_bytes: int
    peak_flops: float
    hbm_bandwidth: float
    ici_link_bandwidth: float
    dcn_bandwidth: float
    clock_hz: float | None
    gke_accelerator: str
    machine_types: dict[int, str]
    runtime_version: str | None

    @property
    def units_per_chip(self) -> int:
        """By how much the number in a slice's name grows with a chip."""
        return 2 if self.counts_cores else 1


GENERATIONS: dict[str, Generation] = {
    generation.name: generation
    for generation in (
        Generation(
            name="v4",
            accelerator_type="v4",
            counts_cores=True,
            devices_per_chip=1,
            dimensions=3,
            max_chips=4096,
            hbm_bytes=32 * GIB,
            peak_flops=275e12,
            hbm_bandwidth=1200e9,
            ici_link_bandwidth=50e9,
            dcn_bandwidth=3.125e9,
            clock_hz=1.05e9,
            gke_accelerator="tpu-v4-podslice",
            machine_types={4: "ct4p-hightpu-4t"},
            runtime_version="tpu-ubuntu2204-base",
        ),
        Generation(
            name="v5e",
            accelerator_type="v5litepod",
            counts_cores=False,
            devices_per_chip=1,
            dimensions=2,
            max_chips=256,
            hbm_bytes=16 * GIB,
            peak_flops=197e12,
            hbm_bandwidth=819e9,
            ici_link_bandwidth=50e9,
            dcn_bandwidth=3.125e9,
            clock_hz=1.5e9,
            gke_accelerator="tpu-v5-lite-podslice",
            machine_types={1: "ct5lp-hightpu-1t", 4: "ct5lp-hightpu-4t", 8: "ct5lp-hightpu-8t"},
            runtime_version="v2-alpha-tpuv5-lite",
        ),
        Generation(
            name="v5p",
            accelerator_type="v5p",
            counts_cores=True,
            devices_per_chip=1,
            dimensions=3,
            max_chips=6144,
            hbm_bytes=95 * GIB,
            peak_flops=459e12,
            hbm_bandwidth=2765e9,
            ici_link_bandwidth=100e9,
            dcn_bandwidth=6.25e9,
            clock_hz=1.75e9,
            gke_accelerator="tpu-v5p-slice",
            machine_types={4: "ct5p-hightpu-4t"},
            runtime_version="v2-alpha-tpuv5",
        ),
        Generation(
            name="v6e",
            accelerator_type="v6e",
            counts_cores=False,
            devices_per_chip=1,
            dimensions=2,
            max_chips=256,
            hbm_bytes=32 * GIB,
            peak_flops=918e12,
            hbm_bandwidth=1638e9,
            ici_link_bandwidth=100e9,
            dcn_bandwidth=12.5e9,
            clock_hz=None,
            gke_accelerator="tpu-v6e-slice",
            machine_types={1: "ct6e-standard-1t", 4: "ct6e-standard-4t", 8: "ct6e-standard-8t"},
            runtime_version="v2-alpha-tpuv6e",
        ),
        Generation(
            name="tpu7x",
            accelerator_type="tpu7x",
            counts_cores=True,
            devices_per_chip=2,
            dimensions=3,
            max_chips=9216,
            hbm_bytes=192 * GIB,
            peak_flops=2307e12,
            hbm_bandwidth=7380e9,
            ici_link_bandwidth=100e9,
            dcn_bandwidth=12.5e9,
            clock_hz=None,
            gke_accelerator="tpu7x",
            machine_types={4: "tpu7x-standard-4t"},
            runtime_version=None,
        ),
    )
}
"""By the name that users write; `ALIASES` has Cloud's other names."""

ALIASES = {"v5litepod": "v5e", "v5lite": "v5e", "trillium": "v6e", "ironwood": "tpu7x"}


@dataclasses.dataclass(frozen=True)
class TpuSlice:
    """One slice: chips of one generation in one topology.

    Attributes:
        generation: which kind of chip.
        topology: sides, e.g. (4, 4, 8), smallest first.
    """

    generation: Generation
    topology: tuple[int, ...]

    @property
    def chips(self) -> int:
        """Number of chips."""
        return math.prod(self.topology)

    @property
    def devices(self) -> int:
        """Number of jax devices."""
        return self.chips * self.generation.devices_per_chip

    @property
    def units(self) -> int:
        """The number in the name: TensorCores or chips, see `Generation.counts_cores`."""
        return self.chips * self.generation.units_per_chip

    @property
    def name(self) -> str:
        """As users write it, e.g. "v5p-256"."""
        return f"{self.generation.name}-{self.units}"

    @property
    def accelerator_type(self) -> str:
        """As Cloud's API writes it, e.g. "v5litepod-256"."""
        return f"{self.generation.accelerator_type}-{self.units}"

    @property
    def topology_name(self) -> str:
        """E.g. "4x4x8"."""
        return "x".join(map(str, self.topology))

    @property
    def chips_per_host(self) -> int:
        """One host holds a slice of 1, and of 8 chips where there is such a machine; else 4."""
        sizes = self.generation.machine_types
        return self.chips if self.chips in sizes else 4

    @property
    def host_bounds(self) -> tuple[int, int, int]:
        """Sides of a host's part of the topology."""
        return {1: (1, 1, 1), 4: (2, 2, 1), 8: (2, 4, 1)}[self.chips_per_host]

    @property
    def hosts(self) -> int:
        """Number of hosts (virtual machines)."""
        return self.chips // self.chips_per_host

    @property
    def machine_type(self) -> str:
        """Compute Engine machine type of a host."""
        return self.generation.machine_types[self.chips_per_host]

    @property
    def wrap(self) -> tuple[bool, bool, bool]:
        """Which sides close to a ring.

        Three dimensions: all, where every side is a multiple of 4 (whole cubes); otherwise none.
        Two dimensions: a side of 16.
        """
        if self.generation.dimensions == 2:
            return self.topology[0] == 16, self.topology[1] == 16, False
        torus = all(side % TILED_SIDE == 0 for side in self.topology)
        return torus, torus, torus


def parse_slice(name: str) -> TpuSlice:
    """The slice that `name` means.

    Args:
        name: "v5p-256", or with a topology "v5p-4x4x8" (":" serves for "-").

    Raises:
        UserError: an unknown generation, or a size or topology that it does not have; with the
            nearest ones that exist.
    """
    kind, _, size = name.strip().lower().replace(":", "-").partition("-")
    generation = GENERATIONS.get(ALIASES.get(kind, kind))
    if generation is None:
        known = ", ".join(GENERATIONS)
        hint = nearest(kind, [*GENERATIONS, *ALIASES])
        raise UserError(
            f"accelerator {name!r}: there is no TPU {kind!r}; {hint or f'known: {known}'}"
        )
    if re.fullmatch(r"\d+(x\d+)+", size):
        return _with_topology(name, generation, tuple(int(side) for side in size.split("x")))
    if not re.fullmatch(r"\d+", size):
        middling = TpuSlice(generation, (4, 4, 4) if generation.dimensions == 3 else (8, 8))
        raise UserError(
            f"accelerator {name!r}: write a number of {_units(generation)} or a topology after "
            f"{kind}-, e.g. {middling.name} or {kind}-{middling.topology_name}"
        )
    units = int(size)
    for topology in topologies(generation):
        found = TpuSlice(generation, topology)
        if found.units == units:
            return found
    near = _near_sizes(generation, units)
    raise UserError(
        f"accelerator {name!r}: {generation.name} has no slice of {units} {_units(generation)}; "
        f"near ones: {', '.join(near)}"
    )


def topologies(generation: Generation) -> list[tuple[int, ...]]:
    """The default topology of each number of chips, smallest first.

    Slices of whole cubes come in every product of multiples of 4; the default is the most
    compact one, as in Cloud's lists.
    """
    if generation.dimensions == 2:
        return [(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)]
    best: dict[int, tuple[int, ...]] = {}
    for sides in [(2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), *_cubes(generation.max_chips)]:
        chips = math.prod(sides)
        if chips not in best or sum(sides) < sum(best[chips]):
            best[chips] = sides
    return [best[chips] for chips in sorted(best)]


def _cubes(max_chips: int) -> list[tuple[int, ...]]:
    most = max_chips // TILED_SIDE**3
    sides = range(1, most + 1)
    found: list[tuple[int, ...]] = []
    for a, b in itertools.combinations_with_replacement(sides, 2):
        if a * b * b > most:
            continue
        found += [(4 * a, 4 * b, 4 * c) for c in range(b, most // (a * b) + 1)]
    return found


def _with_topology(name: str, generation: Generation, sides: tuple[int, ...]) -> TpuSlice:
    known = topologies(generation)
    if generation.dimensions == 3 and len(sides) == 3:
        cubes = all(side % TILED_SIDE == 0 and side > 0 for side in sides)
        if cubes and math.prod(sides) <= generation.max_chips and list(sides) == sorted(sides):
            return TpuSlice(generation, sides)
    if sides in known:
        return TpuSlice(generation, sides)
    chips = math.prod(sides) * generation.units_per_chip
    names = [parse_slice(near).topology_name for near in _near_sizes(generation, chips)]
    rule = ", or multiples of 4, smallest first" if generation.dimensions == 3 else ""
    raise UserError(
        f"accelerator {name!r}: {generation.name} has no topology {'x'.join(map(str, sides))}; "
        f"near ones: {', '.join(dict.fromkeys(names))}{rule}"
    )


def _near_sizes(generation: Generation, units: int) -> list[str]:
    slices = [TpuSlice(generation, topology) for topology in topologies(generation)]
    near = sorted(slices, key=lambda s: abs(math.log(s.units / max(units, 1))))[:3]
    return [s.name for s in sorted(near, key=lambda s: s.chips)]


def _units(generation: Generation) -> str:
    return "TensorCores (two a chip)" if generation.counts_cores else "chips"
