"""What goes where: a source's leaves matched with the model's, and everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from flan_t5x.checkpoint.convert.shapes import (
    Placed,
    infer_config,
    layer_numbers,
    meeting_shape,
    moment_shapes,
    steps_to_meeting,
    stored_shape,
    to_meeting,
)
from flan_t5x.checkpoint.convert.source import Leaf, Source
from flan_t5x.checkpoint.convert.table import Place, Row, expected, find, layers
from flan_t5x.errors import UserError, nearest
from flan_t5x.model.config import T5Config

MOST_LISTED = 20
_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Part:
    """One layer of one parameter, or one of its moments, on its way.

    Attributes:
        row: kind of parameter.
        layer: which layer; None where there are no layers.
        moment: "v_row", "v_col" or "v" for a second moment; None for the parameter itself.
        shape: where formats meet.
        dtype: of the source.
        leaf: the source's leaf it lies in.
        steps: what is done to the leaf, in words.
        axis: dimension of the leaf along which layers lie; None where it holds one layer.
        take: the part, out of the leaf's values, at a position along `axis`.
    """

    row: Row
    layer: int | None
    moment: str | None
    shape: tuple[int, ...]
    dtype: str
    leaf: Leaf
    steps: tuple[str, ...]
    axis: int | None
    take: Callable[[np.ndarray, int], np.ndarray]

    @property
    def name(self) -> str:
        """T5X's name, which is the name where formats meet."""
        name = self.row.t5x(self.layer)
        return name if self.moment is None else f"{name}/{self.moment}"


