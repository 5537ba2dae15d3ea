"""Real processes that find each other (gloo): one is stopped or killed, others go on. Exactly?

    python -m tests.train.hosts_harness --lives 2:kill 4:kill 2:stop:fsdp 1

trains the small job once undisturbed in one process. Then the same job goes through lives: 2
processes until one of them is killed with -9, 4 processes until one of them is killed, 2 with
sharded parameters of which a single one gets SIGTERM, 1 to the end. All lives have four devices in
all, read the same rows and save to the same folder. At the end the parameters must be those of the
undisturbed run within 1e-6, and the rows that each step saw the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from launch import local
from tests.parallel import row_spy
from tests.train import small_job

DEVICES = 4
KILL, STOP, END = "kill", "stop", "end"
DATA, FSDP = "data", "fsdp"
RULES = {DATA: "data_parallel", FSDP: "fsdp"}
TOLERANCE = 1e-6
MACROS: Mapping[str, object] = {
    "TRAIN_STEPS": 24,
    "SAVE_PERIOD": 3,
    "DROPOUT_RATE": 0.1,
}
FLAGS = ("--gin.loop.train.evaluation=None", f"--task_module={row_spy.__name__}")
_EACH_LIFE = 4  # steps past the newest checkpoint, at least, before a life is ended
_LIFE_SECONDS = 240.0
_GONE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Life:
    """One start of the command: by how many processes, how it ends, on which mesh axis."""

    processes: int
    end: str = END
    mesh: str = DATA


@dataclasses.dataclass
class End:
    """How a life ended.

    Attributes:
        codes: exit codes by process.
        resumed: the step it began at.
        saved: the newest step at its end.
        seconds: from the kill or the signal until all processes were gone.
        output: of all processes.
    """

    codes: list[int]
    resumed: int
    saved: int
    seconds: float
    output: list[str]


class Job:
    """One model_dir, trained by one life after another.

    Args:
        folder: of this run; created.
        recipe: the job's gin file.
        cache_dir: token cache, shared by the runs.
        compiled: a folder for XLA's compilation cache.
    """

    def __init__(self, folder: Path, recipe: Path, *, cache_dir: Path, compiled: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.model_dir, self._compiled = folder, folder / "run", compiled
        self._line = small_job.arguments(recipe, self.model_dir, cache_dir, **MACROS)
        self._line += FLAGS
        self._lives = 0

    def live(self, life: Life) -> End:
        """Runs one life to its end."""
        self._lives += 1
        begin, started = self.newest(), time.time()
        processes = self._start(life)
        try:
            moment = time.monotonic()
            if life.end != END:
                self._wait_for(begin + _EACH_LIFE, processes, since=started)
                moment = time.monotonic()
                processes[-1].send_signal(signal.SIGKILL if life.end == KILL else signal.SIGTERM)
            limit = _LIFE_SECONDS if life.end == END else _GONE_SECONDS
            for process in processes:
                process.wait(timeout=max(limit - (time.monotonic() - moment), 0.1))
            seconds = time.monotonic() - moment
        finally:
            for process in processes:
                process.kill()
        codes = [process.returncode for process in processes]
        output = [path.read_text(errors="replace") for path in self._logs(life.processes)]
        return End(codes, begin, self.newest(), seconds, output)

    def newest(self) -> int:
        """The newest step saved, 0 without one."""
        return max(small_job.saved_steps(self.model_dir), default=0)

    def rows(self, begins: Sequence[int]) -> list[dict[int, str]]:
        """Rows of each step, as the last life that did it saw them.

        Args:
            begins: at which step each life began.
        """
        steps: dict[int, dict[int, str]] = {}
        for number, begin in enumerate(begins, start=1):
            for offset, seen in enumerate(row_spy.read(self.folder / f"rows-{number}")):
                # a step cut short by a kill was seen by some processes only
                if begin + offset not in steps or len(seen) >= len(steps[begin + offset]):
                    steps[begin + offset] = seen
        return [steps[step] for step in sorted(steps)]

    def _logs(self, processes: int) -> list[Path]:
        return [self.folder / f"life-{self._lives}-{i}.txt" for i in range(processes)]

    def _start(self, life: Life) -> list[subprocess.Popen[bytes]]:
        count = life.processes
        mesh = [f"--gin.MESH={{'{life.mesh}': -1}}", f"--gin.RULES={RULES[life.mesh]}"]
        spec = local.Spec(
            processes=count,
            devices=DEVICES // count,
            port=local.free_port(),
            arguments=[*self._line, *mesh],
        )
        env = {
            **os.environ,
            row_spy.VARIABLE: str(self.folder / f"rows-{self._lives}"),
            "JAX_COMPILATION_CACHE_DIR": str(self._compiled),
            "JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        started = []
        for command, log in zip(local.commands(spec), self._logs(count), strict=True):
            with log.open("wb") as file:
                started.append(
                    subprocess.Popen(
                        command.argv,
                        env={**env, **command.env},
                        cwd=small_job.ROOT,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )
        return started

    def _wait_for(
        self, step: int, processes: Sequence[subprocess.Popen[bytes]], *, since: float
    ) -> None:
        """Until the figures of a step are written, by this life and not by one killed past it."""
        deadline = time.monotonic() + _LIFE_SECONDS
        while time.monotonic() < deadline:
            done = small_job.metrics(self.model_dir, "train")
            if done and done[-1]["step"] >= step and done[-1]["time"] >= since:
                return
            if any(process.poll() is not None for process in processes):
                break
            time.sleep(0.01)
        output = "\n".join(p.read_text(errors="replace") for p in self._logs(len(processes)))
        raise RuntimeError(f"step {step} was not reached: {output[-3000:]}")


def harness(
    folder: Path,
    lives: Sequence[Life],
    *,
    compiled: Path | None = None,
    say: Callable[[str], None] = print,
) -> tuple[list[End], list[str]]:
    """Runs the lives; how each ended, and everything that is not as it should be.

    Args:
        folder: for the runs.
        lives: the last one must reach the end.
        compiled: XLA's compilation cache; in `folder` by default.
        say: told of each life.
    """
    recipe = small_job.write_recipe(folder)
    compiled = compiled or folder / "xla"
    undisturbed = Job(folder / "undisturbed", recipe, cache_dir=folder / "cache", compiled=compiled)
    reference = undisturbed.live(Life(1))
    job = Job(folder / "disturbed", recipe, cache_dir=folder / "cache", compiled=compiled)
    ends, problems = [], []
    if reference.codes != [0]:
        return [reference], [
            f"the undisturbed run ended with {reference.codes}: {reference.output}"
        ]
    for life in lives:
        end = job.live(life)
        ends.append(end)
        say(
            f"{life.processes} processes, {life.mesh}={DEVICES}, {life.end}: from step "
            f"{end.resumed}, saved {end.saved}, exit codes {end.codes}, all gone in "
            f"{end.seconds:.1f} s"
        )
        problems += _as_expected(life, end)
    found, wanted = (small_job.final_params(run.model_dir) for run in (job, undisturbed))
    worst = max(float(np.max(np.abs(found[name] - wanted[name]))) for name in wanted)
    say(f"largest difference of a parameter from the undisturbed run: {worst:.1e}")
    if not worst <= TOLERANCE:
        problems.append(f"parameters differ by {worst:.1e}")
    if job.rows([end.resumed for end in ends]) != undisturbed.rows([0]):
        problems.append("the rows of some step differ")
    else:
        say(f"rows of all {MACROS['TRAIN_STEPS']} steps are the same")
    return ends, problems


def _as_expected(life: Life, end: End) -> list[str]:
    if life.end == END:
        good = all(code == 0 for code in end.codes)
    elif life.end == STOP:
        good = all(code == 75 for code in end.codes) and end.saved > end.resumed
    else:
        good = all(code != 0 for code in end.codes) and end.codes[-1] == -signal.SIGKILL
    text = f"{life.processes} processes, {life.end}: exit codes {end.codes}: {end.output}"
    return [] if good else [text]


def parse_life(text: str) -> Life:
    """``2:kill:fsdp``, ``4:stop`` or ``1``."""
    processes, end, mesh, *rest = [*text.split(":"), "", ""]
    if processes not in ("1", "2", "4") or any(rest):
        raise argparse.ArgumentTypeError(f"{text!r}: write 1, 2 or 4, then :kill or :stop, :fsdp")
    if end not in ("", KILL, STOP, END) or mesh not in ("", *RULES):
        raise argparse.ArgumentTypeError(f"{text!r}: write 1, 2 or 4, then :kill or :stop, :fsdp")
    return Life(int(processes), end or END, mesh or DATA)


def main() -> int:
    """The command line; returns 0 where all was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--lives",
        nargs="+",
        type=parse_life,
        default=[Life(2, KILL), Life(4, KILL), Life(2, STOP, FSDP), Life(1)],
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flan_t5x_hosts_") as folder:
        _, problems = harness(Path(folder), options.lives)
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
