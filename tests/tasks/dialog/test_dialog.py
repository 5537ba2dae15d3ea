"""Conversations: names, wordings, and what mocked rows become."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flan_tasks import dialog

from flan_t5x.data.sources import dialogue
from flan_t5x.data.templates import lint_templates
from flan_t5x.errors import UserError
from tests.data.rows import ListSource
from tests.tasks import golden

FIELDS = ("dialogue", "history", "last")
TALKS = [
    ["What is a lark?", "A small bird.", "Does it sing?", "Yes, while it flies."],
    ["Where is the key?", "Under the mat.", "Which mat?", "The red one."],
    ["Is it raining?", "Not yet.", "Shall I take a coat?", "Better take one."],
]


def toy_source(name: str) -> ListSource:
    if name == "qrecc":
        rows = [{"context": talk[:2], "question": talk[2], "answer": talk[3]} for talk in TALKS]
        made = [dialogue.qrecc_row(f"train/{i}", row) for i, row in enumerate(rows)]
    else:
        rows = [{"utterances": talk, "title": "Toys"} for talk in TALKS]
        made = [dialogue.wiki_dialog_row(f"train/{i}", row) for i, row in enumerate(rows)]
    return ListSource({"train": made})


def test_names():
    names = list(dialog.names())
    assert len(names) == len(set(names)) == 8
    assert [dialog.task(name).name for name in names] == names
    formats = {name: dialog.task(name).format for name in names}
    assert formats["dialog_qrecc_fsopt"] == formats["dialog_qrecc_inv_fs"] == "fs"
    assert formats["dialog_wiki_dialog_zsopt"] == formats["dialog_wiki_dialog_inv_zs"] == "zs"
    sources = {id(dialog.task(name).source) for name in names}
    assert len(sources) == 2
    with pytest.raises(UserError, match="did you mean 'dialog_qrecc_zsopt'"):
        dialog.task("dialog_qrec_zsopt")


def test_wordings_are_clean():
    for name in ("dialog_qrecc_zsopt", "dialog_qrecc_inv_zs"):
        task = dialog.task(name)
        assert len(task.templates) >= 10
        assert lint_templates(task, fields=FIELDS) == []
    assert not [t for t in dialog.task("dialog_qrecc_zsopt").templates if "{answer}" in t.inputs]
    for template in dialog.task("dialog_qrecc_inv_zs").templates:
        assert "{answer}" in template.inputs
        assert template.targets in ("{history}", "{last}")


def test_golden_examples():
    lines: list[str] = []
    for name in dialog.names():
        key = "qrecc" if "qrecc" in name else "wiki_dialog"
        lines += golden.rendered(replace(dialog.task(name), source=toy_source(key)), rows=2)
    golden.check(Path(__file__).parent / "golden.txt", lines)
