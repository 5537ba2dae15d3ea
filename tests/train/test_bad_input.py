"""Bad input, through the whole command: one clear line, exit code 2, nothing half-written."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flan_t5x.errors import EXIT_BAD_INPUT
from flan_t5x.train.meter import StepMeter
from tests.data.cache_toys import make_vocabulary
from tests.train import small_job
from tests.train.conftest import Small


@dataclasses.dataclass(frozen=True)
class Case:
    """One mistake.

    Attributes:
        flags: what is added to a sound command; ``{tmp}``, ``{run}`` (a finished run),
            ``{vocabulary}`` (another SentencePiece model) and ``{own}`` (a task name that is
            free) are filled in.
        words: what the line must hold: the thing, the value, the way out.
        rows: of ``{tmp}/own.jsonl``, where the case has one.
    """

    flags: tuple[str, ...]
    words: tuple[str, ...]
    rows: tuple[dict[str, str], ...] | None = None


OWN = ("--gin.DataConfig.user_jsonl={{'{own}': '{tmp}/own.jsonl'}}",)
LONG = {"inputs": "Say it again .", "targets": "red blue green cold warm small large " * 9}

CASES = {
    "unknown macro": Case(("--gin.TRAIN_STPES=5",), ("TRAIN_STPES", "'TRAIN_STEPS'")),
    "unknown parameter": Case(("--gin.T5Config.emb_dmi=3",), ("emb_dmi", "'emb_dim'")),
    "unknown configurable": Case(("--gin.T5Confg.emb_dim=3",), ("T5Confg", "T5Config")),
    "missing gin file": Case(("--gin_file=no/such.gin",), ("no/such.gin",)),
    "wrong type": Case(("--gin.TRAIN_STEPS=many",), ("TRAIN_STEPS", "many")),
    "number out of range": Case(("--gin.TRAIN_STEPS=0",), ("train_steps = 0",)),
    "unknown mixture": Case(("--gin.MIXTURE_OR_TASK_NAME=smal",), ("'smal'", "'small'")),
    "unknown held-out mixture": Case(("--gin.EVAL_MIXTURE=smal",), ("'smal'", "'small'")),
    "split that is not there": Case(("--gin.EvalConfig.split=val",), ("'val'", "validation")),
    "a test split that would select": Case(("--gin.EvalConfig.split=test",), ("'test'", "final")),
    "a published split that would select": Case(
        ("--gin.EvalConfig.split=published",), ("'published'", "allow_test_selection")
    ),
    "unknown selection metric": Case(
        ("--gin.EvalConfig.metric=normalised_average",), ("'normalized_average'",)
    ),
    "a metric of tasks that are not evaluated": Case(
        ("--gin.EvalConfig.metric=tydiqa",), ("'tydiqa'", "undefined without", "tydiqa_ar_direct")
    ),
    "training on a benchmark": Case(
        ("--gin.MIXTURE_OR_TASK_NAME=mmlu_direct",), ("'mmlu_direct'", "never trained on")
    ),
    "missing task module": Case(("--task_module=no_such",), ("no_such",)),
    "missing vocabulary": Case(("--gin.VOCABULARY={tmp}/no.model",), ("{tmp}/no.model",)),
    "vocabulary too large for the model": Case(
        ("--gin.T5Config.vocab_size=512",), ("vocabulary 'mini'", "512 rows", "vocab_size = 1")
    ),
    "missing checkpoint": Case(("--gin.INITIAL_CHECKPOINT_PATH={tmp}/no",), ("{tmp}/no",)),
    "checkpoint of another size": Case(
        ("--gin.INITIAL_CHECKPOINT_PATH={run}", "--gin.T5Config.vocab_size=1280"),
        ("does not fit this model", "float32[1152, 32]", "float32[1280, 32]"),
    ),
    "checkpoint of another vocabulary": Case(
        ("--gin.INITIAL_CHECKPOINT_PATH={run}", "--gin.VOCABULARY={vocabulary}"),
        ("{run}", "another vocabulary"),
    ),
    "batch not divisible by the mesh": Case(
        ("--gin.BATCH_SIZE=12",), ("batch_size 12", "data=8", "8 or 16 would work")
    ),
    "batch not divisible by microbatches": Case(
        ("--gin.StepConfig.num_microbatches=3",), ("batch_size 8", "3 microbatches = 24")
    ),
    "mesh that needs other devices": Case(
        ("--gin.MESH={{'data': 3}}",), ("needs 3 devices, but there are 8",)
    ),
    "unknown mesh axis": Case(("--gin.MESH={{'fdsp': 8}}",), ("'fdsp'", "'fsdp'")),
    "unknown rules": Case(("--gin.RULES=fdsp",), ("'fdsp'", "'fsdp'")),
    "dimension not divisible by the mesh": Case(
        ("--gin.RULES=fsdp", "--gin.MESH={{'fsdp': 8}}", "--gin.T5Config.emb_dim=36"),
        ("dimension 'embed' has size 36", "fsdp of size 8"),
    ),
    "tasks that repeat": Case(
        ("--gin.MAX_TASK_EPOCHS=0.01",),
        ("max_task_epochs = 0.01: small_", "times", "--gin.MAX_TASK_EPOCHS="),
    ),
    "repeats below zero": Case(("--gin.MAX_TASK_EPOCHS=-1",), ("max_task_epochs = -1",)),
    "missing exclusion list": Case(("--gin.EXCLUDE={tmp}/no.jsonl",), ("{tmp}/no.jsonl",)),
    "no exclusion list": Case(
        ("--gin.EXCLUDE={tmp}/own.jsonl",),
        ("{tmp}/own.jsonl", "line 1", "'tasks'"),
        rows=({"inputs": "a", "targets": "b"},),
    ),
    "missing dump": Case(
        ("--gin.DataConfig.rendered={{'{own}': '{tmp}/dump'}}",), ("{tmp}/dump", "is missing")
    ),
    "dump without targets": Case(
        ("--gin.DataConfig.rendered={{'{own}': '{tmp}/own.jsonl'}}",),
        ("{own}_unnamed", "1 of 1 rows", "'missing field'", "'targets' is required"),
        rows=({"inputs": "a"},),
    ),
    "missing own file": Case(OWN, ("{tmp}/own.jsonl",)),
    "own file without rows": Case(OWN, ("{tmp}/own.jsonl",), rows=()),
    "own file without training rows": Case(
        OWN,
        ("{tmp}/own.jsonl", "'train'"),
        rows=({"inputs": "a", "targets": "b", "split": "test"},),
    ),
    "all targets longer than their length": Case(
        OWN,
        ("'{own}'", "3 of 3 rows", "target longer than its length", "refused-train.json"),
        rows=tuple({**LONG, "id": str(i), "split": "train"} for i in range(3)),
    ),
    "model_dir under a file": Case(
        ("--gin.MODEL_DIR={tmp}/file/run",), ("{tmp}/file/run cannot be written",)
    ),
    "cache_dir under a file": Case(
        ("--gin.CACHE_DIR={tmp}/file/cache",), ("{tmp}/file/cache cannot be written",)
    ),
}


@pytest.fixture(scope="module")
def other_vocabulary(small: Small) -> str:
    """90 pieces; its ids would fit into the model."""
    return make_vocabulary(small.folder).model_path


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The message, which is all there is on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("flan-t5x: error: ")
    return line


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str,
    small: Small,
    other_vocabulary: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = CASES[name]
    (tmp_path / "file").write_text("not a folder")
    if case.rows is not None:
        lines = [json.dumps(row) + "\n" for row in case.rows]
        (tmp_path / "own.jsonl").write_text("".join(lines))
    places = {
        "tmp": tmp_path,
        "run": small.undisturbed,
        "vocabulary": other_vocabulary,
        "own": f"own_{list(CASES).index(name)}",  # names are taken for the life of a process
    }
    flags = [flag.format(**places) for flag in case.flags]
    capsys.readouterr()
    assert small.train(tmp_path / "run", *flags) == EXIT_BAD_INPUT
    message = one_line(capsys)
    for words in case.words:
        assert words.format(**places) in message
    left = {path.name for path in (tmp_path / "run").glob("*")}
    assert left <= {".lock", "checkpoints"}
    assert not small_job.saved_steps(tmp_path / "run")
    assert not list(tmp_path.rglob("*.partial"))


def test_resuming_with_another_exclusion_list(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list is part of what was trained on; what it leaves out is counted and not drawn."""

    def listed(name: str, *ids: str) -> Path:
        path = tmp_path / name
        line = {"tasks": ["small_last", "not_here"], "split": "train", "words": "red blue"}
        path.write_text("".join(json.dumps({**line, "id": id}) + "\n" for id in ids))
        return path

    run = tmp_path / "run"
    first = listed("first.jsonl", "train-3", "train-5")
    assert small.train(run, TRAIN_STEPS=1, EXCLUDE=first) == 0
    told = capsys.readouterr().out
    assert f"exclusions: 2 rows of 1 tasks are left out ({first})" in told
    assert "2 rejected: excluded by a list" in told
    assert f"{'small_last':<44} {'':<14} {398:>9}" in (run / "mixture.txt").read_text()
    for other in (listed("other.jsonl", "train-3", "train-6"), None):
        assert small.train(run, TRAIN_STEPS=2, EXCLUDE=other) == EXIT_BAD_INPUT
        assert "on other data" in one_line(capsys)
    assert small.train(run, TRAIN_STEPS=2, EXCLUDE=listed("same.jsonl", "train-5", "train-3")) == 0


