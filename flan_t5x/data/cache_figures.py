"""Cache throughput beside SeqIO's own script, same tasks, one worker.

    python -m flan_t5x.data.cache_figures cot_gsm8k_zs cot_gsm8k_fs --data_dir=DIR

Both render with our code and write whole splits; each runs in a process of its own. Examples are
counted per second of processor time, of all processes and threads together, so that a busy
machine changes little; what a process takes to import and register is measured apart and left
out. SeqIO's script needs the extra "beam".
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flan_t5x.data.registry import get_task
from flan_t5x.data.sources.location import set_data_dir
from flan_t5x.data.vocabulary import resolve_vocabulary

LENGTHS = {"inputs": 1024, "targets": 256}

_OURS = """
import sys
from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.registry import get_task
from flan_t5x.data.sources.location import set_data_dir
from flan_t5x.data.vocabulary import resolve_vocabulary

set_data_dir({data_dir!r})
tasks = [get_task(name) for name in {tasks!r}]
spec = CacheSpec(tasks, resolve_vocabulary({vocabulary!r}), {lengths!r})
if {work!r}:
    ensure_cached(spec, {folder!r}, num_workers=1)
"""

_MODULE = """
from flan_t5x.data.cache_figures import register_for_seqio

register_for_seqio({tasks!r}, vocabulary={vocabulary!r}, data_dir={data_dir!r})
"""

_SCRIPT = """
import sys
import figures_tasks
from seqio.scripts import cache_tasks_main

if {work!r}:
    from absl import app
    app.run(cache_tasks_main.main)
"""


class Used(NamedTuple):
    """Seconds that a process took: on the wall, and of processors."""

    wall: float
    processor: float


class Figures(NamedTuple):
    """One side.

    Attributes:
        examples: written.
        wall: seconds on the wall, start included.
        processor: seconds of processors, start left out.
        start: seconds of processors until work begins.
    """

    examples: int
    wall: float
    processor: float
    start: float

    @property
    def rate(self) -> float:
        """Examples per second of a processor."""
        return self.examples / self.processor


def register_for_seqio(names: Sequence[str], *, vocabulary: str, data_dir: str) -> None:
    """Registers tasks with SeqIO as they are, but for their scores, which caching does not need."""
    from flan_t5x.data.seqio_tasks import to_seqio_task

    set_data_dir(data_dir)
    for name in names:
        to_seqio_task(
            get_task(name),
            vocabulary=resolve_vocabulary(vocabulary),
            scoring=None,
            feature_lengths=LENGTHS,
            cacheable=True,
        )


def measure(names: Sequence[str], *, vocabulary: str, data_dir: str) -> tuple[Figures, Figures]:
    """Ours and SeqIO's figures for these tasks.

    Args:
        names: tasks.
        vocabulary: "mini" or a SentencePiece file.
        data_dir: the folder of downloaded data.
    """
    given: dict[str, Any] = {
        "tasks": list(names),
        "vocabulary": vocabulary,
        "data_dir": data_dir,
        "lengths": LENGTHS,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = folder / "ours", folder / "theirs"
        code = [_OURS.format(**given, folder=str(ours), work=work) for work in (False, True)]
        idle, busy = (_run(["-c", text], folder) for text in code)
        mine = _figures(_examples(ours.glob("*/*/*/manifest.json"), "num_examples"), idle, busy)
        (folder / "figures_tasks.py").write_text(_MODULE.format(**given))
        flags = [
            f"--tasks={','.join(names)}",
            f"--output_cache_dir={theirs}",
            "--module_import=figures_tasks",
            "--pipeline_options=--runner=DirectRunner,--direct_num_workers=1",
            "--min_shards=1",
        ]
        idle, busy = (
            _run(["-c", _SCRIPT.format(work=work), *flags], folder) for work in (False, True)
        )
        seqio = _figures(_examples(theirs.glob("*/stats.*.json"), "examples"), idle, busy)
    return mine, seqio


def _figures(examples: int, idle: Used, busy: Used) -> Figures:
    return Figures(examples, busy.wall, busy.processor - idle.processor, idle.processor)


def _examples(files: Any, key: str) -> int:
    return sum(int(json.loads(path.read_text())[key]) for path in files)


def _run(arguments: Sequence[str], folder: Path) -> Used:
    """A Python process; its output is shown where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout[-4000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Used(time.monotonic() - began, used)


def main() -> None:
    """Prints both sides and their ratio."""
    parser = argparse.ArgumentParser(description="cache throughput beside SeqIO's own script")
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    parser.add_argument("--data_dir", default="", help="folder with downloaded data")
    parser.add_argument("--vocabulary", default="mini", help="'mini' or a SentencePiece file")
    options = parser.parse_args()
    sides = measure(options.tasks, vocabulary=options.vocabulary, data_dir=options.data_dir)
    for name, side in zip(("flan-t5x", "seqio"), sides, strict=True):
        print(
            f"{name:<9} {side.examples:>7,} examples, {side.rate:>7,.0f} a second of one core; "
            f"{side.processor:.1f} s of processors, {side.start:.1f} s to start, "
            f"{side.wall:.1f} s on the wall"
        )
    print(f"ratio     {sides[0].rate / sides[1].rate:.2f}")


if __name__ == "__main__":
    main()
