"""What task packages ship in their ``data`` folders: tables of facts, and templates."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources

from flan_t5x.data.definitions import Template


def rows(package: str, file: str) -> list[tuple[str, ...]]:
    """The rows of a tab-separated table; lines that begin with # are comments."""
    text = _text(package, file)
    return [tuple(line.split("\t")) for line in text.splitlines() if line and line[0] != "#"]


def templates(package: str) -> Mapping[str, tuple[Template, ...]]:
    """The lists of ``templates.toml``, each entry with the fields of `Template`."""
    return {
        kind: tuple(Template(**entry) for entry in entries)
        for kind, entries in tomllib.loads(_text(package, "templates.toml")).items()
    }


def _text(package: str, file: str) -> str:
    return (resources.files(package) / "data" / file).read_text("utf-8")
