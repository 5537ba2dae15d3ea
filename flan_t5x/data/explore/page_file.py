"""Puts the data into the page: one HTML file that needs nothing besides itself."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from flan_t5x.files import write_whole


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
    """The page as text. Its content security policy forbids every connection."""
    folder = resources.files("flan_t5x.data.explore") / "page"
    html, style, script = (
        (folder / name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    before, rest = html.split("/* STYLE */")
    middle, rest = rest.split("DATA")
    later, after = rest.split("/* SCRIPT */")
    return "".join([before, style, middle, _inside_script(data), later, script, after])


def _inside_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, nor begin another or a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # Half of a surrogate pair is valid JSON and no valid UTF-8.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
