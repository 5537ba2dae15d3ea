"""Reading an optimised program: loops in full, collectives by kind and mesh axis."""

from __future__ import annotations

import pytest

from flan_t5x.plan.hlo import Collective, read_program

TEXT = """\
HloModule step

%scatter (p: f32[64]) -> f32[8] {
  %p = f32[64]{0} parameter(0)
  %sum = f32[64]{0} all-reduce(%p), replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %part = f32[8]{0} dynamic-slice(%sum), dynamic_slice_sizes={8}
}

%cond (c: (s32[])) -> pred[] {
  %bound = s32[] constant(24)
  ROOT %less = pred[] compare(%i, %bound), direction=LT
}

%body (c: (s32[])) -> (s32[]) {
  %dots = bf16[4,8]{1,0} convolution(%a, %b), backend_config={"estimated_cycles":"100"}
  %whole = bf16[16,8]{1,0} all-gather(%w), replica_groups=mesh['x'=2,'y'=4] {'y'}, dimensions={0}
  ROOT %t = (s32[]) tuple(%i)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %loop = (s32[]) while(%start), condition=%cond, body=%body
  %once = f32[4]{0} fusion(%x), kind=kLoop, calls=%other, backend_config={"estimated_cycles":"7"}
  %odd = f32[4]{0} fusion(%x), backend_config={"estimated_cycles":"9223372036854775807"}
  %grads = (f32[4]{0}, f32[2]{0}) all-reduce(%x, %y), replica_groups={{0,4},{1,5},{2,6},{3,7}}
  %moved = f32[8]{0} fusion(%x), kind=kCustom, calls=%scatter
  ROOT %all = f32[] all-reduce(%z), replica_groups=[1,8]<=[8], to_apply=%add
}
"""


def test_program() -> None:
    program = read_program(TEXT, {"slice": 1, "data": 2, "fsdp": 4, "tensor": 1})
    assert program.cycles == 24 * 100 + 7
    assert program.cycles_by_kind["dense products"] == 2400
    assert set(program.collectives) == {
        Collective("all-gather", "fsdp", 4, 24 * 16 * 8 * 2, 24),
        Collective("all-reduce", "data", 2, 24, 1),
        Collective("reduce-scatter", "fsdp", 4, 256, 1),
        Collective("all-reduce", "data*fsdp", 8, 4, 1),
    }


@pytest.mark.parametrize(
    ("groups", "axes", "size"),
    [
        ("[4,2]<=[4,2]", "tensor", 2),
        ("[2,4]<=[4,2]T(1,0)", "fsdp", 4),
        ("{{0,2,4,6},{1,3,5,7}}", "fsdp", 4),
        ("mesh['a'=4,'b'=2] {'a','b'}", "fsdp*tensor", 8),
        ("{}", "fsdp*tensor", 0),  # all of them
    ],
)
def test_groups_as_mesh_axes(groups: str, axes: str, size: int) -> None:
    line = f"  %a = f32[4]{{0}} all-reduce(%x), replica_groups={groups}, to_apply=%add\n"
    text = f"ENTRY %main (x: f32[4]) -> f32[4] {{\n{line}}}\n"
    program = read_program(text, {"slice": 1, "data": 1, "fsdp": 4, "tensor": 2})
    assert program.collectives == (Collective("all-reduce", axes, size, 16, 1),)
