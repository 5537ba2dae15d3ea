"""What a reader offers: a checkpoint's leaves under their own names, read one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from flan_t5x.checkpoint.adapter import AdapterRecord
from flan_t5x.checkpoint.convert.table import Layout

Kind = Literal["flan_t5x", "base", "t5x", "t5x_orbax", "safetensors", "pytorch", "peft"]
"""How the files are to be read; see `flan_t5x.checkpoint.convert.sniff`."""

KINDS: tuple[Kind, ...] = get_args(Kind)

VOCABULARY = "vocabulary_fingerprint"
"""Key of `Vocabulary.fingerprint()` in a base's card and in a checkpoint's extra record."""

MODEL = "model"
"""Key of the model's sizes in the record of a converted checkpoint."""

EXTRA_IDS = 100
"""Sentinels that T5 adds to the pieces of its SentencePiece model."""


@dataclass(frozen=True)
class Leaf:
    """An array of a checkpoint, not read yet.

    Attributes:
        name: as in the checkpoint.
        shape: as in the checkpoint.
        dtype: NumPy's or ml_dtypes' name, e.g. "float32".
        load: reads it whole; raises UserError with the file's name where it is damaged.
        load_layer: reads one index of the first dimension; None where that costs as much as
            reading all of it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], np.ndarray]
    load_layer: Callable[[int], np.ndarray] | None = None


@dataclass(frozen=True)
class Source:
    """An opened checkpoint.

    Attributes:
        kind: of files.
        path: where it is, as messages say it.
        layout: of its names.
        leaves: parameters, by their names.
        moments: Adafactor's second moments, named ``<parameter>/<v_row, v_col or v>`` in the
            same layout; empty where there are none.
        moments_step: steps that Adafactor had taken; None without moments.
        step: of training, for the target's name; None where unknown.
        declared: fields of `T5Config` written beside the weights, which shapes do not tell
            (or must agree with).
        run: folder with config.gin, mixture.txt and scores, for a run of this project.
        spiece: the SentencePiece model beside the weights.
        vocabulary: fingerprint of the vocabulary the weights were trained with.
        metric: selection metric of the step.
        notes: what a user should know about this checkpoint.
        adapter: where the leaves are those of adapters, what they are and of which base.
    """

    kind: Kind
    path: str
    layout: Layout
    leaves: Mapping[str, Leaf]
    moments: Mapping[str, Leaf] = field(default_factory=dict)
    moments_step: int | None = None
    step: int | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    run: Path | None = None
    spiece: Path | None = None
    vocabulary: str | None = None
    metric: float | None = None
    notes: tuple[str, ...] = ()
    adapter: AdapterRecord | None = None


def spiece_fingerprint(path: Path) -> str:
    """The fingerprint of `flan_t5x.data.vocabulary.Vocabulary(path)`, for T5's 100 sentinels."""
    digest = hashlib.sha256(path.read_bytes())
    digest.update(f"extra_ids={EXTRA_IDS}".encode())
    return digest.hexdigest()
