"""The whole page as text: its figures are those of the statistics, and text stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape

import pytest

from flan_t5x.sweep.outcome import outcome
from flan_t5x.sweep.page import page
from flan_t5x.sweep.page_curves import sign_of
from flan_t5x.sweep.statistics import Comparison
from flan_t5x.sweep.table import SCORE, Choice, Row, Table
from flan_t5x.sweep.words import blend_text, gap_text, law_text, mean_text, p_text
from tests.pages.html import elements_of, loads_nothing
from tests.sweep.tables import EVIL, category_axis, done, failed, log_axis, rates_axis, whole


def grid() -> Table:
    """Two learning rates more than a line needs, two kinds, two seeds, one failed run."""
    rate, rates = log_axis("train/optimizer.learning_rate", 0.001, 0.003, 0.01)
    kind, kinds = category_axis("kind", "plain", "fancy")
    rows = []
    for i, one in enumerate(rates):
        for k, other in enumerate(kinds):
            for seed in range(2):
                choices = {rate.name: one, kind.name: other}
                score = 0.3 + 0.05 * i - 0.04 * i * i * k + 0.01 * k + 0.007 * seed * (1 + k)
                rows.append(done(len(rows), choices, seed, score))
    rows.append(failed(len(rows), {rate.name: rates[0], kind.name: kinds[0]}, "loss is NaN"))
    return whole((rate, kind), rows)


def mixtures(parts: Sequence[str]) -> Table:
    """All pairs and each part alone, three seeds."""
    count = len(parts)
    points = [
        tuple((0.5 if i != j else 1.0) * (part in (i, j)) for part in range(count))
        for i in range(count)
        for j in range(i, count)
    ]
    axis, choices = rates_axis("mixture.rates", parts, points)
    rows = [
        done(3 * i + seed, {axis.name: choice}, seed, 0.3 + 0.02 * i + 0.004 * (seed * i % 3))
        for i, choice in enumerate(choices)
        for seed in range(3)
    ]
    return whole((axis,), rows)


def table_rows(text: str, label: str) -> list[list[str]]:
    """The cells of a table, as text."""
    start = text.index(f'role="region" aria-label="{label}"')
    body = text[text.index("<tbody>", start) : text.index("</tbody>", start)]
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("<tr>")[1:])
    return [[unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in cells]


def anchors(text: str) -> list[str]:
    tags = elements_of(text).tags
    there = [str(attributes["id"]) for tag, attributes in tags if tag == "section"]
    links = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
    assert links == [f"#{anchor}" for anchor in there]
    return there


def plots(text: str) -> list[list[dict[str, object]]]:
    """What the curves' drawings hold."""
    found = [a for _, a in elements_of(text).tags if a.get("class") == "plot"]
    return [json.loads(a["data-curves"] or "") for a in found]


def test_the_figures_are_those_of_the_statistics() -> None:
    table = replace(grid(), metrics=(SCORE, "cost/seconds"))
    text = page(table)
    loads_nothing(text)
    assert anchors(text) == ["overview", "metric-1", "metric-2", "runs"]
    found = outcome(table, SCORE).ranking
    assert isinstance(found, Comparison)
    rows = table_rows(text, "score: all combinations of choices")
    assert len(rows) == 6
    means = sorted(found.means.values(), key=lambda mean: -mean.mean)
    assert [row[1] for row in rows] == [mean_text(mean) for mean in means]
    assert [row[3] for row in rows] == ["2"] * 6
    assert rows[0][4] == "best"
    gaps = sorted(found.differences.values(), key=lambda difference: -difference.gap.mean)
    assert [row[4] for row in rows[1:]] == [gap_text(d.gap) for d in gaps]
    assert [row[5] for row in rows[1:]] == [p_text(d.adjusted) for d in gaps]
    assert "12 done, 1 failed. Cost: 120 s." in text
    assert "run_12: loss is NaN" in text


def test_curves_along_a_logarithmic_axis() -> None:
    table = grid()
    text = page(table)
    ((plain, fancy, guessing),) = plots(text)
    assert [c["name"] for c in (plain, fancy, guessing)] == ["kind plain", "kind fancy", "guessing"]
    laws = outcome(table, SCORE).laws
    points = plain["points"]
    assert isinstance(points, list)
    for (x, values), point in zip(laws[0].runs.items(), points, strict=True):
        mean = sum(values) / 2
        half = 12.706204736 * abs(values[1] - values[0]) / 2
        assert point[0] == x
        assert [point[1], *point[3:]] == pytest.approx([mean, mean - half, mean + half], abs=1e-4)
    # log(3) / log(10) of the width
    assert [point[2] for point in points] == pytest.approx([0.0, 0.4771, 1.0], abs=1e-4)
    for law in laws:
        assert law_text("score", replace(law, axis=replace(law.axis, name="learning_rate"))) in (
            unescape(text)
        )


