"""The page in headless Chromium: search, filters, tokens, a phone's width, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flan_t5x.data import registry
from flan_t5x.data.explore.collect import collect
from flan_t5x.data.explore.page_file import write_page
from flan_t5x.data.vocabulary import default_vocabulary
from tests.data.explore.toys import EVIL
from tests.pages.chromium import NAMES, Browser, executable

pytestmark = pytest.mark.skipif(
    executable() is None, reason=f"no browser is installed ({', '.join(NAMES)})"
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = registry._registry
    registry._registry = registry._Registry()
    try:
        registry.register_module("tests.data.explore.toys")
        data = collect(["toy_all"], default_vocabulary(), num=4)
    finally:
        registry._registry = before
    path = tmp_path_factory.mktemp("page") / "a page.html"
    write_page(path, data)
    return path


SHOWN = "[...document.querySelectorAll('details.task')].map(d => d.dataset.task).sort().join()"
ALL = "toy_animals_fs,toy_animals_zs,toy_evil_zs,toy_fruits_zs,toy_missing_zs"


def shown(page: Browser) -> Any:
    return page.run(SHOWN)


def chip(box: str, value: str) -> str:
    return f"document.querySelector('#{box} button[data-value=\"{value}\"]')"


def count(page: Browser) -> Any:
    return page.run("document.getElementById('count').textContent")


def test_search_and_filters(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file)
    assert shown(chromium) == ALL
    assert count(chromium) == "5 tasks"
    chromium.type("#query", "SHOUT toy_animals_z")  # a template and a name, any case
    chromium.wait(f"{SHOWN} === 'toy_animals_zs'")
    assert count(chromium) == "1 of 5 tasks, 12.5 % of the mixture"
    assert chromium.run("document.querySelector('mark').textContent") == "toy_animals_z"
    chromium.type("#query", "plum")  # stands in an example only
    chromium.wait(f"{SHOWN} === 'toy_fruits_zs'")
    chromium.type("#query", "(no such [thing")
    chromium.wait(f"{SHOWN} === ''")
    chromium.type("#query", "")
    chromium.wait(f"{SHOWN} === {ALL!r}")
    chromium.click(chip("parts-filter", "toy_animals"))
    chromium.wait(f"{SHOWN} === 'toy_animals_fs,toy_animals_zs'")
    assert count(chromium) == "2 of 5 tasks, 37.5 % of the mixture"
    chromium.click(chip("groups", "few animals"))  # the groups of the chosen submixture
    chromium.wait(f"{SHOWN} === 'toy_animals_fs'")
    chromium.click(chip("groups", "few animals"))
    chromium.click(chip("formats", "fs"))
    chromium.wait(f"{SHOWN} === 'toy_animals_fs'")
    assert chromium.run(f"{chip('formats', 'fs')}.getAttribute('aria-pressed')") == "true"
    chromium.click(chip("parts-filter", "toy_animals"))
    chromium.click(chip("formats", "fs"))
    chromium.click(chip("formats", "zs no options"))
    chromium.wait(f"{SHOWN} === 'toy_fruits_zs'")
    assert chromium.problems == []


def test_the_address_keeps_the_view(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file)
    chromium.type("#query", "toy")
    chromium.click(chip("parts-filter", "fruits"))
    view = chromium.wait("location.hash.includes('part=fruits') && location.hash")
    chromium.open(page_file, view=view)
    assert shown(chromium) == "toy_fruits_zs,toy_missing_zs"
    assert chromium.run("document.getElementById('query').value") == "toy"


def test_shares_and_sorting(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file, view="#sort=share")
    order = chromium.run("[...document.querySelectorAll('details.task')].map(d => d.dataset.task)")
    assert order[-2:] == ["toy_animals_zs", "toy_evil_zs"]
    pieces = chromium.run(
        "[...document.querySelectorAll('#bar span')].map(s => [s.title, s.getBoundingClientRect()"
        ".width / document.getElementById('bar').clientWidth])"
    )
    assert [title for title, _ in pieces] == [
        "fruits 50.0 %",
        "toy_animals 37.5 %",
        "<i>evil</i> 12.5 %",
    ]
    assert [width for _, width in pieces] == pytest.approx([0.5, 0.375, 0.125], abs=0.01)
    widths = dict(
        chromium.run(
            "[...document.querySelectorAll('details.task')].map(d => [d.dataset.task,"
            " d.querySelector('.track span').getBoundingClientRect().width])"
        )
    )
    assert widths["toy_animals_zs"] == pytest.approx(widths["toy_fruits_zs"] / 2, rel=0.02)


def test_another_mixture(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file)
    chromium.click("document.querySelector('#parts button')")
    chromium.wait(f"{SHOWN} === 'toy_animals_fs,toy_animals_zs'")
    assert chromium.run("document.getElementById('mixture').value") == "toy_animals"
    assert chromium.run("document.getElementById('about').textContent").startswith("two of animals")
    shares = chromium.run("[...document.querySelectorAll('.share')].map(s => s.textContent)")
    assert shares == ["33.3 %", "66.7 %"]


def test_a_task_opened(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file, view="#q=toy_animals_zs")
    chromium.click("document.querySelector('summary')")
    chromium.wait("!!document.querySelector('.body')")
    templates = chromium.run("[...document.querySelectorAll('.body li')].map(l => l.textContent)")
    assert templates == ["Shout: {word} → {answer}", "{word}? → {answer}"]
    assert "not usable: missing column" in chromium.run(
        "document.querySelector('.body').textContent"
    )
    chromium.click("document.querySelector('.example button')")
    chromium.wait("!!document.querySelector('.tokens')")
    pieces = chromium.run(
        "[...document.querySelectorAll('.tokens span')].map(s => s.firstChild.textContent)"
    )
    text = chromium.run("document.querySelector('.example .text').textContent")
    assert "".join(pieces).replace("▁", " ").strip() == f"{text}</s>"
    chromium.click("document.querySelector('.example button')")
    chromium.wait("!document.querySelector('.tokens')")


def test_missing_data_is_told(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file, view="#q=toy_missing")
    chromium.click("document.querySelector('summary')")
    told = chromium.wait("document.querySelector('.body .bad')?.textContent")
    assert told == "the file 'x.tsv' does not exist."
    assert chromium.run("document.querySelector('.examples').textContent") == "7 (published)"


def test_texts_stay_texts(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file, view="#q=toy_evil")
    chromium.click("document.querySelector('summary')")
    chromium.wait("!!document.querySelector('.body')")
    assert chromium.run("document.title") == "Tasks and mixtures"
    assert chromium.run("document.querySelectorAll('b, i').length") == 0
    assert EVIL in chromium.run("document.querySelector('.example').textContent")
    assert chromium.problems == []


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_every_width_in_light_and_dark(
    width: int, dark: bool, chromium: Browser, page_file: Path
) -> None:
    chromium.open(page_file, width=width, dark=dark)
    for number in range(5):
        chromium.run(f"document.querySelectorAll('details.task')[{number}].open = true")
    chromium.wait("document.querySelectorAll('.body').length === 5")
    chromium.run("document.querySelectorAll('.example button').forEach(b => b.click())")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    style = "getComputedStyle(document.body)"
    back, text = (
        sum(map(int, chromium.run(f"{style}.{name}.match(/\\d+/g)")))
        for name in ("backgroundColor", "color")
    )
    assert (back < text) == dark
    assert abs(back - text) > 400  # of 765: far apart enough to read


def test_it_asks_the_network_for_nothing(chromium: Browser, page_file: Path) -> None:
    chromium.open(page_file)
    assert {url.split("?")[0] for url in chromium.requests} == {page_file.as_uri()}
