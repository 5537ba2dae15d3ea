"""kill -9 at seeded moments of a whole run: does it always end as if nothing had happened?

    python -m tests.train.kill_harness --kills 20 --seed 0

trains a small job once undisturbed. Then the same job is started in a new folder with a new
token cache, killed (with its worker processes), started again by the same command, killed
again, and at last left alone; this is a chain, and there are as many as the kills need. A
chain kills while the cache is built, then in a training step, during a save and during an
evaluation, in seeded order. At its end the parameters must be those of the undisturbed run
bit for bit, best.json the same, and metrics.jsonl the same line by line but for times.

Moments are found by looking at the run's files, from outside. Where a kill landed is decided
afterwards, by what it left behind; kills go on until every phase had its share.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.train import small_job

CACHE, STEP, SAVE, EVALUATION = "cache", "training step", "save", "evaluation"
PHASES = (CACHE, STEP, SAVE, EVALUATION)
ELSEWHERE = "elsewhere"  # start-up, or between two phases
EACH = 3

TRAIN_STEPS, SAVE_PERIOD, EVAL_PERIOD = 48, 4, 8
SHARE = 0.7  # of a phase, in which kills fall: the same phase is not always as long
AHEAD = 2 * SAVE_PERIOD  # steps past the newest checkpoint: one more is made before the kill
REACH = 12  # steps after those from which one is chosen
# Long enough to be hit: each prompt is decoded by itself.
EVALUATION_SIZE = """
train_config.EvalConfig.batch_size = 1
train_config.EvalConfig.examples_per_task = 400
train_config.EvalConfig.max_decode_length = 12
"""

_POLL_SECONDS = 0.001
_LIFE_SECONDS = 300.0


@dataclasses.dataclass
class Kill:
    """One kill.

    Attributes:
        chain: which chain it belongs to, from 1.
        aimed: the phase that was waited for.
        moment: what was waited for, and how long after that it was killed.
        phase: where it landed, by the files left behind.
        resumed: the step at which the next start went on; 0 where it began anew.
        equal: whether the chain's end is that of the undisturbed run.
    """

    chain: int
    aimed: str
    moment: str
    phase: str
    resumed: int = 0
    equal: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the harness found.

    Attributes:
        kills: in order.
        problems: everything in which a chain's end differs; empty is good.
    """

    kills: list[Kill]
    problems: list[str]

    def count(self, phase: str) -> int:
        """Kills that landed in a phase."""
        return sum(kill.phase == phase for kill in self.kills)

    def table(self) -> str:
        """A line per kill, and the sums."""
        head = ("kill", "chain", "landed in", "moment", "resumed at step", "equal")
        rows = [head] + [
            (str(i), str(k.chain), k.phase, k.moment, str(k.resumed), "yes" if k.equal else "NO")
            for i, k in enumerate(self.kills, start=1)
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        sums = ", ".join(f"{self.count(phase)} in {phase}" for phase in (*PHASES, ELSEWHERE))
        equal = sum(kill.equal for kill in self.kills)
        return "\n".join([*lines, f"{len(self.kills)} kills: {sums}; {equal} ended equal"])


class Run:
    """One model_dir with its own token cache, and the command that trains in it.

    Args:
        folder: of the run; created.
        recipe: the job's gin file.
        compiled: a folder for XLA's compilation cache; None compiles in every life.
    """

    def __init__(self, folder: Path, recipe: Path, *, compiled: Path | None = None) -> None:
        self.model_dir, self.cache_dir = folder / "run", folder / "cache"
        self.log = folder / "output.txt"
        folder.mkdir(parents=True)
        self._command = [sys.executable, "-m", "flan_t5x.cli.main"]
        self._command += small_job.arguments(
            recipe,
            self.model_dir,
            self.cache_dir,
            MIXTURE_OR_TASK_NAME="slow",
            EVAL_MIXTURE="slow",
            TRAIN_STEPS=TRAIN_STEPS,
            SAVE_PERIOD=SAVE_PERIOD,
            EVAL_PERIOD=EVAL_PERIOD,
        )
        self._env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        if compiled is not None:
            self._env["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
            self._env["JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the command as the leader of a process group of its own."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=small_job.ROOT,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self) -> None:
        """Starts the command and waits for its end. Raises RuntimeError where it fails."""
        code = self.start().wait(timeout=_LIFE_SECONDS)
        if code != 0:
            raise RuntimeError(f"exit code {code}: {self.output()[-2000:]}")

    def output(self) -> str:
        """Everything that was printed, over all lives."""
        return self.log.read_text(errors="replace")

    def resumed(self) -> int:
        """The step from which the latest life went on."""
        found = re.findall(r"resuming at step (\d+)", self.output())
        return int(found[-1]) if found else 0

    def newest(self) -> int:
        """The newest step saved, 0 without one."""
        return max(small_job.saved_steps(self.model_dir), default=0)

    def caching(self) -> bool:
        """Whether a split of the cache is in work."""
        return any(self.cache_dir.glob("*/*/.tmp-*"))

    def saving(self) -> list[int]:
        """Steps whose save is in work."""
        folder = self.model_dir / "checkpoints"
        found = folder.glob("*.orbax-checkpoint-tmp*") if folder.is_dir() else ()
        return [int(path.name.split(".")[0]) for path in found]

    def trained(self, step: int) -> bool:
        """Whether the figures of a step are written."""
        return any(record["step"] == step for record in small_job.metrics(self.model_dir, "train"))

    def evaluating(self) -> int | None:
        """The step whose evaluation has begun and is not recorded yet."""
        steps = [record["step"] for record in small_job.metrics(self.model_dir, "train")]
        scored = {record["step"] for record in small_job.metrics(self.model_dir, "held_out")}
        last = steps[-1] if steps else 0
        return last if last and last % EVAL_PERIOD == 0 and last not in scored else None


@dataclasses.dataclass(frozen=True)
class Aim:
    """A moment: how long after which event.

    Attributes:
        phase: which phase this should hit.
        event: tells, when called, whether it has happened.
        name: of the event.
        delay: seconds after it.
    """

    phase: str
    event: Callable[[], bool]
    name: str
    delay: float


def aim(run: Run, phase: str, draw: random.Random, lengths: dict[str, float]) -> Aim | None:
    """A seeded moment in a phase, ahead of what is saved; None where none is left.

    Args:
        run: what will be killed.
        phase: where.
        draw: makes the choice.
        lengths: seconds that each phase lasts in the undisturbed run.
    """
    delay = draw.uniform(0.0, lengths[phase] * SHARE)
    if phase == CACHE:
        return Aim(phase, run.caching, "cache in work", delay)
    begin = run.newest() + AHEAD + 1
    ahead = range(begin, min(begin + REACH, TRAIN_STEPS + 1))
    fitting: dict[str, Callable[[int], bool]] = {
        # Later ones run while the save of an earlier one is still under way.
        STEP: lambda step: 0 < step % EVAL_PERIOD < SAVE_PERIOD - 1,
        SAVE: lambda step: step % SAVE_PERIOD == 0,
        EVALUATION: lambda step: step % EVAL_PERIOD == 0,
    }
    steps = [step for step in ahead if fitting[phase](step)]
    if not steps:
        return None
    step = draw.choice(steps)
    if phase == SAVE:
        return Aim(phase, lambda: step in run.saving(), f"save of step {step}", delay)
    return Aim(phase, lambda: run.trained(step), f"step {step} done", delay)


def kill(run: Run, at: Aim) -> str | None:
    """Starts the run, kills it at a moment, and says in which phase that was.

    Returns:
        The phase; None where the run came to its end before.

    Raises:
        RuntimeError: the run failed by itself.
    """
    lines_before = len(small_job.metrics(run.model_dir))
    process = run.start()
    deadline = time.monotonic() + _LIFE_SECONDS
    while not at.event():
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    else:
        time.sleep(at.delay)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    if not alive and code == 0:
        return None
    if not alive:
        raise RuntimeError(f"exit code {code}: {run.output()[-2000:]}")
    if at.phase == CACHE and run.caching() and not small_job.metrics(run.model_dir):
        return CACHE
    # An evaluation may run while the save of an earlier step goes on behind it.
    landed = [EVALUATION] if run.evaluating() is not None else []
    landed += [SAVE] if run.saving() else []
    if landed:
        return at.phase if at.phase in landed else landed[0]
    records = small_job.metrics(run.model_dir)
    stepped = len(records) > lines_before and records[-1]["kind"] == "train"
    return STEP if stepped else ELSEWHERE


def watch(run: Run) -> dict[str, float]:
    """Runs undisturbed; seconds that each phase lasted (saves and evaluations: the shortest)."""
    process = run.start()
    cache = 0.0
    saves: dict[int, list[float]] = {}
    while process.poll() is None:
        now = time.monotonic()
        cache += _POLL_SECONDS if run.caching() else 0.0
        for step in run.saving():
            saves.setdefault(step, [now, now])[1] = now
        time.sleep(_POLL_SECONDS)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: {run.output()[-2000:]}")
    scored = small_job.metrics(run.model_dir, "held_out")[1:]  # the first one compiles
    return {
        CACHE: max(cache, 0.2),
        STEP: 0.01,
        SAVE: min((end - begin for begin, end in saves.values()), default=0.02),
        EVALUATION: min(record["seconds"] for record in scored),
    }


def compare(run: Run, undisturbed: Run) -> list[str]:
    """All that differs at the end of two runs."""
    ours, theirs = run.model_dir, undisturbed.model_dir
    problems = [
        f"parameter {name} differs"
        for name in small_job.differing(
            small_job.final_params(ours), small_job.final_params(theirs)
        )
    ]
    if small_job.best(ours) != small_job.best(theirs):
        problems.append(f"best.json: {small_job.best(ours)} instead of {small_job.best(theirs)}")
    if small_job.saved_steps(ours) != small_job.saved_steps(theirs):
        problems.append(f"kept steps {small_job.saved_steps(ours)}")
    found, wanted = small_job.figures_of_steps(ours), small_job.figures_of_steps(theirs)
    if found != wanted:
        where = next(
            (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), len(wanted)
        )
        problems.append(
            f"metrics.jsonl: {len(found)} lines instead of {len(wanted)}, line {where + 1} is "
            f"{found[where : where + 1]} instead of {wanted[where : where + 1]}"
        )
    left = [p.name for p in (ours / "checkpoints").iterdir() if not p.name.isdecimal()]
    if left or run.caching():
        problems.append(f"left behind: {left or 'unfinished parts of the cache'}")
    return problems


def harness(
    folder: Path,
    *,
    kills: int,
    seed: int,
    each: int = EACH,
    phases: Sequence[str] = PHASES,
    compiled: Path | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Runs chains until there were enough kills, and enough in each phase.

    Args:
        folder: for all runs.
        kills: how many at least.
        seed: of the moments.
        each: how many at least in each of `phases`.
        phases: what a chain aims at.
        compiled: see `Run`.
        say: told of each kill.
    """
    draw = random.Random(seed)
    recipe = small_job.write_recipe(folder, EVALUATION_SIZE)
    undisturbed = Run(folder / "undisturbed", recipe, compiled=compiled)
    lengths = watch(undisturbed)
    say("undisturbed: " + ", ".join(f"{phase} {s * 1e3:.0f} ms" for phase, s in lengths.items()))
    outcome = Outcome([], [])

    def enough() -> bool:
        landed = all(outcome.count(phase) >= each for phase in phases)
        return len(outcome.kills) >= kills and landed

    chain = 0
    while not enough() and len(outcome.kills) < 3 * kills:
        chain += 1
        run = Run(folder / f"chain-{chain}", recipe, compiled=compiled)
        own: list[Kill] = []
        for phase in _order(phases, draw):
            at = aim(run, phase, draw, lengths)
            landed = kill(run, at) if at is not None else None
            if own and own[-1].resumed < 0:
                own[-1].resumed = run.resumed()
            if at is None or landed is None:
                break
            moment = f"{at.name} + {at.delay * 1e3:.0f} ms"
            own.append(Kill(chain, phase, moment, landed, resumed=-1))
            outcome.kills.append(own[-1])
            say(f"chain {chain}: killed in {landed} ({moment})")
            if enough():
                break
        run.finish()
        if own and own[-1].resumed < 0:
            own[-1].resumed = run.resumed()
        problems = compare(run, undisturbed)
        outcome.problems.extend(f"chain {chain}: {problem}" for problem in problems)
        for one in own:
            one.equal = not problems
        say(f"chain {chain}: {'; '.join(problems) or 'ended equal'}")
    return outcome


def _order(phases: Iterable[str], draw: random.Random) -> list[str]:
    """The cache first, as it is built first; the others in any order."""
    others = [phase for phase in phases if phase != CACHE]
    draw.shuffle(others)
    return [phase for phase in phases if phase == CACHE] + others


def main() -> int:
    """The command line; returns 0 where every chain ended equal."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--compile_once",
        action="store_true",
        help="keep XLA's programs between starts: faster, and says less about a real restart",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flan_t5x_kills_") as folder:
        root = Path(folder)
        compiled = root / "xla" if options.compile_once else None
        outcome = harness(root, kills=options.kills, seed=options.seed, compiled=compiled, say=_say)
    print(outcome.table())
    print("\n".join(outcome.problems))
    short = [phase for phase in PHASES if outcome.count(phase) < EACH]
    if short:
        print(f"fewer than {EACH} kills landed in {', '.join(short)}")
    return 1 if outcome.problems or short else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
