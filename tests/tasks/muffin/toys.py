"""Rows in the layout of each TFDS builder, as `TfdsSource` hands them over; words of our own.

``toys.json`` gives, for every key, rows with the answer that each must parse to. Keys that share
a parser share rows: there stands the name of the other key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Toy = tuple[dict[str, Any], str]


def _load() -> dict[str, list[Toy]]:
    path = Path(__file__).with_name("toys.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    rows = {key: found[value] if isinstance(value, str) else value for key, value in found.items()}
    return {key: [(row, answer) for row, answer in value] for key, value in rows.items()}


TOYS = _load()
