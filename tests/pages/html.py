"""What a page is made of, read as a browser would."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Elements(HTMLParser):
    """What elements a page has, and what stands in its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


def elements_of(page: str) -> Elements:
    """The elements of a page."""
    elements = Elements()
    elements.feed(page)
    return elements


def loads_nothing(page: str) -> None:
    """Fails where a page would fetch or send anything; links within it are its own matter."""
    elements = elements_of(page)
    for tag, attributes in elements.tags:
        assert not {"src", "action", "srcset"} & set(attributes), (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#"), (tag, attributes)
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://", page)
    policy = next(a["content"] for t, a in elements.tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
