"""Builds that are killed, disturbed, shared, or that meet a full or forbidden disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.cache_locks import TaskLock
from flan_t5x.data.cache_plan import plan
from flan_t5x.data.cache_records import DiskFullError, ShardWriter
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from tests.data.cache_toys import ToySource, make_vocabulary, toy_spec, toy_task

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def any_work_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flan_t5x.data.cache_workers.SMALL_ROWS", 0)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but the locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def slow_spec(vocabulary: Vocabulary, trace: str = "") -> CacheSpec:
    """Four tasks that take about 0.15 s each."""
    rows = (("train", 120), ("validation", 30))
    tasks = (toy_task(f"toy_{i}", rows=rows, pause=0.001, salt=str(i)) for i in range(4))
    return toy_spec(vocabulary, *tasks)


BUILD = """
import sys
from flan_t5x.data import cache_workers
from flan_t5x.data.cache import ensure_cached
from flan_t5x.data.vocabulary import Vocabulary
from tests.data.test_cache_build import slow_spec

if __name__ == "__main__":
    cache_workers.SMALL_ROWS = 0
    print("begin", flush=True)
    ensure_cached(slow_spec(Vocabulary(sys.argv[1])), sys.argv[2], num_workers=int(sys.argv[3]))
    print("end", flush=True)
"""


def start_build(
    vocabulary: Vocabulary,
    cache: Path,
    script: Path,
    workers: int,
    *,
    text: str = BUILD,
    more: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """A build in a process of its own; returns when it begins."""
    script.write_text(text)
    process = subprocess.Popen(
        [sys.executable, str(script), vocabulary.model_path, str(cache), str(workers), *more],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


def children(pid: int) -> list[int]:
    """Processes started by a process."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs (one that nobody waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.02)
    return condition()