@dataclass(frozen=True)
class Delta:
    """An adapter of one matrix of one layer: scale * A B is added to it.

    Attributes:
        part: the matrix, as its base has it.
        leaves: of the source, in which A and B lie.
        a: reads A, [in, rank].
        b: reads B, [rank, out].
        rank: columns of A.
        scale: alpha / rank.
    """

    part: Part
    leaves: tuple[Leaf, Leaf]
    a: Callable[[], np.ndarray]
    b: Callable[[], np.ndarray]
    rank: int
    scale: float

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of A and B."""
        return (self.part.shape[0], self.rank), (self.rank, self.part.shape[1])

    def load(self) -> np.ndarray:
        """scale * A B, float32 [in, out]."""
        a, b = (np.asarray(side(), np.float32) for side in (self.a, self.b))
        return np.float32(self.scale) * (a @ b)


@dataclass(frozen=True)
class Plan:
    """A source understood: every parameter of its model is there once, with the right shape.

    Attributes:
        source: the checkpoint.
        config: the model's sizes, with dtype float32.
        parts: parameters, in the source's order.
        moments: Adafactor's second moments, in the source's order; empty without.
        notes: what the user should know.
        base: of a source that holds adapters, what they are merged into in `parts`; else None.
        deltas: the adapters themselves.
    """

    source: Source
    config: T5Config
    parts: tuple[Part, ...]
    moments: tuple[Part, ...]
    notes: tuple[str, ...]
    base: Plan | None = None
    deltas: tuple[Delta, ...] = ()


def stream(parts: Iterable[Part]) -> Iterator[tuple[Part, np.ndarray]]:
    """Each part with its values; a leaf of the source is read once, and only one at a time."""
    for _, group in groupby(parts, key=lambda part: id(part.leaf)):
        members = list(group)
        leaf, first = members[0].leaf, members[0]
        if leaf.load_layer is not None and first.axis == 0:
            for part in members:
                values = leaf.load_layer(part.layer or 0)[None]
                yield part, part.take(values, 0)
            continue
        values = leaf.load()
        for part in members:
            yield part, part.take(values, part.layer or 0)
        del values


def make_plan(source: Source) -> Plan:
    """Matches leaves with the model.

    Raises:
        UserError: leaves that are unknown, missing, of another shape or dtype (all listed), or
            a model that this project cannot hold.
    """
    placed: dict[str, tuple[Place, Leaf]] = {}
    unknown = []
    for name, leaf in source.leaves.items():
        place = find(name, source.layout)
        if place is None:
            unknown.append(name)
        else:
            placed[name] = (place, leaf)
    config = infer_config(source, placed)
    wanted = {row.t5x(layer): row for row in expected(config) for layer in layers(row, config)}
    parts = list(_parts(placed, config, source))
    _require_whole(source, config, placed, parts=parts, unknown=unknown, wanted=wanted)
    notes = [*source.notes, *_scalable_bias(source, placed)]
    moments = _moments(source, config, wanted, notes)
    if source.layout in ("t5x", "scalable_t5") and len(config.mlp_activations) == 2:
        notes.append("T5X files do not tell the activations: taken to be gelu x linear (T5 1.1)")
    return Plan(source, config, tuple(parts), moments, tuple(notes))


def _parts(placed: Placed, config: T5Config, source: Source) -> Iterator[Part]:
    for place, leaf in placed.values():
        stored = layer_numbers(place, config)
        if place.axis is not None and len(leaf.shape) > place.axis:
            stored = stored[: leaf.shape[place.axis]]
        for layer in stored:
            yield Part(
                row=place.row,
                layer=layer,
                moment=None,
                shape=meeting_shape(leaf.shape, place, source.layout),
                dtype=leaf.dtype,
                leaf=leaf,
                steps=tuple(steps_to_meeting(leaf, place, layer or 0, source.layout)),
                axis=place.axis,
                take=_taker(place, source),
            )


def _taker(place: Place, source: Source) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda values, position: to_meeting(values, place, position, source.layout)


def _require_whole(
    source: Source,
    config: T5Config,
    placed: Placed,
    *,
    parts: Sequence[Part],
    unknown: Sequence[str],
    wanted: dict[str, Row],
) -> None:
    """Raises a UserError that lists every leaf that is not as the model needs it."""
    found = {part.name for part in parts}
    problems = []
    extra = [*unknown, *(p.leaf.name for p in parts if p.name not in wanted)]
    missing = [_stored_name(name, row, source) for name, row in wanted.items() if name not in found]
    if source.layout == "hf" and any(".relative_attention_bias" in name for name in unknown):
        raise UserError(
            f"{source.path} has a relative position bias in more layers than the first (as umT5): "
            "T5's layers share one table per stack, so it cannot be converted"
        )
    if extra:
        hints = nearest(extra[0], missing, most=1)
        problems.append(f"unknown: {listed(extra)}{f' ({hints})' if hints else ''}")
    if missing:
        problems.append(f"missing: {listed(missing)}")
    shapes = [_shape_problem(place, leaf, config, source) for place, leaf in placed.values()]
    differing = [line for line in shapes if line is not None]
    if differing:
        problems.append(f"of another shape: {listed(differing)}")
    dtypes = sorted({leaf.dtype for _, leaf in placed.values()} - set(_DTYPES))
    for dtype in dtypes:
        names = [name for name, (_, leaf) in placed.items() if leaf.dtype == dtype]
        why = "T5 overflows in it, and what was rounded is lost: " if dtype == "float16" else ""
        problems.append(
            f"{dtype} is not accepted ({why}take the float32 or bfloat16 weights): {listed(names)}"
        )
    if problems:
        raise UserError(f"{source.path} cannot be converted; {'; '.join(problems)}")


def _shape_problem(place: Place, leaf: Leaf, config: T5Config, source: Source) -> str | None:
    want = place.row.shape(config)
    count = len(layers(place.row, config))
    bias = place.row.dims[0] == "heads"
    if place.axis is not None and bias:  # scalable_t5: one table per layer of its stack
        stack = place.row.name.split("/")[0]
        count = getattr(config, f"num_{stack}_layers")
    right_count = place.axis is None or (
        len(leaf.shape) > place.axis and leaf.shape[place.axis] == count
    )
    if right_count and meeting_shape(leaf.shape, place, source.layout) == want:
        return None
    should = stored_shape(want, place, source.layout, count)
    turned = " (transposed?)" if leaf.shape == should[::-1] and len(should) == 2 else ""
    return f"{leaf.name} is {list(leaf.shape)} instead of {list(should)}{turned}"


def _stored_name(name: str, row: Row, source: Source) -> str:
    """What the source would call a parameter that it lacks."""
    layer = name.split("/layers_")[-1].split("/")[0] if row.stack else None
    if source.layout == "hf":
        return row.in_hf(int(layer) if layer else None)
    return name


def listed(names: Iterable[str]) -> str:
    """Names for a message, at most `MOST_LISTED` of them."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - MOST_LISTED
    return ", ".join(unique[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _scalable_bias(source: Source, placed: Placed) -> list[str]:
    """Checks that the bias tables of all layers are equal; only then is one enough.

    Raises:
        UserError: they differ: scalable_t5 gave each layer its own, and trained them apart.
    """
    notes = []
    for place, leaf in placed.values():
        if place.axis is None or place.row.dims[0] != "heads":
            continue
        tables = np.moveaxis(np.asarray(leaf.load(), np.float32), place.axis, 0)
        gap = np.abs(tables - tables[:1]).max(axis=(1, 2))
        if gap.any():
            differing = ", ".join(str(i) for i in np.flatnonzero(gap))
            raise UserError(
                f"{source.path}: {leaf.name} has a table per layer and those of layers {differing} "
                f"differ from layer 0's (by up to {gap.max():.3g}); T5 1.1 and Flan-T5 share one "
                "per stack, so this model cannot be converted without changing it"
            )
        notes.append(f"{leaf.name}: the tables of all {len(tables)} layers are equal, one is kept")
    return notes


def _moments(
    source: Source, config: T5Config, wanted: dict[str, Row], notes: list[str]
) -> tuple[Part, ...]:
    """The moments of all parameters, or none where they are not Adafactor's as T5X's."""
    if not source.moments:
        return ()
    parts: list[Part] = []
    have = set()
    for name, leaf in source.moments.items():
        parameter, _, kind = name.rpartition("/")
        place = find(parameter, source.layout)
        if place is None or place.row.t5x(place.layer or 0) not in wanted:
            continue
        shape = moment_shapes(place.row.shape(config))[kind]
        unused = leaf.shape == (1,)
        for layer in layer_numbers(place, config):
            stored = leaf.shape if unused or place.axis is None else leaf.shape[1:]
            if stored != shape:
                notes.append(
                    f"the optimizer state is left out: {name} is {list(leaf.shape)}, which is not "
                    "how this project's Adafactor factors it"
                )
                return ()
            index = None if unused or place.axis is None else layer
            part = Part(
                row=place.row,
                layer=layer,
                moment=kind,
                shape=shape,
                dtype=leaf.dtype,
                leaf=leaf,
                steps=() if index is None else (f"layer {index} of {leaf.shape[0]}",),
                axis=None if index is None else 0,
                take=_take_moment if index is None else _take_layer,
            )
            parts.append(part)
            have.add(part.name)
    lacking = [
        f"{n}/{k}" for n in wanted for k in ("v_row", "v_col", "v") if f"{n}/{k}" not in have
    ]
    if lacking:
        notes.append(f"the optimizer state is left out: it lacks {listed(lacking[:1])}")
        return ()
    return tuple(parts)


def _take_moment(values: np.ndarray, _: int) -> np.ndarray:
    return values


def _take_layer(values: np.ndarray, position: int) -> np.ndarray:
    return np.asarray(values[position])
