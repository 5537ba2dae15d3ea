"""Opens a checkpoint as a plan; adapters (LoRA) are merged into the base they belong to.

A checkpoint of adapters holds A [in, rank] and B [rank, out] of some matrices and names its base.
Each of those matrices W becomes W + scale * A B as it streams by; the others pass as they are.
All become float32: a sum rounded to a base's bfloat16 would lose what was trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from flan_t5x.checkpoint.adapter import AdapterRecord
from flan_t5x.checkpoint.convert.plan import Delta, Part, Plan, listed, make_plan, stream
from flan_t5x.checkpoint.convert.sniff import open_source
from flan_t5x.checkpoint.convert.source import Kind, Leaf, Source
from flan_t5x.checkpoint.convert.table import find, layers
from flan_t5x.checkpoint.leaves import SAMPLED, fingerprint
from flan_t5x.errors import UserError
from flan_t5x.model.config import KERNELS

_SIDES = {"lora_a": 0, "lora_b": 1, "lora_A.weight": 0, "lora_B.weight": 1}


def open_plan(path: str, kind: Kind | None = None, *, base: str | None = None) -> Plan:
    """Opens and checks a checkpoint of any kind.

    Args:
        path: local path, ``hf://org/name`` or ``gs://bucket/path``.
        kind: forces how it is read; None finds out.
        base: where the base of adapters lies; None takes what they name.

    Raises:
        UserError: nothing known is there, it is damaged, no T5, or adapters do not fit the base.
    """
    source = open_source(path, kind)
    if source.adapter is None:
        if base is not None:
            raise UserError(f"{path} holds a whole model, no adapters; leave --base out")
        return make_plan(source)
    named = base or source.adapter.base
    try:
        below = open_plan(named)
    except UserError as error:
        raise UserError(
            f"{source.path} holds adapters of {named or 'a base that it does not name'}, which "
            f"cannot be opened: {error}. Put it back, or give it to `flan-t5x convert` by --base"
        ) from error
    return _merged(source, source.adapter, below)


def _merged(source: Source, record: AdapterRecord, base: Plan) -> Plan:
    """The base's plan with the adapters in it.

    Raises:
        UserError: leaves that do not fit the base (all listed), or another base.
    """
    deltas = _deltas(source, record, base)
    if record.fingerprint and base_fingerprint(base) != record.fingerprint:
        raise UserError(
            f"{source.path} holds adapters of another checkpoint than what lies at "
            f"{base.source.path} now (other parameters); put back the one it was trained from"
        )
    by_part = {delta.part.name: delta for delta in deltas}
    parts = tuple(_with_delta(part, by_part.get(part.name)) for part in base.parts)
    below = base.source
    whole = dataclasses.replace(
        source,
        spiece=source.spiece or below.spiece,
        vocabulary=source.vocabulary or below.vocabulary,
    )
    note = (
        f"adapters of rank {record.config.rank} on {len(deltas)} matrices, base {below.path} "
        f"({below.kind})"
    )
    return Plan(whole, base.config, parts, (), (note, *base.notes), base=base, deltas=deltas)


def _deltas(source: Source, record: AdapterRecord, base: Plan) -> tuple[Delta, ...]:
    found: dict[str, dict[int, tuple[Part, Leaf, Callable[[], np.ndarray]]]] = {}
    kernels = {(p.row.name, p.layer): p for p in base.parts if _may_have_one(p)}
    unknown, problems = [], []
    for name, leaf in source.leaves.items():
        matrix, side = _matrix(name, source)
        place = find(matrix, source.layout) if side is not None else None
        if place is None or side is None:
            unknown.append(name)
            continue
        for layer in [place.layer] if place.axis is None else layers(place.row, base.config):
            part = kernels.get((place.row.name, layer))
            if part is None:
                unknown.append(name)
                continue
            rank, count = record.config.rank, len(layers(place.row, base.config))
            one = (rank, part.shape[1]) if side else (part.shape[0], rank)
            should = one[::-1] if source.layout == "hf" else (count, *one)
            if leaf.shape != should:
                problems.append(f"{leaf.name} is {list(leaf.shape)} instead of {list(should)}")
            found.setdefault(part.name, {})[side] = (part, leaf, _side(leaf, layer, source))
    missing = [f"half of the adapter of {name}" for name, sides in found.items() if len(sides) < 2]
    faults = [
        *([f"unknown: {listed(unknown)}"] if unknown else []),
        *([f"missing: {listed(missing)}"] if missing else []),
        *([f"of another shape: {listed(problems)}"] if problems else []),
    ]
    if faults or not found:
        why = "; ".join(faults) or "no lora_A or lora_B is there"
        raise UserError(f"{source.path}: the adapters do not fit {base.source.path}; {why}")
    return tuple(
        Delta(part, (leaf_a, leaf_b), a, b, record.config.rank, record.config.scale)
        for (part, leaf_a, a), (_, leaf_b, b) in ((s[0], s[1]) for s in found.values())
    )


def _may_have_one(part: Part) -> bool:
    return part.row.stack is not None and part.row.name.split("/")[-2] in KERNELS


def _matrix(name: str, source: Source) -> tuple[str, int | None]:
    """The kernel that an adapter's leaf belongs to, and 0 for A, 1 for B."""
    for ending, side in _SIDES.items():
        if name.endswith(("/" + ending, "." + ending)):
            stem = name[: -len(ending) - 1]
            return stem + (".weight" if source.layout == "hf" else "/kernel"), side
    return name, None


def _side(leaf: Leaf, layer: int | None, source: Source) -> Callable[[], np.ndarray]:
    if source.layout == "hf":
        return lambda: leaf.load().T
    return lambda: (leaf.load_layer or leaf.load().__getitem__)(layer or 0)


def _with_delta(part: Part, delta: Delta | None) -> Part:
    if delta is None:
        return dataclasses.replace(part, dtype="float32")

    def take(values: np.ndarray, position: int) -> np.ndarray:
        return part.take(values, position).astype(np.float32) + delta.load()

    steps = (*part.steps, f"add the adapter's A B x {delta.scale:g}")
    return dataclasses.replace(part, dtype="float32", take=take, steps=steps)


def base_fingerprint(plan: Plan) -> str:
    """`leaves.params_fingerprint` of the parameters that training reads from a checkpoint.

    Reads the first layers only, as far as the fingerprint goes.
    """
    rows: dict[str, list[Part]] = {}
    for part in plan.parts:
        rows.setdefault(part.row.name, []).append(part)

    def entries() -> Iterator[tuple[str, tuple[int, ...], str, np.ndarray]]:
        for name in sorted(rows, key=lambda n: n.split("/")):
            parts = sorted(rows[name], key=lambda p: p.layer or 0)
            shape = parts[0].shape
            whole = shape if parts[0].row.stack is None else (len(parts), *shape)
            yield name, whole, "float32", _first_values(parts)

    return fingerprint(entries())


def _first_values(parts: Sequence[Part]) -> np.ndarray:
    needed = -(-SAMPLED // int(np.prod(parts[0].shape)))
    heads = [np.ravel(values)[:SAMPLED] for _, values in stream(parts[:needed])]
    return np.concatenate(heads).astype(np.float32)
