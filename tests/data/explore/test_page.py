"""The page's data and its file; what it does in a browser is in `test_browser`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.data.explore import collect as collecting
from flan_t5x.data.explore.collect import collect
from flan_t5x.data.explore.page_file import page, write_page
from flan_t5x.data.vocabulary import default_vocabulary
from flan_t5x.errors import UserError
from tests.data.explore.toys import EVIL
from tests.pages.html import elements_of, loads_nothing

pytestmark = pytest.mark.usefixtures("toys")


def named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["name"] == name)


def test_mixtures_with_those_inside_them() -> None:
    data = collect(["toy_all"], default_vocabulary(), num=0)
    assert [mixture["name"] for mixture in data["mixtures"]] == ["toy_all", "toy_animals"]
    names = [task["name"] for task in data["tasks"]]
    whole = named(data["mixtures"], "toy_all")
    assert [part["share"] for part in whole["parts"]] == [3 / 8, 2 / 8, 2 / 8, 1 / 8]
    # In toy_animals 2 (capped) and 4 rows weigh 1/3 and 2/3 of its 3/8.
    shares = {names[row[0]]: row[4] for row in whole["rows"]}
    assert shares == pytest.approx(
        {
            "toy_animals_zs": 1 / 8,
            "toy_animals_fs": 2 / 8,
            "toy_fruits_zs": 2 / 8,
            "toy_missing_zs": 2 / 8,
            "toy_evil_zs": 1 / 8,
        }
    )
    ways = {names[row[0]]: row[6] for row in whole["rows"]}
    assert ways["toy_animals_zs"] == ways["toy_animals_fs"] == "toy_animals"
    assert ways["toy_fruits_zs"] == ""
    counts = {names[row[0]]: (row[1], row[5]) for row in whole["rows"]}
    assert counts["toy_missing_zs"] == (7, "published")
    assert counts["toy_fruits_zs"] == (2, "data")
    assert all(not task["examples"] for task in data["tasks"])


def test_tasks_with_templates_and_examples() -> None:
    vocabulary = default_vocabulary()
    data = collect(["toy_all"], vocabulary, num=4)
    animals = named(data["tasks"], "toy_animals_zs")
    few = named(data["tasks"], "toy_animals_fs")
    assert [data["templates"][i][0] for i in animals["templates"]] == ["Shout: {word}", "{word}?"]
    assert few["templates"] == animals["templates"][:1]  # each wording stands there once
    good = {one["id"]: one for one in animals["examples"]}
    assert good.pop("3")["rejected"] == "missing column: line 4 has 1 column"
    assert set(good) == {"0", "1", "2"}
    for one in good.values():
        assert one["input_ids"] == [*vocabulary.encode(one["inputs"]), vocabulary.eos_id]
        text = "".join(data["pieces"][i] for i in one["input_ids"]).replace("▁", " ")
        assert text.removesuffix("</s>").strip() == one["inputs"]
    assert all(one["shots"] for one in few["examples"] if "rejected" not in one)
    missing = named(data["tasks"], "toy_missing_zs")
    assert missing["missing"] == "the file 'x.tsv' does not exist."
    assert (missing["examples"], len(missing["templates"])) == ([], 1)


def test_a_task_alone_and_a_wrong_name() -> None:
    data = collect(["toy_fruits_zs"], default_vocabulary())
    assert [mixture["name"] for mixture in data["mixtures"]] == ["toy_fruits_zs"]
    with pytest.raises(UserError, match="did you mean 'toy_all'"):
        collect(["toy_al"], default_vocabulary())


def test_long_texts_are_cut_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_CHARACTERS", 5)
    monkeypatch.setattr(collecting, "MOST_TOKENS", 2)
    vocabulary = default_vocabulary()
    (one, _) = collect(["toy_fruits_zs"], vocabulary)["tasks"][0]["examples"]
    assert one["inputs"] == "Repea …"
    assert len(one["input_ids"]) == 2
    assert one["more"][0] == len(vocabulary.encode(f"Repeat: {one['targets']}")) + 1 - 2


def test_the_same_page_every_time() -> None:
    one, other = (page(collect(["toy_all"], default_vocabulary())) for _ in range(2))
    assert one == other


def test_no_text_ends_the_data(tmp_path: Path) -> None:
    data = collect(["toy_all"], default_vocabulary())
    write_page(tmp_path / "page.html", data)
    elements = elements_of((tmp_path / "page.html").read_text("utf-8"))
    text, _ = elements.scripts  # the data and the program, nothing else
    assert not set("<>&\u2028\u2029") & set(text)
    again = json.loads(text)
    assert named(again["tasks"], "toy_evil_zs")["examples"][0]["id"] == EVIL
    assert named(again["tasks"], "toy_evil_zs")["group"] == "<i>evil</i>"


def test_half_a_surrogate_pair_does_not_break_the_file(tmp_path: Path) -> None:
    data = collect(["toy_fruits_zs"], default_vocabulary())
    data["tasks"][0]["missing"] = "half \ud83d pair"
    write_page(tmp_path / "page.html", data)
    elements = elements_of((tmp_path / "page.html").read_text("utf-8"))
    assert json.loads(elements.scripts[0])["tasks"][0]["missing"] == "half \ud83d pair"


def test_nothing_is_loaded_from_anywhere() -> None:
    loads_nothing(page(collect(["toy_fruits_zs"], default_vocabulary())))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_page(tmp_path / "no" / "page.html", {})
