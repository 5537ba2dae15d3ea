"""The chain-of-thought tasks: definitions, messages, and the real files where they are."""

from __future__ import annotations

import json
import operator
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from flan_tasks import cot

from flan_t5x.data import registry
from flan_t5x.data.definitions import FORMATS, BadRow
from flan_t5x.data.fewshot import ExemplarPool, exemplar_split
from flan_t5x.data.formats import lint_templates, render
from flan_t5x.data.sources import location
from flan_t5x.data.templates import placeholders
from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.extraction import EXTRACTORS
from flan_t5x.evaluation.metrics import METRICS

NINE = ("aqua", "creak", "ecqa", "esnli", "gsm8k", "qasc", "qed", "sensemaking", "strategyqa")
# Rows of the files, as REFERENCE.md B3 gives them.
ROWS = {
    **{"aqua": 2728, "creak": 6915, "ecqa": 7112, "gsm8k": 7473, "qasc": 1084},
    **{"sensemaking": 6070, "strategyqa": 2061},
}


@pytest.fixture
def data(shared, monkeypatch):
    folder = shared / "data"
    if not (folder / "flan_cot").is_dir():
        pytest.skip(f"no folder {folder / 'flan_cot'}: downloaded data is not in this repository")
    monkeypatch.setenv(location.VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="module")
def t5(shared) -> Vocabulary:
    return Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))


def example_fields(task) -> list[str]:
    """What rows of each kind offer to templates, without opening a file."""
    return {
        "lettered": ["question", "choices", "solution"],
        "claim": ["claim"],
        "nonsense": ["question", "first", "second", "sentences"],
    }.get(task.source.parser.__name__, ["question"])


def test_names():
    names = {task.name for task in cot.tasks()}
    expected = {f"cot_{d}_{f}" for d in NINE for f in (*FORMATS, "inv_zs", "inv_fs")}
    assert names == expected | {"cot_gsm8k_test_zs_cot", "cot_gsm8k_test_fs_cot"}


def test_definitions_are_sound():
    for task in cot.tasks():
        assert len(task.templates) >= 10
        assert task.extract in EXTRACTORS
        assert set(task.metrics) <= set(METRICS)
        assert (task.extract == "text") == (not task.format.endswith("_cot"))
        if "_inv_" in task.name:
            assert (task.metrics, task.option_styles) == (("rouge",), ())
        if "test" not in task.name:
            assert lint_templates(task, fields=example_fields(task)) == []


GIVEN_AND_WANTED = {
    # What is given -> what is wanted (REFERENCE.md B2).
    frozenset({"rationale", "answer"}): {"question"},
    frozenset({"question", "answer"}): {"rationale"},
    frozenset({"rationale"}): {"question", "answer"},
    frozenset({"answer"}): {"question", "rationale"},
}


@pytest.mark.parametrize("name", NINE)
def test_inverted_tasks_cover_the_four_ways(name):
    asked = {"claim", "choices", "first", "second", "sentences"}
    seen = Counter()
    for template in registry.get_task(f"cot_{name}_inv_zs").templates:
        sides = [
            frozenset(
                "question" if n in asked else "answer" if n == "solution" else n
                for n in placeholders(text)
            )
            for text in (template.inputs, template.targets)
        ]
        assert GIVEN_AND_WANTED[sides[0]] == sides[1], template
        seen[sides[0]] += 1
    assert set(seen) == set(GIVEN_AND_WANTED)
    assert min(seen.values()) >= 4
    assert sum(seen.values()) >= 18


