"""The page of a sweep in headless Chromium: any width, light and dark, keys, no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.sweep.page import page
from tests.pages.chromium import NAMES, Browser, contrast, executable
from tests.sweep.test_page import grid, mixtures

pytestmark = pytest.mark.skipif(
    executable() is None, reason=f"no browser is installed ({', '.join(NAMES)})"
)


@pytest.fixture(scope="module", params=["curves", "three parts", "four parts"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = {
        "curves": grid,
        "three parts": lambda: mixtures("abc"),
        "four parts": lambda: mixtures("abcd"),
    }
    path = tmp_path_factory.mktemp("sweep") / "sweep.html"
    path.write_text(page(tables[request.param]()), "utf-8")
    return path


def test_no_problem_and_no_network(chromium: Browser, page_file: Path) -> None:
    chromium.requests.clear()
    chromium.open(page_file)
    assert chromium.problems == []
    assert {url.split("?")[0] for url in chromium.requests} == {page_file.as_uri()}


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_every_width_in_light_and_dark(
    width: int, dark: bool, chromium: Browser, page_file: Path
) -> None:
    chromium.open(page_file, width=width, dark=dark)
    chromium.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    for selector in ("body", "td", "th", ".legend", "summary", ".soft"):  # WCAG 2.2, 1.4.3
        assert chromium.run(contrast(selector)) >= 4.5, selector
    smallest = chromium.run(
        "Math.min(...[...document.querySelectorAll('body *')].filter(e => e.textContent)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11
    unreachable = chromium.run(
        "[...document.querySelectorAll('body *')].filter(e =>"
        " e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX)"
        " && e.tabIndex < 0).length"
    )
    assert unreachable == 0
    assert chromium.run("document.querySelectorAll('svg:not([aria-label])').length") == 0


def test_colours_of_points(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file)
    shapes = "[...document.querySelectorAll('circle.spot, .line.heat')]"
    strokes = chromium.run(f"{shapes}.map(e => getComputedStyle(e).stroke)")
    assert "none" not in strokes
    if strokes:
        assert len(set(strokes)) > 1


def test_keys_read_values_with_intervals(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file)
    if not chromium.run("document.querySelectorAll('.plot').length"):
        pytest.skip("no curves")
    chromium.run("document.querySelector('.plot').focus()")
    for _ in range(2):
        chromium.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    reading = chromium.run("document.querySelector('.reading').textContent")
    assert reading.startswith("learning_rate 0.003: kind plain 0.3535 [0.309")
    assert reading.endswith("guessing 0.25")
    left = chromium.run("parseFloat(document.querySelector('.cursor').style.left)")
    assert left == pytest.approx(47.71, abs=0.01)
