"""What `flan-t5x tasks preview` shows of usable and unusable rows."""

from __future__ import annotations

from dataclasses import replace

from flan_t5x.data.definitions import BadRow
from flan_t5x.data.preview import preview

from .rows import ListSource, animal, animal_task, make_vocabulary


def test_rows_are_rendered_or_say_why_not(tmp_path):
    vocabulary = make_vocabulary(tmp_path)
    rows = [animal("train", 0), BadRow("line 2", "missing column", "2 of 3")]
    task = animal_task("zs_cot", source=ListSource({"train": rows}))
    shown = {p.id: p for p in preview(task, vocabulary, 10, 0)}
    assert set(shown) == {"train-0", "line 2"}
    assert shown["line 2"].rejected == "missing column: 2 of 3"
    assert shown["line 2"].rendered is None
    good = shown["train-0"]
    assert list(good.input_ids) == [*vocabulary.encode(good.rendered.inputs), 1]
    assert list(good.target_ids) == [*vocabulary.encode(good.rendered.targets), 1]
    assert preview(task, vocabulary, 1, 5) == preview(task, vocabulary, 1, 5)
    unusable = replace(task, source=ListSource({"train": [replace(rows[0], answer="unicorn")]}))
    assert preview(unusable, vocabulary, 1, 0)[0].rejected.startswith("answer not among options")
