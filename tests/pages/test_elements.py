"""Elements and tables: text stays text."""

from __future__ import annotations

import doctest

from flan_t5x.pages import elements
from flan_t5x.pages.bars import interval_bar, parted_bar
from flan_t5x.pages.elements import markup, node, table
from flan_t5x.pages.shell import inside_script, whole_page
from tests.pages.html import elements_of

EVIL = "</script><b>'\"&<!--"


def test_docstrings() -> None:
    assert doctest.testmod(elements).failed == 0


def test_text_and_attributes_are_escaped() -> None:
    text = markup(node("p", EVIL, node("i", EVIL), EVIL, title=EVIL))
    found = elements_of(text)
    assert [tag for tag, _ in found.tags] == ["p", "i"]
    assert found.tags[0][1]["title"] == EVIL


def test_attributes() -> None:
    text = markup(node("input", hidden=True, disabled=False, value=None, tabindex="0", data_x=1.5))
    assert text == '<input hidden="" tabindex="0" data-x="1.5">'


def test_a_table_names_its_rows_and_columns() -> None:
    text = markup(table(["task", "n"], [["a", "1"], ["b", None]], label="Scores"))
    found = [attributes for _, attributes in elements_of(text).tags]
    assert found[0]["aria-label"] == "Scores"
    assert [a["scope"] for a in found if "scope" in a] == ["col", "col", "row", "row"]


def test_bars_stay_inside() -> None:
    text = markup(interval_bar(1.7, low=-0.5, high=2.0, tick=0.25))
    assert "width:100.00%" in text
    assert "left:0.00%;width:100.00%" in text
    assert "left:25.00%" in text
    parts = markup(parted_bar([("a", 3.0), ("none", 0.0), ("b", 1.0)], label="whole"))
    assert "a 75.0%" in parts
    assert "none" not in parts


def test_a_piece_may_hold_another_marker() -> None:
    data = {"text": "BODY DATA /* SCRIPT */ TITLE"}
    page = whole_page(title="<DATA> BODY", body="<p>DATA</p>", style="", script="//x", data=data)
    assert page.count(inside_script(data)) == 1
    assert "<title>&lt;DATA> BODY</title>" in page
    assert "<p>DATA</p>" in page


def test_half_a_surrogate_pair_can_be_written() -> None:
    page = whole_page(title="\ud83d", body="\ud83d", style="", script="", data={"a": "\ud83d"})
    assert page.encode("utf-8").count(b"\\ud83d") == 3
