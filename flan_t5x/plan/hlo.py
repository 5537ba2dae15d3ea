"""What the TPU compiler wrote into a program: cycles and collectives, loops counted in full.

The optimised program is text. Every instruction carries the compiler's `estimated_cycles`; a
loop's body stands there once, so what is in it counts as often as the loop turns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-<>]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_NONSENSE = 10**15  # the compiler's mark for "unknown"
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "f32": 4}
_BYTES |= {"s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)


@dataclass(frozen=True)
class Collective:
    """One kind of communication, summed over the step.

    Attributes:
        kind: of `COLLECTIVES`.
        axes: mesh axes it runs over, joined by "*".
        group: devices that take part together.
        bytes: size of the whole result a chip (of the input, for reduce-scatter), times turns.
        count: how often it runs a step.
    """

    kind: str
    axes: str
    group: int
    bytes: int
    count: int


@dataclass(frozen=True)
class Program:
    """What a compiled step does.

    Attributes:
        cycles: the compiler's estimate, collectives left out.
        cycles_by_kind: the same by kind of operation.
        collectives: by kind and mesh axes.
    """

    cycles: int
    cycles_by_kind: dict[str, int]
    collectives: tuple[Collective, ...]


@dataclass(frozen=True)
class _Line:
    name: str
    shape: str
    operation: str
    text: str


def read_program(text: str, mesh: dict[str, int]) -> Program:
    """Reads an optimised program.

    Args:
        text: of `jax.stages.Compiled.as_text`.
        mesh: sizes of the mesh axes, in their order; a partition's number is its place in it.
    """
    computations, entry = _computations(text)
    kinds: Counter[str] = Counter()
    found: Counter[tuple[str, str, int]] = Counter()
    sizes: Counter[tuple[str, str, int]] = Counter()
    for line, turns in _walk(computations, entry, 1):
        cycles = _CYCLES.search(line.text)
        if cycles and int(cycles.group(1)) < _NONSENSE:
            kinds[_kind(line, computations)] += int(cycles.group(1)) * turns
        collective = _collective(line, computations)
        if collective is not None:
            kind, source = collective
            axes, group = _axes(source.text, mesh)
            key = (kind, axes, group)
            found[key] += turns
            size = _size(source.shape)
            if kind == "all-gather" and source.operation.endswith("-start"):
                size = _largest(source.shape)
            sizes[key] += turns * size
    collectives = [
        Collective(kind, axes, group, sizes[key], count)
        for key, count in found.items()
        for kind, axes, group in [key]
    ]
    collectives.sort(key=lambda c: -c.bytes)
    return Program(sum(kinds.values()), dict(kinds.most_common()), tuple(collectives))


def _computations(text: str) -> tuple[dict[str, list[_Line]], str]:
    computations: dict[str, list[_Line]] = {}
    current, entry = None, ""
    for raw in text.splitlines():
        header = _COMPUTATION.match(raw)
        if header:
            current = computations.setdefault(header.group(2), [])
            entry = header.group(2) if header.group(1) else entry
        elif raw == "}":
            current = None
        elif current is not None and (match := _INSTRUCTION.match(raw)):
            current.append(_Line(match[1], match[2], match[3], raw))
    return computations, entry


def _walk(
    computations: dict[str, list[_Line]], name: str, turns: int
) -> Iterator[tuple[_Line, int]]:
    for line in computations.get(name, ()):
        yield line, turns
        if line.operation == "while":
            body, condition = _called(line.text, "body"), _called(line.text, "condition")
            yield from _walk(
                computations, body, turns * _trips(line.text, computations.get(condition, []))
            )
        elif line.operation in ("call", "conditional"):
            for called in re.findall(r"(?:to_apply|_computation)=%?([\w.\-]+)", line.text):
                yield from _walk(computations, called, turns)


def _called(text: str, role: str) -> str:
    match = re.search(rf"\b{role}=%?([\w.\-]+)", text)
    return match.group(1) if match else ""


def _trips(text: str, condition: Sequence[_Line]) -> int:
    """Turns of a loop: as the compiler notes them, or the bound in its condition."""
    known = re.search(r'known_trip_count":\{"n":"(\d+)"', text)
    if known:
        return int(known.group(1))
    bounds = [int(n) for line in condition for n in re.findall(r"constant\((\d+)\)", line.text)]
    return max(bounds, default=1)


def _kind(line: _Line, computations: dict[str, list[_Line]]) -> str:
    """What an instruction spends its cycles on, in words."""
    inner = [line, *computations.get(_called(line.text, "calls"), [])]
    operations = {part.operation for part in inner}
    if operations & {"convolution", "dot"} or "dot_general" in line.text:
        attention = re.search(r"b[qk]hc|bhqk", line.text)
        return "attention products and softmax" if attention else "dense products"
    name = re.search(r'op_name="([^"]*)"', line.text)
    words = name.group(1) if name else ""
    if "add_any" in words:
        return "adding up gradients of shared values"
    if "reduce_sum" in words or "reduce_max" in words or "exp" in words:
        return "sums over positions (softmax, norms)"
    if re.search(r"random|threefry|shift|xor", words):
        return "random bits (dropout)"
    if operations & {"copy", "transpose", "reshape"} or not words:
        return "copies and layout"
    return "element by element"


def _collective(line: _Line, computations: dict[str, list[_Line]]) -> tuple[str, _Line] | None:
    kind = line.operation.removesuffix("-start")
    if kind in COLLECTIVES:
        return kind, line
    if line.operation == "fusion":
        # The TPU compiler keeps a reduce-scatter as a fusion of an all-reduce and a slice.
        for part in computations.get(_called(line.text, "calls"), []):
            if part.operation.removesuffix("-start") in COLLECTIVES:
                scatter = part.operation.startswith("all-reduce")
                return ("reduce-scatter" if scatter else part.operation), part
    return None


def _axes(text: str, mesh: dict[str, int]) -> tuple[str, int]:
    """Mesh axes along which the members of a group differ, and the group's size."""
    members = _group(text)
    if members is None:
        return "*".join(name for name, size in mesh.items() if size > 1), 0
    places = np.array(np.unravel_index(members, tuple(mesh.values())))
    differ = (places != places[:, :1]).any(axis=1)
    named = "*".join(name for name, yes in zip(mesh, differ, strict=True) if yes)
    return named or "none", len(members)


