"""The Muffin tasks: names, facts, and what every row becomes in every kind."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from flan_tasks import muffin
from flan_tasks.muffin.catalog import conditional, datasets, source, wordings

from flan_t5x.data.definitions import BadRow, Example, TaskDefinition
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import OPTION_STYLES, Rendered, lint_templates, render
from flan_t5x.data.sources import location
from flan_t5x.data.sources.slices import resolve_slices
from flan_t5x.data.templates import folded
from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.extraction import EXTRACTORS
from flan_t5x.evaluation.metrics import METRICS

from .toys import TOYS

TASKS = {task.name: task for task in muffin.tasks()}


@dataclass(frozen=True)
class ToySource:
    """The toy rows of a key, through its own parser."""

    key: str

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def num_examples(self, split: str) -> int:
        return len(TOYS[self.key])

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        parser = datasets()[self.key].row_parser()
        for place, (row, _) in list(enumerate(TOYS[self.key]))[start:stop]:
            yield parser(f"train/{place}", row)

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(TOYS[self.key]).encode()).hexdigest()


def key_of(name: str) -> str:
    return name.removeprefix("flan_").rpartition("_")[0].removesuffix("_inv")


def toy_task(name: str) -> TaskDefinition:
    return replace(TASKS[name], source=ToySource(key_of(name)))


@pytest.fixture(scope="module")
def t5(shared) -> Vocabulary:
    return Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))


def draw(task: TaskDefinition, vocabulary: Vocabulary, repeats: int = 1) -> list[Rendered]:
    """Every toy row, under several ids so that several wordings are drawn."""
    pool = ExemplarPool.for_task(task)
    made = []
    for row in task.source.read("train", 0, 99):
        for i in range(repeats):
            asked = replace(row, id=f"{row.id}#{i}" if repeats > 1 else row.id)
            made.append(render(task, asked, exemplars=pool, vocabulary=vocabulary, budget=900))
    return made


def test_names_and_counts():
    # Keys as REFERENCE.md B3 lists them: 69 of Flan 2021 and the two that Flan 2022 added.
    assert len(muffin.KEYS) == len(set(muffin.KEYS)) == 71
    assert set(muffin.FLAN_2022_ONLY) < set(muffin.KEYS)
    assert set(TASKS) == set(muffin.names())
    assert len(TASKS) == 71 * 4 + 2 * len(muffin.INVERTED)
    sizes = {cluster: len(keys) for cluster, keys in muffin.clusters().items()}
    assert sizes == {
        **{"summarization": 11, "structure_to_text": 4, "reading_comprehension": 6},
        **{"open_domain_qa": 4, "paraphrase": 4, "sentiment": 4, "text_formatting": 3},
        **{"common_sense": 4, "translation": 8, "coreference": 3, "entailment": 10},
        **{"math": 1, "conversational_qa": 2, "word_disambiguation": 1},
        **{"linguistic_acceptability": 1, "question_classification": 1},
        **{"read_comp_and_common_sense": 2, "science_qa": 1, "word_prediction": 1},
    }


def test_a_task_is_built_by_its_name_alone():
    for name, task in TASKS.items():
        assert muffin.task(name) == task
        assert task.name == name
    with pytest.raises(UserError, match="flan_rte_zsopt"):
        muffin.task("flan_rte_zsop")
    for wrong in ("flan_rte", "flan_wnli_inv_zs", "flan_inv_zs", "flan_rte_inv_zsopt", "rte_zsopt"):
        with pytest.raises(UserError, match="there is no Muffin task"):
            muffin.task(wrong)


def test_definitions_are_sound():
    for name, task in TASKS.items():
        assert set(task.metrics) <= set(METRICS)
        assert task.extract in EXTRACTORS
        assert set(task.option_styles) <= set(OPTION_STYLES)
        assert task.format == ("fs" if "_fs" in name else "zs")
        assert (task.option_styles == ()) == ("noopt" in name or "_inv_" in name)
        assert task.max_exemplars == 5
        inverted = "_inv_" in name
        assert len(task.templates) >= (4 if inverted else 10)
        assert all(("{answer}" in t.targets) != inverted for t in task.templates)


def test_published_counts_weigh_as_flan_says():
    # REFERENCE.md B1: the capped weights of FLAN's 71 tasks sum to 1,495,430. Ours differ by
    # rows that FLAN filters or rounds away, all in small or text formatting data sets.
    expected = {key: source(key).expected_examples("train") for key in muffin.KEYS}
    capped = sum(min(30_000, rows) for rows in expected.values())
    assert capped == pytest.approx(1_495_430, rel=0.002)
    assert expected["mnli_matched"] + expected["mnli_mismatched"] == 392_702 - 400
    for key in muffin.KEYS:
        found = source(key)
        assert list(found.splits) == ["train", "validation", "test"]
        assert found.expected_examples("validation") is not None or key.startswith("mnli")


@pytest.mark.parametrize("key", muffin.KEYS)
def test_splits_do_not_overlap(key):
    dataset = datasets()[key]
    sizes = dict.fromkeys(("train", "train_xl", "validation", "test", "dev"), 10**7)
    sizes |= dict(dataset.rows) | {"validation_matched": 9, "validation_mismatched": 9}
    taken: dict[str, list[range]] = {}
    for spec in dataset.splits.values():
        for piece in resolve_slices(spec, sizes, of=key):
            for other in taken.get(piece.split, []):
                assert piece.stop <= other.start or other.stop <= piece.start
            taken.setdefault(piece.split, []).append(range(piece.start, piece.stop))


def test_no_row_of_the_shared_sets_serves_two_keys():
    for keys in (("mnli_matched", "mnli_mismatched"), ("true_case", "fix_punct", "word_segment")):
        pieces = [
            piece
            for key in keys
            for split in ("train", "validation")
            for piece in resolve_slices(datasets()[key].splits[split], datasets()[key].rows, of=key)
        ]
        pieces.sort(key=lambda piece: piece.start)
        assert all(a.stop <= b.start for a, b in itertools.pairwise(pieces))


@pytest.mark.parametrize("name", TASKS)
def test_templates_have_no_problems(name, t5):
    fields = wordings(datasets()[key_of(name)].wordings).fields
    assert lint_templates(TASKS[name], fields=fields, vocabulary=t5) == []


def test_wordings_are_shared_by_no_two_data_sets():
    tables = sorted({dataset.wordings for dataset in datasets().values()})
    seen: dict[str, str] = {}
    for table in tables:
        for template in wordings(table).with_options:
            text = folded(template.inputs)
            if len(template.inputs.split()) < 4:  # "{question} {options}" is nobody's own
                continue
            assert seen.setdefault(text, table) == table, template.inputs


def test_every_field_is_used_and_every_table_is_named():
    named = {dataset.wordings for dataset in datasets().values()}
    assert len(named) == 61
    for table in named:
        found = wordings(table)
        for field in found.fields:
            assert any(f"{{{field}}}" in t.inputs for t in found.with_options), (table, field)
    for key in muffin.KEYS:
        found = wordings(datasets()[key].wordings)
        assert bool(found.inverted) == (key in muffin.INVERTED)
        has_options = any(row.options for row in ToySource(key).read("train", 0, 9))
        shows = [("{options}" in t.inputs) for t in found.with_options]
        assert all(shows) if has_options else not any(shows), key


@pytest.mark.parametrize("key", muffin.KEYS)
def test_rows_parse(key):
    fields = wordings(datasets()[key].wordings).fields
    rows = list(ToySource(key).read("train", 0, 9))
    assert len(rows) == len(TOYS[key]) >= 2
    for row, (raw, answer) in zip(rows, TOYS[key], strict=True):
        assert list(row.fields) == list(fields)
        assert "\n" not in "".join([*row.fields.values(), row.answer, *row.options])
        assert row.options == row.valid_answers
        assert not row.options or row.answer in row.options
        if datasets()[key].cluster == "translation":
            assert row.answer in raw.values()
        else:
            assert row.answer == answer


@pytest.mark.parametrize("name", TASKS)
def test_every_kind_renders(name, t5):
    task = toy_task(name)
    shown = set()
    rows = [row for row in task.source.read("train", 0, 9) for _ in range(12)]
    for made, row in zip(draw(task, t5, repeats=12), rows, strict=True):
        shown.add(made.template)
        assert "{" not in made.inputs
        assert "<" not in made.inputs
        assert made.inputs == made.inputs.strip()
        if task.option_styles == ():
            assert made.option_style == ""
            if "_inv_" not in name:
                assert made.targets == row.answer
            else:
                assert made.valid_answers == ()
        elif row.options:
            assert made.option_style
            assert made.targets in made.valid_answers
            assert all(option in made.inputs for option in row.options)
            assert len(set(made.valid_answers)) == len(row.options)
        if task.format == "fs":
            assert made.format == "fs"
            assert len(made.exemplar_ids) >= 1
    assert len(shown) >= 3


def test_options_stand_only_where_they_are_shown(t5):
    row = next(ToySource("copa").read("train", 0, 1))
    for made in draw(toy_task("flan_copa_zsnoopt"), t5, repeats=30):
        assert "It was moved to the window." not in made.inputs
    assert row.options == ("Nobody watered it.", "It was moved to the window.")


def test_numbers_are_not_numbered(t5):
    for made in draw(toy_task("flan_stsb_zsopt"), t5, repeats=60):
        assert OPTION_STYLES[made.option_style].kind in ("", "upper", "lower")


def test_conditions():
    text = "{question} <Which? {options}|What?> <Say.|>End <of|> it"
    assert conditional(text, shown=True) == "{question} Which? {options} Say.End of it"
    assert conditional(text, shown=False) == "{question} What? End it"
    assert conditional("{options} Go: {x} <{options}>", shown=False) == "Go: {x}"


@pytest.mark.parametrize("table", sorted({d.wordings for d in datasets().values()}))
def test_hidden_options_leave_no_trace(table):
    found = wordings(table)
    for template in (*found.with_options, *found.without_options, *found.inverted):
        assert "<" not in template.inputs
        assert not re.search(r"\[\]|\(\)|\"\"| [.,;:?!]( |$)|  ", template.inputs), template.inputs
    for template in found.without_options:
        assert "{options}" not in template.inputs
        assert not re.search(r"\b(options|choices)\b", template.inputs.lower()), template.inputs


def test_without_data_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(UserError, match=r"anli/r1:0\.1\.0.*tfds build"):
        muffin.task("flan_anli_r1_zsopt").source.num_examples("train")
    with pytest.raises(UserError, match=r"newsroom.*accept the terms"):
        muffin.task("flan_newsroom_zsopt").source.num_examples("train")


def test_golden_examples():
    """One key of every cluster in every kind: the text to the letter.

    Regenerate with ``REGENERATE_GOLDEN=1`` after reading the difference.
    """
    chosen: Sequence[str] = [keys[0] for keys in muffin.clusters().values()]
    lines = []
    for name, task in TASKS.items():
        if key_of(name) in chosen:
            made = draw(replace(task, source=ToySource(key_of(name))), default_vocabulary())[0]
            lines += [name, f"  inputs:  {made.inputs}", f"  targets: {made.targets}"]
    text = "\n".join(lines) + "\n"
    path = Path(__file__).parent / "golden.txt"
    if os.environ.get("REGENERATE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("key", "references"),
    [
        ("natural_questions", [("Holt",), ()]),
        ("trivia_qa", [("Quicksilver",), ("4",)]),
        ("quac", [("Leith",), ("She played chess.",)]),
        ("drop", [(), ()]),
        ("common_gen", [(), ()]),
    ],
)
def test_all_right_answers_are_kept(key, references):
    rows = list(ToySource(key).read("train", 0, 9))
    assert [row.references for row in rows] == references


def test_answers_to_one_question_belong_together():
    assert [row.group for row in ToySource("multirc").read("train", 0, 9)] == ["3/1", "4/0"]


def test_what_is_written_is_not_scored_as_words_of_an_answer():
    """Flan's metrics by kind of task; "f1" is the score of none."""
    by_cluster = {
        "summarization": {("rouge",), ("accuracy",)},
        "structure_to_text": {("rouge",)},
        "translation": {("bleu",)},
        "text_formatting": {("edit_similarity", "accuracy")},
    }
    for key, dataset in datasets().items():
        assert dataset.metrics[0] != "f1", key
        assert dataset.metrics in by_cluster.get(dataset.cluster, {dataset.metrics}), key
    for key in muffin.INVERTED:
        assert muffin.task(f"flan_{key}_inv_zs").metrics == ("rouge",)
