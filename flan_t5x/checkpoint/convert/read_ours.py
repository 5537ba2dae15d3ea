"""Reads this project's own checkpoints: a run's step (Orbax) and base files (``.npz``)."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np

from flan_t5x.checkpoint import completeness
from flan_t5x.checkpoint.adapter import ADAPTER, AdapterRecord
from flan_t5x.checkpoint.base import load_base
from flan_t5x.checkpoint.convert.read_t5x import orbax_leaves
from flan_t5x.checkpoint.convert.source import MODEL, VOCABULARY, Leaf, Source
from flan_t5x.checkpoint.convert.stores import store_spec
from flan_t5x.checkpoint.leaves import named_leaves
from flan_t5x.checkpoint.reading import find_step
from flan_t5x.errors import UserError

# An assignment of a run's operative configuration, e.g. "MODEL/config.T5Config.emb_dim = 128".
_ASSIGNED = re.compile(r"^(?:\S*[./])?T5Config\.(\w+) = (.+)$", re.MULTILINE)
_MACRO = re.compile(r"^([A-Z_]+) = (.+)$", re.MULTILINE)
# Of how a model computes, nothing that a checkpoint has to say.
_NOT_DECLARED = ("dtype", "unroll_layers", "remat_policy", "attention")
_OPTIMIZER = "opt_state/"


def read_step(path: str) -> Source:
    """Opens a whole step: of a model_dir (the best one), of a folder of steps, or itself.

    Raises:
        UserError: there is none, or it is not whole.
    """
    folder = find_step(path)
    found = dict(orbax_leaves(store_spec(folder / "state"), source=str(folder)))
    leaves = _under(found, "params/")
    if not leaves:
        raise UserError(f"{folder} has no parameters: nothing in it is called params/...")
    record = completeness.read_extra(folder)
    adapter = AdapterRecord.from_json(record[ADAPTER]) if ADAPTER in record else None
    run = _run_of(folder)
    moments, moments_step, notes = ({}, None, ()) if adapter else _moments(found)
    declared = dict(record.get(MODEL) or {})
    if run is not None:
        declared |= _declared(run / "config.gin")
    spiece = folder.parent / "spiece.model"
    return Source(
        kind="flan_t5x",
        path=str(folder),
        layout="flan_t5x",
        leaves=leaves,
        moments=moments,
        moments_step=moments_step,
        step=int(folder.name),
        declared=declared,
        run=run,
        spiece=spiece if spiece.is_file() else None,
        vocabulary=record.get(VOCABULARY),
        metric=completeness.read_metric(folder),
        notes=notes,
        adapter=adapter,
    )


def read_base(path: str) -> Source:
    """Opens a base checkpoint file. It is read whole: bases are small.

    Raises:
        UserError: absent, damaged, or not a base checkpoint.
    """
    params, card = load_base(path)
    leaves = {name: _in_memory(name, array) for name, array in named_leaves(params)}
    return Source(
        kind="base",
        path=path,
        layout="flan_t5x",
        leaves=leaves,
        step=int(card["step"]) if "step" in card else None,
        vocabulary=card.get(VOCABULARY),
    )


def run_vocabulary(path: str) -> str | None:
    """What the run that a path belongs to calls its vocabulary; None where that is not known."""
    place = Path(path).expanduser().absolute()
    for folder in (place, place.parent, place.parent.parent):
        config = folder / "config.gin"
        if config.is_file():
            text = config.read_text("utf-8")
            found = re.search(r"^VOCABULARY = (.+)$", text, re.MULTILINE) or re.search(
                r"DataConfig\.vocabulary = (['\"].+)$", text, re.MULTILINE
            )
            value = _literal(found[1]) if found else None
            return value if isinstance(value, str) else None
    return None


def _in_memory(name: str, array: np.ndarray) -> Leaf:
    return Leaf(name, array.shape, str(array.dtype), lambda: array)


def _run_of(step_folder: Path) -> Path | None:
    """The model_dir that a step belongs to, where it is one."""
    for folder in (step_folder.parent.parent, step_folder.parent):
        if (folder / "config.gin").is_file():
            return folder
    return None


def _declared(config: Path) -> dict[str, Any]:
    """The T5Config of an operative configuration; values that are not literals are left out."""
    text = config.read_text("utf-8")
    macros = dict(_MACRO.findall(text))
    found = {
        name: _literal(macros.get(value.removeprefix("%"), value))
        for name, value in _ASSIGNED.findall(text)
        if name not in _NOT_DECLARED
    }
    return {name: value for name, value in found.items() if value is not None}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def _moments(found: dict[str, Leaf]) -> tuple[dict[str, Leaf], int | None, tuple[str, ...]]:
    """Adafactor's moments as ``<parameter>/<kind>``, its step, and what to say about others."""
    optimizer = _under(found, _OPTIMIZER)
    step = optimizer.pop("step", None)
    renamed = {}
    for name, leaf in optimizer.items():
        kind, _, parameter = name.partition("/")
        renamed[f"{parameter}/{kind}"] = leaf
    kinds = {name.rsplit("/", 1)[-1] for name in renamed}
    if not optimizer:
        return {}, None, ()
    if step is None or not kinds <= {"v_row", "v_col", "v"}:
        return {}, None, ("the optimizer state is left out: it is not Adafactor's",)
    return renamed, int(step.load()), ()


def _under(found: dict[str, Leaf], prefix: str) -> dict[str, Leaf]:
    return {
        name.removeprefix(prefix): leaf for name, leaf in found.items() if name.startswith(prefix)
    }
