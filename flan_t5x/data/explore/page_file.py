"""Puts the data into the page: one HTML file that needs nothing besides itself."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from flan_t5x.files import write_whole
from flan_t5x.pages.shell import whole_page


def write_page(path: Path, data: dict[str, Any]) -> None:
    """Writes the page.

    Args:
        path: of the HTML file.
        data: what `collect` gives.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(path, page(data))


def page(data: dict[str, Any]) -> str:
    """The page as text."""
    folder = resources.files("flan_t5x.data.explore") / "page"
    body, style, script = (
        (folder / name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    return whole_page(title="Tasks and mixtures", body=body, style=style, script=script, data=data)