# Rows of our own in the columns of the files; a line of each kind.
OWN_ROWS = {
    "aqua": (
        "A rope of 12 m is cut in 3. How long is a piece?\\nOptions:\\n(A) 3\\n(B) 4\\n(C) 6",
        "(B)",
        "12 / 3 = 4, which is B.",
    ),
    "creak": (
        'Claim: "Snails run fast."\\nIs the claim above correct?\\nOptions:\\n- yes\\n- no',
        "no",
        "Snails creep.",
    ),
    "ecqa": (
        "Where do you keep milk?\\nOptions:\\n- fridge\\n- drawer",
        "fridge",
        "Milk must stay cold.",
    ),
    "esnli": (
        'If "A man naps." does that mean "A man is awake."?\\nOptions:\\n- yes\\n- no',
        "no",
        "Who naps is asleep.",
    ),
    "gsm8k": ("Ann has 3 pens and buys 4. How many has she?", "7", "3 + 4 = 7."),
    "qasc": (
        "What makes bread rise?\\nOptions:\\n(A) yeast\\n(B) salt",
        "(A)",
        "Yeast makes gas, and gas lifts dough.",
    ),
    "qed": ("Passage: The mill is in Hull.\\n\\nWhere is the mill?", "Hull", "The text says so."),
    "sensemaking": (
        "Which one makes no sense?\\nOptions:\\n- Sentence A: I ate a chair."
        "\\n- Sentence B: I ate a pear.",
        "Sentence A",
        "A chair is no food.",
    ),
    "strategyqa": ("Can a whale climb a tree?", "no", "Whales live in water and have no legs."),
}
GOLDEN = Path(__file__).parent / "golden.txt"


def test_golden_examples(tmp_path, monkeypatch):
    """Every data set in every format, from rows of our own, to the letter.

    Regenerate with ``REGENERATE_GOLDEN=1`` after reading the difference.
    """
    monkeypatch.setenv(location.VARIABLE, str(tmp_path))
    (tmp_path / "flan_cot").mkdir()
    lines = []
    for name, columns in OWN_ROWS.items():
        # The file holds the row and, for exemplars, others with the same options.
        question, answer, rationale = columns
        more = [(f"{w}: {question}", answer, f"{w}: {rationale}") for w in ("Now", "Then", "Well")]
        text = "".join("\t".join(row) + "\n" for row in [columns, *more])
        (tmp_path / "flan_cot" / f"{name}_train.tsv").write_text(text)
    for task in cot.tasks():
        if "test" in task.name:
            continue
        # A new source: the one that all tests share may have read another folder.
        name = task.name.removeprefix("cot_").partition("_")[0]
        task = replace(task, source=cot._source.__wrapped__(name))
        pool = ExemplarPool.for_task(task)
        row = next(iter(task.source.read("train", 0, 1)))
        made = render(task, row, exemplars=pool, vocabulary=default_vocabulary(), budget=900)
        lines += [task.name, f"  inputs:  {made.inputs}", f"  targets: {made.targets}"]
        lines[-2:] = [line.replace("\n", "\\n") for line in lines[-2:]]
    text = "\n".join(lines) + "\n"
    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_text(text, "utf-8")
    assert GOLDEN.read_text("utf-8") == text


def test_mixtures():
    by_name = {m.name: m for m in cot.mixtures()}
    parts = [p for f in FORMATS for p in by_name[f"cot_{f}"].parts]
    assert {p.name for p in parts} == {f"cot_{d}_{f}" for d in NINE for f in FORMATS}
    assert {p.cap for p in parts} == {100_000}
    assert [p.rate for p in by_name["cot"].parts] == [1.0] * 4
    seven = {p.name.split("_")[1] for p in by_name["cot_seven_zs"].parts}
    assert set(NINE) - seven == {"esnli", "qed"}
    assert by_name["cot_gsm8k_test"].evaluation_only
    trained = {p.name for m in by_name.values() if not m.evaluation_only for p in m.parts}
    assert not [name for name in trained if "test" in name]


def test_without_the_folder_the_message_says_how_to_set_it(monkeypatch):
    monkeypatch.delenv(location.VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"cot_aqua_zs, .*Set the environment variable"):
        registry.resolve("cot_seven")


