"""Real processes: their command line, processors, logs, and that none outlives the sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.sweep import local
from flan_t5x.sweep.launched import LaunchedPool
from flan_t5x.sweep.local import Ended, LocalPool, divided, last_line
from flan_t5x.sweep.runs import PlannedRun

from .toys import finish, planned

RUN = planned("a")


def script(code: str) -> Callable[[PlannedRun], list[str]]:
    return lambda run: ["-c", code, run.name]


@pytest.fixture(autouse=True)
def plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PROGRAM", (sys.executable,))


def wait(pool: LocalPool | LaunchedPool) -> list[Ended]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := pool.ended():
            return found
    raise AssertionError("nothing ended")


def test_a_run_has_its_processors_and_its_log(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv[1], sorted(os.sched_getaffinity(0))); sys.exit(7)"
    pool = LocalPool(tmp_path, script(code), workers=1, cpus_per_run=1)
    assert pool.free == 1
    pool.start(RUN)
    assert pool.free == 0
    assert pool.running == [RUN]
    (ended,) = wait(pool)
    first = sorted(os.sched_getaffinity(0))[0]
    assert ended == Ended(RUN, 7, f"{RUN.name} [{first}]")
    assert (tmp_path / RUN.name / local.LOG).read_text() == f"{RUN.name} [{first}]\n"
    assert pool.free == 1


def ready(folder: Path) -> Path:
    """The log of a run, as soon as the run says so in it."""
    log = folder / RUN.name / local.LOG
    deadline = time.monotonic() + 30
    while "ready" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    return log


def test_close_asks_first(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(75)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    pool = LocalPool(tmp_path, script(code), workers=1, cpus_per_run=None)
    pool.start(RUN)
    log = ready(tmp_path)
    pool.close()
    assert log.read_text() == "ready\nsaved\n"


def test_close_ends_what_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.2)
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    pool = LocalPool(tmp_path, script(code), workers=1, cpus_per_run=None)
    pool.start(RUN)
    ready(tmp_path)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 20


def test_a_killed_sweep_leaves_no_run_behind(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from flan_t5x.sweep import local\n"
        "from tests.sweep.toys import planned\n"
        "local.PROGRAM = (sys.executable,)\n"
        "command = lambda run: ['-c', 'import os, time; print(os.getpid(), flush=True);"
        " time.sleep(60)']\n"
        f"pool = local.LocalPool(Path({str(tmp_path)!r}), command, workers=1, cpus_per_run=1)\n"
        "pool.start(planned('a'))\n"
        "time.sleep(60)\n"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    log = tmp_path / RUN.name / local.LOG
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    run = int(log.read_text())
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    deadline = time.monotonic() + 10
    while _alive(run) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(run)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def test_processors_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 6})
    assert divided(None, 2) == [(0, 1), (2, 3)]
    assert divided(3, 1) == [(0,), (1,), (2,)]
    assert divided(2, None) == [(0, 1, 2, 3, 6)] * 2
    with pytest.raises(UserError, match="need 6 processors, and there are 5"):
        divided(3, 2)


def test_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("first\nerror: no space\n\n")
    assert last_line(log) == "error: no space"


LAUNCHER = (
    "import json, sys; from pathlib import Path; "
    "Path(sys.argv[1]).open('a').write(json.dumps(sys.argv[2:]) + '\\n')"
)


def launched(tmp_path: Path, limit: int = 2) -> LaunchedPool:
    words = [sys.executable, "-c", LAUNCHER, str(tmp_path / "jobs"), "--name={name}"]
    return LaunchedPool(
        tmp_path, lambda run: ["train", run.name], launcher=words, limit=limit, poll_seconds=0.01
    )


def jobs(tmp_path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "jobs").read_text().splitlines()]


def test_one_job_a_run(tmp_path: Path) -> None:
    pool = launched(tmp_path)
    pool.start(RUN)
    assert jobs(tmp_path) == [["--name=run-a0", "train", RUN.name]]
    assert pool.free == 1
    assert pool.ended() == []
    finish(tmp_path, RUN, score=0.5)
    assert wait(pool) == [Ended(RUN, 0, "")]
    assert pool.free == 2


def test_a_job_is_not_submitted_twice(tmp_path: Path) -> None:
    launched(tmp_path).start(RUN)
    again = launched(tmp_path)
    again.start(RUN)
    assert len(jobs(tmp_path)) == 1
    assert again.running == [RUN]


def test_a_launcher_that_fails(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys; sys.exit('no quota {name}')"]
    pool = LaunchedPool(tmp_path, script(""), launcher=words, limit=1, poll_seconds=0.01)
    pool.start(RUN)
    assert pool.ended() == [Ended(RUN, 1, "no quota run-a0")]
    assert pool.running == []


def test_launchers_that_cannot_be(tmp_path: Path) -> None:
    for words, said in (([], "needs launcher"), (["x"], "no word has {name}")):
        with pytest.raises(UserError, match=said):
            LaunchedPool(tmp_path, script(""), launcher=words, limit=1, poll_seconds=1)
    pool = LaunchedPool(
        tmp_path, script(""), launcher=["no-such-program", "{name}"], limit=1, poll_seconds=1
    )
    with pytest.raises(UserError, match="no-such-program"):
        pool.start(RUN)
