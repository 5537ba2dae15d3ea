"""Facts shipped as tab-separated text: lines that begin with # are comments."""

from __future__ import annotations

from importlib import resources


def rows(package: str, file: str) -> list[tuple[str, ...]]:
    """The rows of a table in a package's ``data`` folder."""
    text = (resources.files(package) / "data" / file).read_text("utf-8")
    return [tuple(line.split("\t")) for line in text.splitlines() if line and line[0] != "#"]
