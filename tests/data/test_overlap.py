"""Overlap of training and held-out rows: planted contamination is found, a clean pair is clean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.definitions import BadRow, Example, TaskDefinition, Template
from flan_t5x.data.overlap import Hit, Overlap, Settings, evaluation_splits, find_overlap
from flan_t5x.errors import UserError
from tests.data.rows import ListSource

TEXT = (
    "On the third morning of the voyage the old captain counted his barrels twice, "
    "because seven of them had been empty since they left the northern harbour."
)
OTHER = (
    "A gardener planted nine rows of beans along the wall, and in late summer she gave "
    "half of the harvest to the school kitchen across the road."
)


def rows(**splits: Sequence[Example | BadRow]) -> ListSource:
    """A source of the given splits."""
    return ListSource(splits)


def task(source: ListSource, name: str = "toy") -> TaskDefinition:
    return TaskDefinition(name, source, (Template("{text}"),))


def row(id: str, text: str, answer: str = "yes", **more: object) -> Example:
    return Example(id, {"text": text}, answer, **more)  # type: ignore[arg-type]


def compare(
    train: Sequence[Example | BadRow],
    held_out: Sequence[Example | BadRow],
    settings: Settings | None = None,
) -> tuple[Overlap, list[Hit]]:
    hits: list[Hit] = []
    report = find_overlap(
        [task(rows(train=train), "trained")],
        [task(rows(test=held_out), "scored")],
        settings=settings,
        on_hit=hits.append,
    )
    return report, hits


@pytest.mark.parametrize(
    ("planted", "mostly"),
    [
        (TEXT, 1),
        (TEXT.upper(), 1),
        (TEXT.replace(",", ";").replace(" ", "  ").replace(" the ", " «the» "), 1),
        (f"{OTHER} {TEXT} {OTHER}", 1),
        (f"{OTHER[:40]} {' '.join(TEXT.split()[4:17])} {OTHER[40:]}", 0),
    ],
    ids=["exact", "case", "punctuation", "embedded", "thirteen words of it"],
)
def test_planted_contamination(planted: str, mostly: int) -> None:
    report, hits = compare(
        [row("clean", OTHER), row("bad", planted)], [row("h0", OTHER[::-1]), row("h1", TEXT)]
    )
    (held,) = report.held_out
    assert (held.rows, held.overlapping, held.found_in) == (2, 1, {"trained": 1})
    assert [(hit.train.id, hit.held_out.id) for hit in hits] == [("bad", "h1")]
    assert set(hits[0].words.split()) <= set(TEXT.lower().replace(",", "").replace(".", "").split())
    (trained,) = report.train
    assert (trained.rows, trained.overlapping) == (2, 1)
    assert held.mostly == mostly


def test_a_clean_pair() -> None:
    twelve = " ".join(TEXT.split()[:12])  # one word too few
    report, hits = compare([row("0", OTHER), row("1", f"{twelve} {OTHER}")], [row("h", TEXT)])
    assert (hits, report.held_out[0].overlapping, report.train[0].overlapping) == ([], 0, 0)


def test_how_much_of_a_row_is_there() -> None:
    half = " ".join(TEXT.split()[:18])
    assert compare([row("0", half)], [row("h", TEXT)])[0].held_out[0].mostly == 0
    assert compare([row("0", TEXT)], [row("h", TEXT)])[0].held_out[0].mostly == 1


def test_every_text_of_a_row_is_looked_for_in_every_text() -> None:
    held_out = Example("h", {"passage": OTHER, "question": "How many?"}, TEXT)
    for found in (
        Example("t", {"x": "short", "y": TEXT}, "no"),
        Example("t", {"x": "short"}, TEXT),
        Example("t", {"x": "short"}, "b", options=("a", TEXT, "b")),
        Example("t", {"x": "short"}, "b", rationale=TEXT),
    ):
        assert compare([found], [held_out])[1], found
    # A held-out rationale or wrong option gives nothing away.
    for kept in (row("h", OTHER, rationale=TEXT), row("h", OTHER, "b", options=("b", TEXT))):
        assert not compare([row("t", TEXT)], [kept])[1]


@pytest.mark.parametrize(
    ("held_out", "found", "missed"),
    [
        # 9 words: anywhere
        (
            "Which of these rivers flows through the capital city?",
            "(3) which of these rivers flows through the capital city (a) one",
            "which of these rivers flows through a capital city",
        ),
        # 4 words: only as a whole text
        ("Name three green birds.", "name three green birds", "please name three green birds now"),
    ],
)
def test_short_texts(held_out: str, found: str, missed: str) -> None:
    assert compare([row("t", found)], [row("h", held_out)])[1]
    assert not compare([row("t", missed)], [row("h", held_out)])[1]


def test_short_fields_count_together_with_the_options() -> None:
    options = ("a red fox", "a grey wolf", "a black bear", "a white hare")
    held_out = row("h", "Which one barks?", "a red fox", options=options)
    same = row("t", "WHICH ONE BARKS", "a grey wolf", options=options)
    assert compare([same], [held_out])[1]
    assert not compare([row("t", "Which one barks?", options=options[:2])], [held_out])[1]
    # The same options under another question are no contamination.
    assert not compare([row("t", "Which one swims?", options=options)], [held_out])[1]


def test_boilerplate_of_a_benchmark_does_not_count() -> None:
    start = "Read the following sentence carefully and then decide whether it makes good sense: "
    held_out = [row(str(i), f"{start}{n} {i}") for i, n in enumerate("abcdefghijklmnopqrst")]
    report, hits = compare([row("t", f"{start} something else")], held_out)
    assert not hits
    assert report.held_out[0].boilerplate == 0  # its last run has the letter in it
    again, hits = compare([row("t", f"{start} something else")], held_out[:10])
    assert len(hits) == 1  # ten rows are too few to call anything common
    assert again.held_out[0].overlapping == 10
    same = [row(str(i), start) for i in range(20)]
    assert compare([row("t", start)], same)[0].held_out[0].boilerplate == 20


def test_a_language_without_spaces() -> None:
    text = "罗杰有五个网球。他又买了两罐网球，每罐有三个。"
    assert compare([row("t", f"问题：{text}答案")], [row("h", text)])[1]
    assert not compare(
        [row("t", "今天天气很好，我们去公园散步，然后回家吃饭。")], [row("h", text)]
    )[1]


def test_unusable_rows_are_counted() -> None:
    report, _ = compare([BadRow("0", "bad"), row("1", OTHER)], [BadRow("0", "bad"), row("1", TEXT)])
    assert (report.train[0].rows, report.train[0].unusable) == (1, 1)
    assert (report.held_out[0].rows, report.held_out[0].unusable) == (1, 1)
    with pytest.raises(UserError, match="no rows that could be compared"):
        compare([row("0", TEXT)], [BadRow("0", "bad")])


def test_tasks_that_share_a_source_are_one() -> None:
    reads: list[str] = []

    class Counted(ListSource):
        def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
            reads.append(split)
            return super().read(split, start, stop)

    source = Counted({"train": [row("t", TEXT)], "exemplars": [row("e", TEXT)]})
    held_out = rows(train=[row("a", TEXT)], validation=[row("b", TEXT)], test=[row("c", OTHER)])
    report = find_overlap(
        [task(source, "one"), task(source, "two")], [task(held_out, "x"), task(held_out, "y")]
    )
    assert reads == ["train"]
    assert [(f.tasks, f.split, f.overlapping) for f in report.held_out] == [
        (("x", "y"), "validation", 1),
        (("x", "y"), "test", 0),
    ]
    assert report.held_out[0].found_in == {"one": 1}
    assert [f.tasks for f in report.train] == [("one", "two")]


def test_which_splits_are_scored() -> None:
    assert evaluation_splits(rows(train=[], test=[])) == ("test",)
    assert evaluation_splits(rows(train=[], exemplars=[])) == ("train",)


@pytest.mark.parametrize("bad", [{"words": 0}, {"shortest": 0}, {"words": 5, "shortest": 6}])
def test_bad_settings(bad: dict[str, int]) -> None:
    with pytest.raises(UserError):
        Settings(**bad)


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=12).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(train=st.lists(WORDS, max_size=6), held_out=st.lists(WORDS, min_size=1, max_size=6))
def test_against_a_search_word_by_word(train: list[str], held_out: list[str]) -> None:
    """With one field and no answer words in common, the rule can be said in two lines."""
    n, shortest = 4, 3
    rules = Settings(words=n, shortest=shortest, common_rows=99)
    report, hits = compare(
        [row(str(i), text, "0") for i, text in enumerate(train)],
        [row(str(i), text, "1") for i, text in enumerate(held_out)],
        rules,
    )

    def overlaps(asked: str, text: str) -> bool:
        words = asked.split()
        if len(words) < shortest:
            return asked == text
        size = min(n, len(words))
        runs = [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]
        return any(f" {run} " in f" {text} " for run in runs)

    expected = [any(overlaps(asked, text) for asked in held_out) for text in train]
    assert sorted(int(hit.train.id) for hit in hits) == [i for i, hit in enumerate(expected) if hit]
    assert report.held_out[0].overlapping == sum(
        any(overlaps(asked, text) for text in train) for asked in held_out
    )
