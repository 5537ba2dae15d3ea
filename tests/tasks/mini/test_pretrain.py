"""The base's text: exact targets, and no held-out combination in any form that names it."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from flan_tasks.mini.catalog import HELD_OUT_CELLS, families
from flan_tasks.mini.lexicon import CATEGORIES, GRID, KIND_OF, OPPOSITE_OF, POSITIONS
from flan_tasks.mini.pretrain import (
    CHAIN_SIGNS,
    POSITION_SIGNS,
    RATES,
    SIGNS,
    pretraining,
)
from flan_tasks.mini.source import MiniSource
from flan_tasks.mini.transfer import instruction_texts

from flan_t5x.data.definitions import Example
from flan_t5x.data.vocabulary import default_vocabulary

ROWS = 400
SENTINEL = re.compile(r"<extra_id_(\d+)>")


def rows(name: str, count: int = ROWS) -> list[tuple[str, str]]:
    """(inputs, targets) of a pretraining family."""
    found = MiniSource(f"pretrain_{name}", sizes={"train": count}).read("train", 0, count)
    return [(row.fields["text"], row.answer) for row in found if isinstance(row, Example)]


def restored(inputs: str, targets: str) -> str:
    """The text whose spans were taken out."""
    parts = SENTINEL.split(targets)
    spans = dict(zip(parts[1::2], parts[2::2], strict=True))
    return SENTINEL.sub(lambda m: spans[m[1]].strip(), inputs)


def split_query(text: str) -> tuple[list[str], list[str]]:
    """The queries and the words of a symbolic row, whichever comes first."""
    sides = [side.split(";") for side in text.split(" : ")]
    signs = {*SIGNS.values(), *CHAIN_SIGNS.values()}
    (query,) = [s for s in sides if s[0].split()[0] in signs]
    (other,) = [s for s in sides if s is not query]
    return [q.strip() for q in query], re.findall(r"\w+", other[0])


@pytest.mark.parametrize("name", ["span", "answers"])
def test_sentinels_count_up_and_give_back_the_text(name: str) -> None:
    for inputs, targets in rows(name):
        order = [int(k) for k in SENTINEL.findall(inputs)]
        assert order == list(range(len(order)))
        assert order
        closing = [len(order)] if name == "span" else []
        assert [int(k) for k in SENTINEL.findall(targets)] == order + closing
        text = restored(inputs, targets)
        assert "extra_id" not in text
        assert not set("[]{}") & set(text)


def test_statements_are_true() -> None:
    """What the cloze text says of its lists is recomputed from the text alone."""
    checked: Counter[str] = Counter()
    for inputs, targets in rows("answers", 1500):
        for story in restored(inputs, targets).split("List: ")[1:]:
            words = story.split(".")[0].split(", ")
            checked.update(_check_statements(story, words))
    assert set(checked) == {"count", "end", "only", "any", "all", "without", "word", "opposite"}
    assert min(checked.values()) >= 20


def _check_statements(story: str, words: list[str]) -> list[str]:
    kind_of = {c.kinds: c.kind for c in CATEGORIES.values()}
    done = []

    def members(kind: str) -> list[str]:
        return [w for w in words if KIND_OF.get(w) == kind]

    for kinds, number in re.findall(r"The number of (\w+) in the list is (\d+)\.", story):
        assert len(members(kind_of[kinds])) == int(number)
        done.append("count")
    for end, kind, word in re.findall(r"The (first|last) (\w+) in the list is (\w+)\.", story):
        assert members(kind)[0 if end == "first" else -1] == word
        done.append("end")
    for kind, word in re.findall(r"The only (\w+) in the list is (\w+)\.", story):
        assert members(kind) == [word]
        done.append("only")
    for some, kind in re.findall(r"There is (\w+) (\w+) in the list\.", story):
        assert (some != "no") == bool(members(kind))
        done.append("any")
    for kinds, listed in re.findall(r"The (\w+) in the list: ([^.]+)\.", story):
        assert members(kind_of[kinds]) == listed.split(", ")
        done.append("all")
    for kinds, listed in re.findall(r"The list without the (\w+): ([^.]+)\.", story):
        assert [w for w in words if KIND_OF[w] != kind_of[kinds]] == listed.split(", ")
        done.append("without")
    at = {"first": 0, "second": 1, "third": 2, "last": -1}
    for position, word in re.findall(r"The (\w+) word is (\w+)\.", story):
        assert words[at[position]] == word
        done.append("word")
    for position, word in re.findall(r"The opposite of the (\w+) word is (\w+)\.", story):
        assert OPPOSITE_OF[words[at[position]]] == word
        done.append("opposite")
    return done


def test_grid_answers_agree_with_a_recomputation() -> None:
    names = {n: c.kind for c in CATEGORIES.values() for n in (c.kind, c.kinds)}
    operations = {sign: name for name, sign in SIGNS.items()}
    seen = set()
    for text, answer in rows("by_name"):
        if text.startswith("% :") or text.endswith(": %"):
            continue  # every query was held out, so the row maps words to categories instead
        queries, words = split_query(text)
        for query, given in zip(queries, answer.split(" ; "), strict=True):
            sign, name = query.split()
            operation, kind = operations[sign], names[name]
            hits = [w for w in words if KIND_OF[w] == kind]
            rest = [w for w in words if KIND_OF[w] != kind]
            expected = {
                "any": "yes" if hits else "no",
                "count": str(len(hits)),
                "all": ", ".join(hits) or "none",
                "remove": ", ".join(rest) or "none",
                "first": hits[0] if hits else "none",
                "last": hits[-1] if hits else "none",
                "find": hits[0] if hits else "",
            }
            assert given == expected[operation], (text, query)
            seen.add((operation, kind))
    assert {o for o, _ in seen} == set(SIGNS)


def test_dense_tasks_are_exact() -> None:
    for text, answer in rows("copy", 50):
        assert text == f"copy : {answer}"
    for text, answer in rows("back", 50):
        listed = re.findall(r"\w+", text.replace("back : ", "").replace(" : back", ""))
        assert answer.split(", ") == listed[::-1]
    for text, answer in rows("sums", 100):
        for query, given in zip(text.split(" ; "), answer.split(" ; "), strict=True):
            left, sign, right = query.split()
            pair = int(left), int(right)
            expected = {
                "+": sum(pair),
                "-": pair[0] - pair[1],
                "more": max(pair),
                "fewer": min(pair),
            }
            assert int(given) == expected[sign]


def test_no_held_out_combination_is_named() -> None:
    """Every way in which pretraining text can name a cell, searched for in its rows."""
    patterns = []
    for operation, value in sorted(HELD_OUT_CELLS):
        if value in GRID:
            kind, kinds = CATEGORIES[value].kind, CATEGORIES[value].kinds
            patterns.append(rf"(?<!\S){re.escape(SIGNS[operation])} ({kind}|{kinds})\b")
            patterns += {
                "any": [rf"There is \w+ {kind}\b"],
                "find": [rf"only {kind}\b"],
                "first": [rf"first {kind}\b"],
                "last": [rf"last {kind}\b"],
                "all": [rf"The {kinds} in the list"],
                "remove": [rf"without the {kinds}\b"],
                "count": [rf"number of {kinds}\b", rf"\d {kinds}\b"],
            }[operation]
        else:
            sign = f"{CHAIN_SIGNS[operation]} {POSITION_SIGNS[value]}"
            patterns.append(rf"(?<!\S){re.escape(sign)}(?!\S)")
            tail = "is an? " if operation == "kind" else ""
            lead = f"{operation} of the " if operation == "opposite" else "The "
            patterns.append(rf"{lead}{value} word {tail}")
    forbidden = re.compile("|".join(patterns))
    reached = re.compile(
        r"first (animal|fruit)|number of animals|opposite of the first word|# fruit"
    )
    hits = 0
    for name in ("span", "answers", "by_name", "by_example", "chains"):
        for inputs, targets in rows(name, 1500):
            text = restored(inputs, targets) if SENTINEL.search(inputs) else inputs
            assert not forbidden.search(text), (name, text)
            hits += bool(reached.search(text))
    assert hits > 50  # the search does reach the forms that trained cells are named in


def test_no_question_or_instruction_is_seen() -> None:
    """No stretch of three words of a trained or held-out instruction that asks for something."""
    asks = re.compile(r"^(which|what|who|how many|find|give|say|write|remove|is there|read)\b")
    starts = {
        " ".join(stretch.lower().split()[:3])
        for family in families().values()
        for text in instruction_texts(family)
        for stretch in re.split(r"[|.:?]", text)
        if len(stretch.split()) >= 3 and asks.match(stretch.strip().lower())
    }
    assert len(starts) > 20
    for name in pretraining():
        for inputs, targets in rows(name.removeprefix("pretrain_"), 60):
            text = restored(inputs, targets) if name in _WITH_SENTINELS else inputs
            assert not any(start in text.lower() for start in starts), text


_WITH_SENTINELS = ("pretrain_span", "pretrain_answers")


def test_rows_fit_and_rates_cover_the_families() -> None:
    vocabulary = default_vocabulary()
    assert set(RATES) == set(pretraining())
    assert set(POSITION_SIGNS) == set(POSITIONS)
    for name in pretraining():
        for inputs, targets in rows(name.removeprefix("pretrain_"), 80):
            assert vocabulary.unk_id not in vocabulary.encode(f"{inputs} {targets}")
            assert len(vocabulary.encode(inputs)) < 150
            assert len(vocabulary.encode(targets)) <= 64
