"""kill -9 at random moments of a run that does nothing but save and resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from flan_t5x.checkpoint.manager import Checkpoints
from tests.checkpoint.states import abstract_state, assert_bitwise_equal, host_state

KILLS = 12

# One process imports jax and Orbax once and forks (before any backend exists) a trainer for
# every kill: twelve starts for the price of one.
PROGRAM = """
import json, os, random, signal, sys, time
import flan_t5x.checkpoint.manager as manager
from tests.checkpoint.states import abstract_state, assert_bitwise_equal, device_state, host_state

directory, log, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
draw = random.Random(20)

def note(**what):
    with open(log, "a") as file:
        file.write(json.dumps(what) + "\\n")

def trainer():
    checkpoints = manager.Checkpoints(directory, say=lambda text: note(notice=text))
    step = checkpoints.newest() or 0
    if step:
        state, extra = checkpoints.restore(abstract_state())
        assert_bitwise_equal(state, host_state(step))
        assert extra == {"step": step}
    note(resumed=step, best=checkpoints.best())
    os.write(1, b"r")
    while True:
        step += 1
        metric = 1.0 if step % 5 == 0 else 0.5
        checkpoints.save(step, device_state(step), metric=metric, extra={"step": step})
        if step % 3 == 0:
            checkpoints.wait()
            note(durable=step)

for _ in range(kills):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        try:
            trainer()
        except BaseException as error:
            note(failed=repr(error))
        os._exit(1)
    os.close(write)
    os.read(read, 1)
    time.sleep(draw.uniform(0.0, 0.45))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
"""


def test_kill_during_saves_never_loses_a_finished_step(tmp_path: Path) -> None:
    directory, log = tmp_path / "checkpoints", tmp_path / "log.jsonl"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), str(log), str(KILLS)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [r for r in records if "failed" in r or "notice" in r]
    assert sum("resumed" in r for r in records) == KILLS
    durable = 0
    for record in records:
        if "resumed" in record:
            assert record["resumed"] >= durable
            if record["resumed"] >= 5:  # the best, every fifth step, outlives what is saved later
                assert record["best"] == record["resumed"] // 5 * 5
        durable = record.get("durable", durable)
    assert durable > 0
    with Checkpoints(directory) as checkpoints:
        newest = checkpoints.newest()
        assert newest is not None
        assert newest >= durable
        assert_bitwise_equal(checkpoints.restore(abstract_state())[0], host_state(newest))
    kept = {str(newest), str(newest // 5 * 5)} - {"0"}
    left = {p.name for p in directory.iterdir()}
    assert kept <= left
    assert all(name.isdecimal() for name in left)
