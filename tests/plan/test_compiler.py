"""The real TPU compiler, where it is installed: every generation is described; a step compiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.tpu import GENERATIONS, parse_slice
from flan_t5x.plan import topology
from flan_t5x.plan.plan import compiled_plan
from tests.plan.jobs import small_job

needs_libtpu = pytest.mark.skipif(
    topology.libtpu_version() is None, reason="the TPU compiler (libtpu) is not installed"
)


@needs_libtpu
@pytest.mark.parametrize("name", ["v4-128", "v5e-16", "v5p-128", "v6e-8", "tpu7x-64"])
def test_described_as_in_the_table(name: str) -> None:
    tpu = parse_slice(name)
    with topology.compiler_turn():
        devices = topology.describe(tpu)
    assert len(devices) == tpu.devices
    assert len({d.process_index for d in devices}) == tpu.hosts
    assert tpu.generation in GENERATIONS.values()


@needs_libtpu
def test_several_slices_make_a_hybrid_mesh() -> None:
    """The slow axis separates the slices; all others stay within one."""
    job = small_job(tpu="v5e-16", slices=2, batch=32, mesh={"slice": 2, "fsdp": 16})
    with topology.compiler_turn():
        network, _, _ = job.place(topology.describe(job.tpu, 2))
    slices = [{d.slice_index for d in part.flat} for part in network.mesh.devices]
    assert [len(numbers) for numbers in slices] == [1, 1]
    assert slices[0] != slices[1]


@needs_libtpu
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("v5p-128", {"data": 2, "fsdp": 32}),  # 4x4x4: no sides make 2 or 32
        ("v5e-256", {"data": 4, "fsdp": 8, "tensor": 8}),  # 16x16
        ("v5p-128", {"data": 4, "fsdp": 16}),
    ],
)
def test_mesh_axes_may_be_parts_of_sides(name: str, sizes: dict[str, int]) -> None:
    with topology.compiler_turn():
        devices = topology.describe(parse_slice(name))
    mesh = make_mesh(sizes, devices)
    assert {axis: mesh.shape[axis] for axis in sizes} == sizes
    assert {d.id for d in mesh.devices.flat} == {d.id for d in devices}


@needs_libtpu
@pytest.mark.slow
def test_a_step_compiles_once(tmp_path: Path) -> None:
    job = small_job()
    plan = compiled_plan(job, cache_dir=tmp_path)
    assert plan.cycles
    assert plan.compile_seconds > 0
    assert {"all-gather"} <= {c.kind for c in plan.collectives}
    assert plan.bytes.parameters == pytest.approx(4 * job.config.num_parameters() / 8, rel=0.02)
    again = compiled_plan(job, cache_dir=tmp_path)
    assert (again.cycles, again.compile_seconds) == (plan.cycles, plan.compile_seconds)
    assert len(list(tmp_path.iterdir())) == 1


def test_without_libtpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(topology, "libtpu_version", lambda: None)
    with pytest.raises(UserError, match=r"pip install 'flan-t5x\[plan\]'.* --analytic"):
        compiled_plan(small_job(), cache_dir=tmp_path)