def test_resuming_with_another_vocabulary(
    small: Small, other_vocabulary: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (small.undisturbed / "config.gin").read_bytes()
    assert small.train(small.undisturbed, VOCABULARY=other_vocabulary) == EXIT_BAD_INPUT
    message = one_line(capsys)
    for words in (str(small.undisturbed), "another vocabulary", other_vocabulary):
        assert words in message
    assert (small.undisturbed / "config.gin").read_bytes() == before


def test_one_long_target_is_counted_and_a_damaged_cache_is_built_again(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"inputs": f"Say {i} .", "targets": "red", "split": "train"} for i in range(9)]
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**LONG, "split": "train"}]))
    flags = (f"--gin.DataConfig.user_jsonl={{'own': '{own}'}}", "--gin.loop.train.evaluation=None")
    macros = {"CACHE_DIR": tmp_path / "cache"}
    assert small.train(tmp_path / "run", *flags, TRAIN_STEPS=1, **macros) == 0
    assert "1 rejected: target longer than its length" in capsys.readouterr().out
    (report,) = (tmp_path / "cache" / "own").glob("*/train/report.json")
    (rejected,) = json.loads(report.read_text())["rejected"].items()
    assert rejected[0] == "target longer than its length"
    assert rejected[1]["count"] == 1

    (tokens,) = (tmp_path / "cache" / "own").glob("*/train/tokens-*.array_record")
    sound = tokens.read_bytes()
    damaged = bytearray(sound)
    damaged[len(damaged) // 2] ^= 1
    tokens.write_bytes(damaged)
    assert small.train(tmp_path / "run", *flags, TRAIN_STEPS=2, **macros) == 0
    said = capsys.readouterr().out
    assert "own" in said
    assert tokens.name in said
    assert tokens.read_bytes() == sound
    assert small_job.saved_steps(tmp_path / "run") == [2]


def mounted(folder: Path, *options: str) -> bool:
    """Mounts a tmpfs; False where that cannot be done here."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    try:
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Makes a small file system with given mount options."""
    folder = tmp_path / "disk"

    def make(*options: str) -> Path:
        if os.geteuid() != 0 or not mounted(folder, *options):
            pytest.skip("no tmpfs can be mounted here")
        return folder

    yield make
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_model_dir_that_is_read_only(
    small: Small, small_disk: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_disk("-o", "ro,size=1m")
    assert small.train(folder / "run") == EXIT_BAD_INPUT
    assert f"model_dir {folder / 'run'} cannot be written" in one_line(capsys)


def test_a_full_disk(
    small: Small,
    small_disk: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Full after step 4: the save of step 6 is refused, and step 3 is there to go on from."""
    folder = small_disk("-o", "size=8m")
    add = StepMeter.add

    def added(self: StepMeter, step: int, *rest: object, **more: object) -> None:
        add(self, step, *rest, **more)  # type: ignore[arg-type]
        if step == 4:
            free = shutil.disk_usage(folder).free
            (folder / "ballast").write_bytes(b"x" * (free - 100_000))

    monkeypatch.setattr(StepMeter, "add", added)
    assert small.train(folder / "run") == EXIT_BAD_INPUT
    message = one_line(capsys)
    for words in ("disk full", str(folder / "run"), "step 3 is untouched", "same command again"):
        assert words in message
    assert small_job.saved_steps(folder / "run")[-1] == 3
    assert not list((folder / "run" / "checkpoints").glob("*tmp*"))

    monkeypatch.setattr(StepMeter, "add", add)
    (folder / "ballast").unlink()
    assert small.train(folder / "run") == 0
    assert "resuming at step 3" in capsys.readouterr().out
    wanted = small_job.final_params(small.undisturbed)
    assert not small_job.differing(small_job.final_params(folder / "run"), wanted)
    found = small_job.figures_of_steps(folder / "run")
    assert found == small_job.figures_of_steps(small.undisturbed)
