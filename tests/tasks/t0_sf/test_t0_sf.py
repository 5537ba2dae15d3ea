"""T0-SF: which subsets there are, and how their prompts are wrapped."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from flan_tasks import t0_sf

from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import Example
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.sources import counts, location
from flan_t5x.data.templates import lint_templates
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from tests.tasks import golden


@pytest.fixture(autouse=True)
def own_notes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    counts.forget()


def test_subsets_as_published():
    found = t0_sf.subsets().values()
    assert len(found) == 193
    assert Counter(subset.kind for subset in found) == {
        "question": 104,
        "choice": 70,
        "options": 19,
    }
    assert not [subset.name for subset in found if "_score_eval" in subset.name]
    assert sum(min(subset.examples, 20_000) for subset in found) == 2_725_276
    assert sum(subset.examples > 20_000 for subset in found) == 89


def test_every_name_makes_its_task():
    names = list(t0_sf.names())
    assert len(names) == len(set(names)) == 4 * 193
    assert "t0_cos_e_v1_11_i_think_zsopt" in names
    by_kind = Counter()
    for name in names:
        task = t0_sf.task(name)
        assert task.name == name
        assert task.format == ("fs" if "_fs" in name[-8:] else "zs")
        by_kind[bool(task.option_styles)] += 1
        assert any("{options}" in t.inputs for t in task.templates) == bool(task.option_styles)
    assert by_kind[True] == 2 * 19
    with pytest.raises(UserError, match="did you mean 't0_sciq_Direct_Question_zsopt'"):
        t0_sf.task("t0_sciq_Direct_Questin_zsopt")


def test_wordings_are_clean():
    assert len(t0_sf.WORDINGS) == 10
    for name in ("t0_sciq_Direct_Question_zsopt", "t0_sciq_Direct_Question_fsnoopt"):
        assert lint_templates(t0_sf.task(name), fields=["question"]) == []


ROWS = [
    {
        "inputs_pretokenized": f"Which of them\ncan {what}?",
        "targets_pretokenized": f"{answer}\n",
        "answer_choices": choices,
    }
    for what, answer, choices in [
        ("fly", "a lark", ["a lark", "a cow", "a snail"]),
        ("swim", "a trout", ["a trout", "a hen"]),
        ("sing", "a robin", ["a worm", "a robin", "a clam", "a slug"]),
        ("run fast", "a hare", ["a hare", "a mole"]),
    ]
]


def test_golden_examples(tmp_path, monkeypatch):
    """A subset whose options stand apart and one that is a plain question, in all four kinds."""
    monkeypatch.setattr(location, "_chosen", tmp_path)
    (tmp_path / "p3").mkdir()
    lines = []
    for subset in ("sciq_Direct_Question", "sciq_Multiple_Choice"):
        text = "\n".join(map(json.dumps, ROWS))
        (tmp_path / "p3" / f"{subset}.jsonl").write_text(text)
        for kind in t0_sf.KINDS:
            lines += golden.rendered(t0_sf.task(f"t0_{subset}_{kind}"), rows=2)
    golden.check(Path(__file__).parent / "golden.txt", lines)


def test_real_files_render(shared, monkeypatch):
    monkeypatch.setattr(location, "_chosen", shared / "data")
    t5 = Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))
    files = {p.name.removesuffix(".jsonl.gz") for p in (shared / "data/t0_p3").glob("*.gz")}
    keys = [key for key, subset in t0_sf.subsets().items() if subset.name in files]
    assert len(keys) == 148
    for key in keys[::12]:
        for kind in t0_sf.KINDS:
            task = t0_sf.task(f"t0_{key}_{kind}")
            pool = ExemplarPool.for_task(task)
            for row in task.source.read("train", 0, 6):
                assert isinstance(row, Example)
                made = render(task, row, exemplars=pool, vocabulary=t5, budget=1024)
                assert row.fields["question"] in made.inputs
                assert made.targets == row.answer  # these copies carry no options of their own