def test_single_law_is_drawn_as_well() -> None:
    rate, rates = log_axis("rate", 1, 2, 4)
    rows = [done(i, {"rate": choice}, 0, 0.3 + 0.1 * i) for i, choice in enumerate(rates)]
    ((_, _, fitted),) = plots(page(whole((rate,), rows)))
    assert fitted == {"name": "fitted law", "points": [[1, 0.3, 0.0], [4, 0.5, 1.0]]}


@pytest.mark.parametrize("parts", [("a", "b", "c"), ("a", "b"), ("a", "b", "c", "d")])
def test_mixtures(parts: tuple[str, ...]) -> None:
    table = mixtures(parts)
    text = page(table)
    loads_nothing(text)
    (blend,) = outcome(table, SCORE).blends
    for said in blend_text("score", blend):
        assert said in unescape(text)
    assert ('class="ternary"' in text) == (len(parts) == 3)
    assert ('class="upright"' in text) == (len(parts) != 3)
    rows = table_rows(text, "score: mixtures")
    assert len(rows) == len(blend.rates)
    for row in rows:
        shares = [f"{100 * share:.1f} %" for share in blend.rates[row[0]]]
        assert row[1 : 1 + len(parts)] == shares
        assert row[1 + len(parts)] == mean_text(blend.comparison.means[row[0]])
    shapes = r"<circle[^>]*spot" if len(parts) == 3 else r"<polyline[^>]*heat"
    assert len(re.findall(shapes, text)) == len(blend.rates)


def test_all_runs_are_listed() -> None:
    rows = table_rows(page(grid()), "All runs")
    assert rows[0] == ["run_0", "0.001", "plain", "0", "done", "0.300", "40", "10"]
    assert rows[-1] == ["run_12", "0.001", "plain", "0", "failed", "", "", ""]
    assert len(rows) == 13


def test_no_text_becomes_markup() -> None:
    kind, _ = category_axis(EVIL, EVIL, "b")
    choices = [Choice(EVIL), Choice("b")]
    rows = [done(i, {EVIL: choice}, 0, 0.5 + 0.1 * i) for i, choice in enumerate(choices)]
    rows.append(failed(2, {EVIL: choices[0]}, EVIL))
    mixed = mixtures((EVIL, "b", "c"))
    for table in (whole((kind,), rows), mixed):
        evil = replace(table, name=EVIL, about=EVIL, notes=(EVIL,))
        text = page(evil)
        loads_nothing(text)
        assert len(elements_of(text).scripts) == 2  # the data and the program
        assert "<b>" not in text
        assert EVIL in unescape(text)


def test_nothing_has_run() -> None:
    table = grid()
    empty = page(replace(table, rows=()))
    loads_nothing(empty)
    assert "No score: no finished run has this figure." in empty
    assert "0 runs: none." in empty
    bare = page(Table("bare", "", (), (), ()))
    assert anchors(bare) == ["overview", "runs"]


def test_one_run() -> None:
    table = grid()
    text = page(replace(table, rows=table.rows[:1]))
    assert "0.300 over 1 run (no interval)" in text
    assert "No law of learning_rate: a line needs two values." in text
    assert "There is no other combination to compare with." in text


def test_all_failed() -> None:
    table = grid()
    rows = tuple(
        Row(row.run, "failed", row.choices, row.seed, problem=f"problem {i}")
        for i, row in enumerate(table.rows)
    )
    text = page(replace(table, rows=rows))
    assert "13 failed runs" in text
    assert all(f"problem {i}<" in text for i in range(13))
    assert not plots(text)


def test_signs_of_curves() -> None:
    assert [sign_of(n) for n in (0, 25, 26, 53)] == ["A", "Z", "A1", "B2"]


def test_many_curves_are_parted_and_all_are_there() -> None:
    rate, rates = log_axis("rate", 1, 2)
    kind, kinds = category_axis("kind", *(f"k{i}" for i in range(40)))
    rows = [
        done(2 * k + i, {"rate": one, "kind": other}, 0, 0.3 + 0.01 * k + 0.1 * i)
        for k, other in enumerate(kinds)
        for i, one in enumerate(rates)
    ]
    text = page(whole((rate, kind), rows))
    drawn = [[curve["name"] for curve in plot] for plot in plots(text)]
    assert [len(names) for names in drawn] == [7] * 6 + [5]  # six and what guessing gets
    names = [name for plot in drawn for name in plot if name != "guessing"]
    assert names == [f"kind k{i}" for i in range(40)]
    assert "16 more curves" in text
