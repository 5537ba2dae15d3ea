"""What README.md tells a user to type works, and what it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flan_t5x.train import run_dir

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def test_the_jsonl_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only Python block, in a process and a folder of its own."""
    (example,) = blocks("python")
    monkeypatch.setenv("FLAN_T5X_CACHE_DIR", str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    table = done.stdout.split("# mixture")[-1]
    assert re.search(r"numbers\s+jsonl\s+\d+\s+-\s+10\.0000%", table), table
    assert (tmp_path / "runs" / "own" / run_dir.BEST).exists()


def test_every_named_recipe_and_file_exists() -> None:
    for name in re.findall(r"`((?:runs|models)/[a-z0-9_]+\.gin|smoke\.gin)`", TEXT):
        assert (ROOT / "gin" / name).is_file(), name
    named = set(re.findall(r"^\| `([a-z_.]+)` \|", TEXT, re.M))
    ours = {run_dir.BEST, run_dir.METRICS, run_dir.CONFIG, run_dir.MIXTURE, run_dir.VERSIONS}
    assert ours <= named
    for folder in re.findall(r"^\| `([a-z0-9_]+(?:/[a-z_]+)?/)`", TEXT, re.M):
        if folder not in (f"{run_dir.CHECKPOINTS}/", f"{run_dir.TENSORBOARD}/"):
            assert (ROOT / folder).is_dir(), folder


def test_the_two_commands_are_the_ones_ci_runs() -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    install = [c for c in commands if c.startswith("python3 -m venv")]
    assert len(install) == 2
    assert install[0].endswith("flan-t5x train --gin_file=smoke.gin")
    assert install[1].endswith("pip install -e '.[test]' && pytest")
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "-e '.[test]'" in ci
    assert re.search(r"^pytest$", ci, re.M)