def _group(text: str) -> np.ndarray | None:
    """The first group of partitions, in any of the three ways in which they are written."""
    match = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", text)
    if match:
        sizes = {n: int(s) for n, s in re.findall(r"'(\w+)'=(\d+)", match.group(1))}
        chosen = re.findall(r"'(\w+)'", match.group(2))
        grid = np.arange(int(np.prod(list(sizes.values())))).reshape(tuple(sizes.values()))
        index = tuple(slice(None) if name in chosen else 0 for name in sizes)
        return np.asarray(grid[index]).ravel()
    match = re.search(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
    if match:
        dims = [int(n) for n in match.group(3).split(",")]
        grid = np.arange(int(np.prod(dims))).reshape(dims)
        if match.group(4):
            grid = grid.transpose([int(n) for n in match.group(4).split(",")])
        return np.asarray(grid.reshape(int(match.group(1)), int(match.group(2)))[0])
    match = re.search(r"(?:replica_groups|source_target_pairs)=\{\{([\d,]+)\}", text)
    return np.array([int(n) for n in match.group(1).split(",")]) if match else None


def _parts(shape: str) -> list[int]:
    return [
        _BYTES.get(kind, 4) * int(np.prod([int(n) for n in dims.split(",") if n] or [1]))
        for kind, dims in _SHAPE.findall(shape)
    ]


def _size(shape: str) -> int:
    return sum(_parts(shape))


def _largest(shape: str) -> int:
    return max(_parts(shape), default=0)
