"""Real processes that cannot run together: one clear line on each, and all of them end.

Every case is started with the real command; each process has its own folder to stand in.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from flan_t5x.errors import EXIT_BAD_INPUT, EXIT_DISCONNECTED
from launch import local
from tests.train import small_job

LIMIT_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Case:
    """Processes that fail.

    Attributes:
        flags: of each process.
        words: in the line of each.
        code: exit code of all.
        own: which processes have the user's file.
        alone: start the first of two only.
    """

    flags: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    code: int = EXIT_BAD_INPUT
    own: tuple[int, ...] = ()
    count: int = 2


SAME: tuple[tuple[str, ...], ...] = ((), ())
OWN = ("--gin.DataConfig.user_jsonl={'own': 'own.jsonl'}",)
CASES = {
    "another configuration": Case(
        ((), ("--gin.LEARNING_RATE=0.5",)),
        ("LEARNING_RATE is 0.01 on process 0 and 0.5 on process 1", "the same command"),
    ),
    "one host without the data": Case((OWN, OWN), ("'own.jsonl' does not exist",), own=(0,)),
    "a mesh that does not match": Case(
        (("--gin.MESH={'data': 3}",),) * 2, ("needs 3 devices, but there are 2",)
    ),
    "the others do not come": Case(
        (("--join_seconds=2",),),
        ("process 0 of 2 could not join the others through 127.0.0.1:", "within 2 s"),
        code=EXIT_DISCONNECTED,
        count=1,
    ),
}


def start(case: Case, folder: Path) -> list[subprocess.Popen[str]]:
    recipe = small_job.write_recipe(folder)
    spec = local.Spec(
        processes=2,
        devices=1,
        port=local.free_port(),
        arguments=small_job.arguments(recipe, folder / "run", folder / "cache"),
    )
    started = []
    for index, command in enumerate(local.commands(spec)[: case.count]):
        here = folder / f"host-{index}"
        here.mkdir()
        if index in case.own:
            (here / "own.jsonl").write_text('{"inputs": "Say red .", "targets": "red"}\n' * 9)
        started.append(
            subprocess.Popen(
                [*command.argv, *case.flags[index]],
                cwd=here,
                env={**os.environ, **command.env, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def errors_of(outputs: Sequence[str]) -> list[list[str]]:
    """The lines of each that are errors; the collectives' library says that it is there."""
    return [[line for line in text.splitlines() if "[Gloo]" not in line] for text in outputs]


@pytest.mark.parametrize("name", CASES)
def test_all_end_with_a_clear_line(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    began = time.monotonic()
    processes = start(case, tmp_path)
    try:
        ends = [process.communicate(timeout=LIMIT_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert time.monotonic() - began < LIMIT_SECONDS
    assert [process.returncode for process in processes] == [case.code] * case.count, ends
    for (line,) in errors_of([stderr for _, stderr in ends]):
        assert line.startswith("flan-t5x: error: ")
        for word in case.words:
            assert word in line
    assert not small_job.saved_steps(tmp_path / "run")


@pytest.mark.parametrize("address", ["10.0.0.2", ":8476", "host:port", "host:99999"])
def test_an_address_that_is_none(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    from flan_t5x.errors import UserError
    from flan_t5x.parallel.distributed import initialize

    with pytest.raises(UserError, match="give host:port of process 0"):
        initialize(coordinator_address=address, process_count=2, process_index=1)
