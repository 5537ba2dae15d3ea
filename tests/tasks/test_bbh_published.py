"""The published outputs of code-davinci-002: the same prompts, the same accuracies."""

from __future__ import annotations

from pathlib import Path

import pytest
from flan_tasks.bbh_published import compare

from flan_t5x.data.sources.location import set_data_dir
from flan_t5x.errors import UserError

OTHER_PROMPTS = {
    ("date_understanding", "direct"): "an option of the first exemplar had a typing error then",
    ("snarks", "direct"): "the prompt file has a longer description than what was run",
    ("tracking_shuffled_objects_three_objects", "direct"): "what was run has a typing error",
}
"""Where the published prompt files differ from what was run."""


def test_accuracies_and_prompts(shared: Path) -> None:
    set_data_dir(shared / "data")
    try:
        rows = list(compare(shared / "data" / "bbh" / "code-davinci-002-outputs"))
    finally:
        set_data_dir(None)
    assert sum(row.mode == "direct" for row in rows) == 27
    assert sum(row.mode == "cot" for row in rows) >= 10
    assert [row for row in rows if not row.equal] == []
    others = {(row.subtask, row.mode) for row in rows if row.same_prompts < row.examples}
    assert others == set(OTHER_PROMPTS)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no outputs"):
        list(compare(tmp_path))