def test_missing_files_are_all_listed(tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, str(tmp_path))
    (tmp_path / "flan_cot").mkdir()
    for name in set(NINE) - {"esnli", "qed"}:
        (tmp_path / "flan_cot" / f"{name}_train.tsv").write_text("q\ta\tr\n")
    with pytest.raises(UserError) as caught:
        registry.resolve("cot")
    message = str(caught.value)
    assert message.count("does not exist") == 2
    for name in ("esnli", "qed"):
        assert f"flan_cot/{name}_train.tsv" in message
        assert all(f"cot_{name}_{f}" in message for f in FORMATS)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_row_of_the_real_files_is_usable(data, t5, name):
    seen = 0
    for format in ("zs", "fs_cot", "inv_fs"):
        task = registry.get_task(f"cot_{name}_{format}")
        pool = ExemplarPool.for_task(task)
        extract = EXTRACTORS[task.extract]
        for split in task.source.splits:
            count = task.source.num_examples(split)
            step = 1 if format == "zs" else 20
            for row in list(task.source.read(split, 0, count))[::step]:
                assert not isinstance(row, BadRow), row
                made = render(task, row, exemplars=pool, vocabulary=t5, budget=512)
                if made.valid_answers:
                    assert extract(made.targets) in [extract(v) for v in made.valid_answers]
                if format == "fs_cot" and name == "gsm8k":
                    assert extract(made.targets) == row.answer
                seen += format == "zs"
    assert seen == ROWS[name]
    assert lint_templates(task, vocabulary=t5) == []


def test_rates_of_the_seven(data):
    weighted = registry.resolve("cot_seven")
    assert len(weighted) == 28
    assert sum(w.rate for w in weighted) == pytest.approx(1)
    by_format = Counter()
    for w in weighted:
        by_format[w.task.format] += w.rate
    assert by_format == pytest.approx(dict.fromkeys(FORMATS, 0.25))
    rows = {w.task.name: w.task.source.num_examples("train") for w in weighted}
    total = sum(n for name, n in rows.items() if name.endswith("_zs"))
    for w in weighted:
        assert w.rate == pytest.approx(0.25 * rows[w.task.name] / total)
    table = registry.describe_mixture("cot_seven")
    assert sum(r.examples for r in table) < 4 * sum(ROWS.values()) == 4 * 33_443


def test_held_back_questions_are_not_trained_on(data):
    for name in ROWS:
        source = registry.get_task(f"cot_{name}_zs").source
        asked = operator.itemgetter(*source.key_fields)
        questions = {
            split: {asked(e.fields) for e in source.read(split, 0, 99_999)}
            for split in ("train", "validation")
        }
        assert not questions["train"] & questions["validation"]
        held = source.num_examples("validation")
        assert 0.012 < held / ROWS[name] < 0.028
        assert held + source.num_examples("train") == ROWS[name]


def test_gsm8k_test_set(data, t5):
    task = registry.get_task("cot_gsm8k_test_fs_cot")
    assert task.source.num_examples("test") == 1319
    assert exemplar_split(task.source) == "exemplars"
    questions = {e.fields["question"] for e in task.source.read("test", 0, 1319)}
    pool = ExemplarPool.for_task(task)
    assert not questions & {e.fields["question"] for e in pool.examples}
    for row in task.source.read("test", 0, 100):
        assert re.fullmatch(r"-?\d+(\.\d+)?", row.answer)
        assert "<<" not in row.rationale
        assert "####" not in row.rationale
        made = render(task, row, exemplars=pool, vocabulary=t5, budget=1024)
        assert EXTRACTORS[task.extract](made.targets) == row.answer
    rates = registry.resolve("cot_gsm8k_test")
    assert [w.rate for w in rates] == [0.5, 0.5]


def test_gsm8k_rows(tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, str(tmp_path))
    (tmp_path / "gsm8k").mkdir()
    lines = [
        json.dumps({"question": "Q?", "answer": "2*600=<<2*600=1200>>1,200 in all.\n#### 1,200"}),
        json.dumps({"question": "Q?", "answer": "no mark"}),
        json.dumps({"question": "Q?"}),
        json.dumps([1]),
        "{",
    ]
    (tmp_path / "gsm8k" / "test.jsonl").write_text("\n".join(lines))
    source = registry.get_task("cot_gsm8k_test_zs_cot").source
    with pytest.raises(UserError, match="has no split 'train'"):
        source.num_examples("train")
    # Rows that cannot be parsed count to the only split that there is.
    good, *bad = source.read("test", 0, 9)
    assert (good.answer, good.rationale) == ("1200", "2*600=1,200 in all.")
    assert [(b.id, b.reason) for b in bad] == [
        (f"line {i}", "not a GSM8K row") for i in (2, 3, 4, 5)
    ]
