"""Every shipped sweep says what it costs and came to, and every run of it can be configured."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from flan_t5x.cli.gin_files import packaged_gin_dir
from flan_t5x.cli.main import main

SWEEPS = sorted(path.name for path in (packaged_gin_dir() / "sweeps").glob("*.gin"))
SHARED, EVALUATION = "mini.gin", "8_self_consistency.gin"


def header(name: str) -> str:
    lines = (packaged_gin_dir() / "sweeps" / name).read_text("utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


@pytest.mark.parametrize("name", [name for name in SWEEPS if name != SHARED])
def test_header(name: str) -> None:
    text = header(name)
    for line in ("Command: ", "Hardware: ", "Cost: ", "Result: "):
        assert re.search(rf"^{line}", text, re.MULTILINE), line
    assert "TODO" not in text


@pytest.mark.parametrize("name", [n for n in SWEEPS if n not in (SHARED, EVALUATION)])
def test_its_runs_can_be_configured(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.search(r"^Command: +flan-t5x (.*)$", header(name), re.MULTILINE)
    assert found
    assert main([*shlex.split(found.group(1)), "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(rf"{len(lines) - 1} runs: .* TFLOP of training", lines[-1])
    assert not list(tmp_path.iterdir())