@pytest.fixture(scope="module")
def unkilled(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    cache = tmp_path_factory.mktemp("unkilled")
    ensure_cached(slow_spec(vocabulary), cache, num_workers=1)
    return tree(cache)


@pytest.mark.parametrize(("workers", "seed"), [(1, 1), (1, 2), (2, 3), (2, 4)])
def test_kill_at_any_moment(
    workers: int, seed: int, vocabulary: Vocabulary, tmp_path: Path, unkilled: dict[str, bytes]
) -> None:
    cache = tmp_path / "cache"
    process = start_build(vocabulary, cache, tmp_path / "build.py", workers)
    time.sleep(random.Random(seed).uniform(0.05, 0.8))
    started = children(process.pid)
    process.kill()
    process.wait()
    assert wait_for(lambda: not any(map(alive, started))), "workers outlive their parent"
    if cache.exists():
        finished = {name: data for name, data in tree(cache).items() if ".tmp-" not in name}
        assert finished.items() <= unkilled.items(), "what has its name is whole"
    kept = {path: path.stat().st_ino for path in cache.glob("*/*/*/manifest.json")}
    kept = {path: inode for path, inode in kept.items() if ".tmp-" not in str(path)}
    ensure_cached(slow_spec(vocabulary), cache, num_workers=1)
    assert tree(cache) == unkilled
    assert {path: path.stat().st_ino for path in kept} == kept, "finished splits are built once"


SHARDS = """
import sys
from flan_t5x.data import cache_plan, cache_split
from flan_t5x.data.cache import ensure_cached
from flan_t5x.data.vocabulary import Vocabulary
from tests.data.test_cache_build import sharded_spec

if __name__ == "__main__":
    cache_plan.ROWS_PER_SHARD = cache_split.ROWS_PER_SHARD = 50
    print("begin", flush=True)
    ensure_cached(sharded_spec(Vocabulary(sys.argv[1]), sys.argv[4]), sys.argv[2], num_workers=1)
"""


def sharded_spec(vocabulary: Vocabulary, trace: str) -> CacheSpec:
    """A split of eight shards of 50 rows, 0.1 s each."""
    return toy_spec(vocabulary, toy_task(rows=(("train", 400),), pause=0.002, trace=trace))


@pytest.mark.parametrize("damaged", [False, True])
def test_a_killed_build_goes_on_at_the_shard(
    damaged: bool, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flan_t5x.data.cache_plan.ROWS_PER_SHARD", 50)
    monkeypatch.setattr("flan_t5x.data.cache_split.ROWS_PER_SHARD", 50)
    trace, cache, script = tmp_path / "trace", tmp_path / "cache", tmp_path / "build.py"
    trace.mkdir()
    process = start_build(vocabulary, cache, script, 1, text=SHARDS, more=[str(trace)])
    assert wait_for(lambda: len(list(cache.glob("*/*/.tmp-train/*.note.npz"))) >= 3)
    process.kill()
    process.wait()
    whole = {path.name[7:12] for path in cache.glob("*/*/.tmp-train/*.note.npz")}
    if damaged:  # what a power failure may leave
        first = next(cache.glob("*/*/.tmp-train/tokens-00000-of-*.array_record"))
        first.write_bytes(bytes(first.stat().st_size))
        whole.remove("00000")
    for left in trace.iterdir():
        left.unlink()
    said: list[str] = []
    spec = sharded_spec(vocabulary, str(trace))
    ensure_cached(spec, cache, num_workers=1, say=said.append)
    assert f"toy_last train: {len(whole)} of 8 shards are there already" in said
    read = {int(path.name.rpartition("-")[2]) // 50 for path in trace.iterdir()}
    assert read == set(range(8)) - set(map(int, whole))
    ensure_cached(spec, tmp_path / "whole", num_workers=1)
    assert tree(cache) == tree(tmp_path / "whole")


def test_ctrl_c_leaves_nothing_unfinished(vocabulary: Vocabulary, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = start_build(vocabulary, cache, tmp_path / "build.py", 2)
    assert wait_for(lambda: any(cache.glob("*/*/.tmp-*/tokens*")))
    started = children(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(10)
    assert not any(".tmp-" in name for name in tree(cache))
    assert wait_for(lambda: not any(map(alive, started)))


def test_two_processes_share_the_work(
    vocabulary: Vocabulary, tmp_path: Path, unkilled: dict[str, bytes]
) -> None:
    cache = tmp_path / "cache"
    process = start_build(vocabulary, cache, tmp_path / "build.py", 1)
    said: list[str] = []
    ensure_cached(slow_spec(vocabulary), cache, num_workers=1, say=said.append)
    assert process.wait(20) == 0
    assert tree(cache) == unkilled


def test_waiting_for_another_builder_is_said_once(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec = toy_spec(vocabulary, toy_task("toy_a"), toy_task("toy_b", salt="b"))
    (tmp_path / "toy_a").mkdir()
    lock = TaskLock(tmp_path / "toy_a")
    assert lock.take()
    assert not TaskLock(tmp_path / "toy_a").take()
    said: list[str] = []
    done: list[int] = []

    def build() -> None:
        done.append(len(ensure_cached(spec, tmp_path, num_workers=1, say=said.append)))

    thread = threading.Thread(target=build)
    thread.start()
    assert wait_for(lambda: any("waiting" in text for text in said))
    assert not any((tmp_path / "toy_a").glob("*/train"))
    assert any((tmp_path / "toy_b").glob("*/train")), "the other task did not have to wait"
    time.sleep(0.5)
    lock.release()
    thread.join(10)
    assert done == [4]
    waits = [text for text in said if "waiting" in text]
    assert waits == [
        f"waiting for process {os.getpid()} on {os.uname().nodename}, "
        f"which is building {tmp_path / 'toy_a'}"
    ]


def test_what_another_builder_finished_is_not_built_again(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = toy_spec(vocabulary)
    calls: list[tuple[int, int, str]] = []

    def built_meanwhile(lock: TaskLock) -> bool:
        monkeypatch.undo()
        ensure_cached(spec, tmp_path, num_workers=1)
        return lock.take()

    monkeypatch.setattr(TaskLock, "take", built_meanwhile)
    ensure_cached(spec, tmp_path, num_workers=1, progress=lambda *call: calls.append(call))
    inode = next(tmp_path.glob("*/*/train/manifest.json")).stat().st_ino
    ensure_cached(spec, tmp_path, num_workers=1)
    assert next(tmp_path.glob("*/*/train/manifest.json")).stat().st_ino == inode
    assert calls == []


def test_leftovers_of_a_killed_build_are_removed(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec = toy_spec(vocabulary)
    (entry, _) = plan(spec, tmp_path)
    left = entry.directory.parent / ".tmp-train-1"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    ensure_cached(spec, tmp_path, num_workers=1)
    assert not left.exists()
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.usefixtures("any_work_is_enough")
def test_a_worker_that_dies_is_reported(vocabulary: Vocabulary, tmp_path: Path) -> None:
    tasks = (toy_task("toy_a"), toy_task("toy_b", rows=(("train", 300),), die_at=290))
    with pytest.raises(UserError, match=r"ended unexpectedly.*num_workers"):
        ensure_cached(toy_spec(vocabulary, *tasks), tmp_path, num_workers=2)
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("any_work_is_enough")
def test_errors_of_a_source_arrive_with_their_place(
    workers: int, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    task = toy_task("toy_a")
    broken = type(task)("toy_short", ShortSource((("train", 30),)), task.templates)
    spec = toy_spec(vocabulary, task, broken)
    with pytest.raises(ValueError, match=r"gave 29 rows for rows 0\.\.29") as caught:
        ensure_cached(spec, tmp_path, num_workers=workers)
    assert any("toy_short" in note for note in caught.value.__notes__)
    assert not list(tmp_path.rglob(".tmp-*"))


class ShortSource(ToySource):
    """Announces one row more than it has."""

    def read(self, split: str, start: int, stop: int) -> Iterator:
        return super().read(split, start, stop - 1)


class LambdaSource(ToySource):
    """Cannot be pickled."""

    def __getstate__(self) -> object:
        return {"made": lambda: None}


def test_a_source_that_cannot_travel_is_named(vocabulary: Vocabulary, tmp_path: Path) -> None:
    task = type(toy_task())("toy_bound", LambdaSource(), toy_task().templates)
    with pytest.raises(UserError, match="'toy_bound' cannot be sent to another process"):
        ensure_cached(toy_spec(vocabulary, task), tmp_path, num_workers=1)


def test_a_file_in_place_of_the_folder(vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match=r"cache folder .*cache cannot be written .*another"):
        ensure_cached(toy_spec(vocabulary), tmp_path / "cache", num_workers=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(vocabulary: Vocabulary, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written"):
            ensure_cached(toy_spec(vocabulary), tmp_path / "cache", num_workers=1)
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_is_reported_and_leaves_nothing(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ShardWriter.write

    def fill(writer: ShardWriter, record: bytes) -> None:
        if "toy_b" in str(writer.path) and writer.records == 20:
            raise DiskFullError
        write(writer, record)

    monkeypatch.setattr(ShardWriter, "write", fill)
    spec = toy_spec(vocabulary, toy_task("toy_a"), toy_task("toy_b", salt="b"))
    with pytest.raises(UserError) as caught:
        ensure_cached(spec, tmp_path, num_workers=1)
    message = str(caught.value)
    free = shutil.disk_usage(tmp_path).free / 1e6
    assert f"the disk of the cache folder {tmp_path} is full" in message
    assert "MB are free, about " in message
    assert "needed for 2 more task splits" in message
    assert free > 0
    names = {name.split("/")[0] for name in tree(tmp_path)}
    assert names == {"toy_a"}, "finished splits are kept, the others leave nothing"
    monkeypatch.undo()
    assert len(ensure_cached(spec, tmp_path, num_workers=1)) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("any_work_is_enough")
def test_a_disk_that_is_really_full(workers: int, vocabulary: Vocabulary, small_disk: Path) -> None:
    first = toy_spec(vocabulary, toy_task("toy_small"))
    whole = ensure_cached(first, small_disk / "cache", num_workers=1)
    big = toy_spec(vocabulary, toy_task("toy_big", rows=(("train", 9000),)))
    with pytest.raises(UserError, match=r"is full: \d\.\d MB are free, about \d\.\d MB are needed"):
        ensure_cached(big, small_disk / "cache", num_workers=workers)
    assert not list(small_disk.rglob(".tmp-*"))
    assert not list(small_disk.glob("cache/toy_big/*/train"))
    whole["toy_small", "train"].verify()
