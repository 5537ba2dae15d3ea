"""Chain-of-thought TSV files: columns, escapes, the held-back part, the data folder."""

from __future__ import annotations

import pickle

import pytest

from flan_t5x.data.definitions import Example
from flan_t5x.data.sources import location
from flan_t5x.data.sources.exemplars import WithExemplars
from flan_t5x.data.sources.tsv import CotTsvSource
from flan_t5x.errors import UserError

from ..rows import ListSource, animal


def parse(id: str, question: str, answer: str, rationale: str) -> Example:
    return Example(id, {"question": question}, answer, rationale=rationale)


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, str(tmp_path))
    return tmp_path


def source_of(folder, text: str | bytes, **more) -> CotTsvSource:
    (folder / "x.tsv").write_bytes(text.encode() if isinstance(text, str) else text)
    return CotTsvSource("x.tsv", parse, **more)


def test_columns_and_escapes(data_folder):
    source = source_of(data_folder, "Why?\\nReally?\tyes\tone\\ntwo \n", validation_share=0)
    assert list(source.read("train", 0, 9)) == [
        Example("1", {"question": "Why?\nReally?"}, "yes", rationale="one\ntwo")
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"question\tanswer", "missing column"),
        (b"a\tb\tc\td", "too many columns"),
        (b"a\t \tc", "empty answer"),
        (b"\tb\tc", "empty question"),
        (b"a\tb\t", "empty rationale"),
        (b"a\t\xff\tc", "not UTF-8"),
    ],
)
def test_bad_lines(data_folder, line, reason):
    source = source_of(data_folder, b"q\ta\tr\n" + line + b"\n", validation_share=0)
    good, bad = source.read("train", 0, 9)
    assert good.id == "1"
    assert (bad.id, bad.reason) == ("line 2", reason)
    assert bad.detail.startswith("x.tsv line 2: ")


def test_the_held_back_part(data_folder):
    lines = [f"question {i % 1500}\tanswer {i}\tbecause" for i in range(3000)]
    source = source_of(data_folder, "\n".join(lines))
    held = {e.fields["question"] for e in source.read("validation", 0, 9999)}
    kept = {e.fields["question"] for e in source.read("train", 0, 9999)}
    assert not held & kept
    assert len(held | kept) == 1500
    assert 12 < len(held) < 52
    # Stable: the same questions in another file and order.
    (data_folder / "y.tsv").write_text("\n".join(lines[:1500][::-1]))
    again = CotTsvSource("y.tsv", parse)
    assert {e.fields["question"] for e in again.read("validation", 0, 9999)} == held


def test_a_missing_file_names_itself_and_the_remedy(data_folder):
    source = CotTsvSource("flan_cot/none.tsv", parse, origin="the place it comes from")
    with pytest.raises(UserError) as caught:
        source.num_examples("train")
    message = str(caught.value)
    for part in ("flan_cot/none.tsv", "the place it comes from", location.VARIABLE, "--data_dir"):
        assert part in message


def test_published_counts_need_no_file():
    source = CotTsvSource("gone.tsv", parse, validation_share=0.1, published=200)
    assert source.expected_examples("train") == 180
    assert source.expected_examples("validation") == 20
    assert source.expected_examples("test") is None
    assert CotTsvSource("gone.tsv", parse).expected_examples("train") is None
    with pytest.raises(location.MissingDataError) as caught:
        source.num_examples("train")
    assert caught.value.raw == "gone.tsv"


def test_no_data_folder(monkeypatch):
    monkeypatch.delenv(location.VARIABLE)
    with pytest.raises(UserError, match="Set the environment variable FLAN_T5X_DATA_DIR"):
        CotTsvSource("x.tsv", parse).num_examples("train")


def test_the_chosen_folder_comes_first_and_travels_to_other_processes(data_folder):
    source = source_of(data_folder, "q\ta\tr\n", validation_share=0)
    assert source.num_examples("train") == 1
    other = data_folder / "other"
    other.mkdir()
    (other / "x.tsv").write_text("q\ta\tr\nq2\ta\tr\n")
    before = source.fingerprint()
    location.set_data_dir(other)
    try:
        assert source.num_examples("train") == 2
        assert source.fingerprint() != before
        data = pickle.dumps(source)
    finally:
        location.set_data_dir(None)
    assert pickle.loads(data).num_examples("train") == 2
    assert source.num_examples("train") == 1


def test_fingerprint_covers_parser_and_share(data_folder):
    source_of(data_folder, "q\ta\tr\n")
    prints = {
        CotTsvSource("x.tsv", parse).fingerprint(),
        CotTsvSource("x.tsv", parse, validation_share=0.5).fingerprint(),
        CotTsvSource("x.tsv", animal_parser).fingerprint(),
        CotTsvSource("x.tsv", parse, key_fields=()).fingerprint(),
    }
    assert len(prints) == 4


def test_what_asks_the_same_is_on_one_side(data_folder):
    lines = [
        f"{first} {second}\ta\tr\n"
        for i in range(400)
        for first, second in [(f"one{i}", f"two{i}"), (f"TWO{i}", f"one{i}")]
    ]
    (data_folder / "x.tsv").write_text("".join(lines))
    source = CotTsvSource("x.tsv", two_fields, key_fields=("first", "second"))
    numbers = [int(e.id) - 1 for e in source.read("validation", 0, 9999)]
    assert numbers
    assert {n ^ 1 for n in numbers} == set(numbers)


def two_fields(id: str, question: str, answer: str, rationale: str) -> Example:
    first, second = question.split()
    return Example(id, {"first": first, "second": second}, answer)


def animal_parser(id: str, question: str, answer: str, rationale: str) -> Example:
    return parse(id, question.upper(), answer, rationale)


def test_exemplars_of_another_source():
    queries = ListSource({"test": [animal("test", i) for i in range(3)]})
    pool = ListSource({"train": [animal("train", i) for i in range(5)]})
    both = WithExemplars(queries, pool, "train")
    assert both.splits == ("test", "exemplars")
    assert (both.num_examples("test"), both.num_examples("exemplars")) == (3, 5)
    assert [e.id for e in both.read("exemplars", 1, 3)] == ["train-1", "train-2"]
    assert [e.id for e in both.read("test", 0, 1)] == ["test-0"]
    other = WithExemplars(queries, ListSource({"train": [animal("train", 9)]}), "train")
    assert both.fingerprint() != other.fingerprint()
