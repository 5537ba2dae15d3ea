"""Where exemplars come from."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from flan_t5x.data.definitions import BadRow
from flan_t5x.data.fewshot import SHOT_STYLES, ExemplarPool, exemplar_split
from flan_t5x.errors import UserError

from .rows import ListSource, animal, animal_source, animal_task


@pytest.mark.parametrize(
    ("splits", "chosen"),
    [
        (("train", "validation", "test"), "train"),
        (("test", "validation"), "validation"),
        (("test", "exemplars"), "exemplars"),
        (("train", "exemplars", "test"), "exemplars"),
    ],
)
def test_which_split(splits, chosen):
    assert exemplar_split(ListSource({s: [animal(s, 0)] for s in splits})) == chosen


def test_never_the_test_split():
    source = ListSource({"test": [animal("test", 0)]})
    with pytest.raises(UserError, match="no split to take few-shot exemplars from"):
        exemplar_split(source)
    with pytest.raises(UserError, match="task 'animals_fs'"):
        ExemplarPool.for_task(animal_task("fs", source=source))


def test_zero_shot_has_no_pool():
    assert ExemplarPool.for_task(animal_task("zs")) is None
    assert ExemplarPool.for_task(animal_task("zs_cot")) is None


def test_the_first_usable_rows_in_source_order():
    rows = [animal("train", i) for i in range(700)]
    rows[1] = replace(rows[1], rationale="")
    rows[2] = BadRow("line 3", "missing column")
    rows[3] = replace(rows[3], answer="unicorn")
    source = ListSource({"train": rows})
    plain = ExemplarPool.for_task(animal_task("fs", source=source))
    reasoned = ExemplarPool.for_task(animal_task("fs_cot", source=source), size=300)
    assert [e.id for e in plain.examples[:3]] == ["train-0", "train-1", "train-4"]
    assert [e.id for e in reasoned.examples[:2]] == ["train-0", "train-4"]
    assert (len(plain), len(reasoned)) == (512, 300)
    assert plain.examples[-1].id == "train-513"


def test_no_usable_row():
    rows = [replace(animal("train", i), rationale="") for i in range(5)]
    task = animal_task("fs_cot", source=ListSource({"train": rows}))
    with pytest.raises(UserError, match="none of the 5 rows of split 'train'"):
        ExemplarPool.for_task(task)


def test_pickles():
    pool = ExemplarPool.for_task(animal_task("fs", source=animal_source()))
    assert pickle.loads(pickle.dumps(pool)).examples == pool.examples


def test_styles_can_be_told_apart():
    assert len(set(SHOT_STYLES)) == len(SHOT_STYLES)
    for style in SHOT_STYLES:
        assert style.answer
        assert style.separator.strip()
        assert not set(style.question + style.answer + style.separator) & set("\n\t{}~")
