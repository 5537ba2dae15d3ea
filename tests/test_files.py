"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.files import whole_file, write_whole


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "old")
    with pytest.raises(UserError, match="cannot write"):
        write_whole(tmp_path / "missing" / "a.txt", "new")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a.txt", "\ud800")
    with contextlib.suppress(KeyError), whole_file(tmp_path / "a.txt") as file:
        file.write("half")
        raise KeyError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_is_seen_when_it_is_complete(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.txt") as file:
        file.write("line\n")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "line\n"
