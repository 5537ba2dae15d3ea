"""What every page stands in: one HTML file that needs nothing besides itself."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def whole_page(*, title: str, body: str, style: str, script: str, data: dict[str, Any]) -> str:
    """A page as text. Its content security policy forbids every connection.

    Args:
        title: plain text.
        body: HTML, of our own files or made by `elements.markup`.
        style: CSS of this page, after that of all pages (`base.css`).
        script: JavaScript of this page, after that of all pages (`base.js`).
        data: JSON-able, which the script reads as `data`. Any text may be in it.
    """
    html, base_style, base_script = map(shared, ("shell.html", "base.css", "base.js"))
    pieces = {
        "TITLE": title.replace("&", "&amp;").replace("<", "&lt;"),
        "/* STYLE */": f"{base_style}{style}",
        "BODY": body,
        "DATA": inside_script(data),
        "/* SCRIPT */": f"{base_script}{script}",
    }
    page = ""
    for marker, piece in pieces.items():  # each once, in order: a piece may hold another's marker
        before, html = html.split(marker, 1)
        page += before + piece
    return _encodable(page + html)


def shared(name: str) -> str:
    """A file of this package: "charts.css" and "charts.js" are for pages with tables, bars and
    curves, which put them before their own style and script."""
    return (resources.files("flan_t5x.pages") / name).read_text("utf-8")


def inside_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, nor begin another or a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return _encodable(text)


def _encodable(text: str) -> str:
    """Half of a surrogate pair is valid in JSON and in Python, and no valid UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
