"""The table of accelerators: names as in Cloud, topologies, hosts, tori."""

from __future__ import annotations

import math

import pytest

from flan_t5x.errors import UserError
from flan_t5x.parallel.tpu import GENERATIONS, TpuSlice, parse_slice, topologies


@pytest.mark.parametrize(
    ("name", "topology", "chips", "devices", "hosts", "machine"),
    [
        ("v4-8", "2x2x1", 4, 4, 1, "ct4p-hightpu-4t"),
        ("v4-512", "4x8x8", 256, 256, 64, "ct4p-hightpu-4t"),
        ("v4-4096", "8x16x16", 2048, 2048, 512, "ct4p-hightpu-4t"),
        ("v5e-1", "1x1", 1, 1, 1, "ct5lp-hightpu-1t"),
        ("v5e-8", "2x4", 8, 8, 1, "ct5lp-hightpu-8t"),
        ("v5litepod-16", "4x4", 16, 16, 4, "ct5lp-hightpu-4t"),
        ("v5e-256", "16x16", 256, 256, 64, "ct5lp-hightpu-4t"),
        ("v5p-128", "4x4x4", 64, 64, 16, "ct5p-hightpu-4t"),
        ("v5p-256", "4x4x8", 128, 128, 32, "ct5p-hightpu-4t"),
        ("v5p-12288", "16x16x24", 6144, 6144, 1536, "ct5p-hightpu-4t"),
        ("v6e-64", "8x8", 64, 64, 16, "ct6e-standard-4t"),
        ("tpu7x-64", "2x4x4", 32, 64, 8, "tpu7x-standard-4t"),
        ("ironwood-128", "4x4x4", 64, 128, 16, "tpu7x-standard-4t"),
        ("v5p-4x4x16", "4x4x16", 256, 256, 64, "ct5p-hightpu-4t"),
        ("v5e:8x16", "8x16", 128, 128, 32, "ct5lp-hightpu-4t"),
    ],
)
def test_names(
    name: str, topology: str, chips: int, devices: int, hosts: int, machine: str
) -> None:
    found = parse_slice(name)
    assert (found.topology_name, found.chips, found.devices) == (topology, chips, devices)
    assert (found.hosts, found.machine_type) == (hosts, machine)


@pytest.mark.parametrize("generation", GENERATIONS.values(), ids=list(GENERATIONS))
def test_every_listed_slice(generation: object) -> None:
    """Names lead back to the slice; hosts fill it; memory and rates are of a chip's order."""
    for topology in topologies(generation):  # type: ignore[arg-type]
        found = TpuSlice(generation, topology)  # type: ignore[arg-type]
        assert parse_slice(found.name) == found
        assert parse_slice(f"{found.generation.name}-{found.topology_name}") == found
        assert found.hosts * found.chips_per_host == found.chips <= found.generation.max_chips
        assert math.prod(found.host_bounds) == found.chips_per_host
        assert all(s % h == 0 for s, h in zip(topology, found.host_bounds, strict=False))


def test_accelerator_type_is_clouds_name() -> None:
    assert parse_slice("v5e-64").accelerator_type == "v5litepod-64"
    assert parse_slice("v5p-64").accelerator_type == "v5p-64"


def test_wrap() -> None:
    assert parse_slice("v5p-256").wrap == (True, True, True)
    assert parse_slice("v5p-64").wrap == (False, False, False)
    assert parse_slice("v5e-256").wrap == (True, True, False)
    assert parse_slice("v6e-128").wrap == (False, True, False)
    assert parse_slice("v6e-64").wrap == (False, False, False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5x-128", r"no TPU 'v5x'; did you mean 'v5\w'"),
        ("h100-8", "no TPU 'h100'; known: v4, v5e, v5p, v6e, tpu7x"),
        ("v5p-100", "no slice of 100 TensorCores .*near ones: v5p-64, v5p-128"),
        ("v5e-512", "no slice of 512 chips; near ones: .*v5e-256"),
        ("v5p-3x3x3", "no topology 3x3x3; near ones: .*2x4x4"),
        ("v5p-8x4x4", "no topology 8x4x4; near ones: .*4x4x8.*smallest first"),
        ("v4-32x32x32", "no topology"),
        ("v5e-3x7", "no topology 3x7; near ones: "),
        ("v5p", "write a number of TensorCores .*v5p-128 or v5p-4x4x4"),
        ("v6e-many", "write a number of chips or a topology"),
    ],
)
def test_unknown(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_slice(name)
    assert "\n" not in str(caught.value)
