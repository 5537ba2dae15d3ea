"""The journal: whatever a kill leaves of it, batches that are whole are kept, and only those."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.errors import UserError
from flan_t5x.evaluation.journal import Journal

JOB = {"version": 1, "seed": 0, "input": "abc"}


def fill(path: Path) -> dict[int, Any]:
    with Journal(path, JOB) as journal:
        journal.add([4, 0], [["four", -0.5], ["ünë\n", None]], cut=1)
        journal.add([2], [{"text": ""}], cut=0)
        return dict(journal.answers)


def test_answers_come_back(tmp_path: Path) -> None:
    answers = fill(tmp_path / "j")
    assert answers == {4: ["four", -0.5], 0: ["ünë\n", None], 2: {"text": ""}}
    with Journal(tmp_path / "j", JOB) as again:
        assert again.answers == answers
        assert again.cut == 1
        again.remove()
    assert not (tmp_path / "j").exists()


def test_every_length_a_kill_may_leave(tmp_path: Path) -> None:
    answers = fill(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    assert len(ends) == 3
    for length in range(len(content) + 1):
        path = tmp_path / "cut"
        path.write_bytes(content[:length])
        whole = sum(end <= length for end in ends)
        kept = {0: [], 1: [], 2: [4, 0], 3: [4, 0, 2]}[whole]
        with Journal(path, JOB) as journal:
            assert journal.answers == {row: answers[row] for row in kept}
            for row in sorted(set(answers) - set(kept)):
                journal.add([row], [answers[row]], cut=0)
        with Journal(path, JOB) as journal:
            assert journal.answers == answers


def test_damage_in_the_middle_ends_what_is_kept(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join([*lines[:2], b"\0" * 20 + b"\n", lines[2]]))
    with Journal(tmp_path / "j", JOB) as journal:
        assert set(journal.answers) == {4, 0}
    assert (tmp_path / "j").read_bytes() == b"".join(lines[:2])


def test_another_job_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(UserError, match=r"that differs: seed was 0, is 7\. Go on with"):
        Journal(tmp_path / "j", {**JOB, "seed": 7})
    assert (tmp_path / "j").read_bytes() == before
    fill(tmp_path / "j")  # the lock was given back


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b'{"inputs": "x"}\n'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(UserError, match="is in the way"):
        Journal(tmp_path / "j", JOB)
    assert (tmp_path / "j").read_bytes() == content


def test_two_processes_on_one_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", JOB), pytest.raises(UserError, match="in use: another process"):
        Journal(tmp_path / "j", JOB)


class FullDisk(io.RawIOBase):
    """Takes some bytes of a write, then none."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, line: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken, self.room = min(self.room, len(line)), 0
        return taken


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "j", JOB) as journal, monkeypatch.context() as patch:
        patch.setattr(journal, "_file", FullDisk(room=7))
        for message in (r"disk full \(\d+ bytes free\); make room", "No space left on device"):
            with pytest.raises(UserError, match=message):
                journal.add([0], ["zero"], cut=0)
        assert journal.answers == {}
    with pytest.raises(UserError, match=r"cannot write .*: No such file"):
        Journal(tmp_path / "missing" / "j", JOB)
