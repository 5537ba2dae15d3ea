"""`flan-t5x plan` by arithmetic: one JSON object, a gin file that loads, one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flan_t5x.cli.main import main

RECIPE = (
    "plan",
    "--gin_file=runs/flan_t5_xxl.gin",
    "--gin.MODEL_DIR=x",
    "--gin.VOCABULARY=mini",
    "--gin.EVAL_MIXTURE=mini_heldout",
    "--analytic",
)


@pytest.fixture(autouse=True)
def platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # the command sets it for its process


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RECIPE, "--tpu=v5p-128", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {
        "hbm_bytes_per_chip",
        "flops_per_chip",
        "collective_bytes_per_chip",
        "compiler_cycles",
        "estimated_step_seconds",
        "compile_seconds",
    } <= set(figures)
    assert figures["chips"] == 64
    assert figures["hbm_bytes_by_kind"]["parameters"] == pytest.approx(4 * 11.135e9 / 64, rel=0.02)


def test_search_gives_a_gin_file_that_plans_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*RECIPE, "--tpu=v5e-256", "--search", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fits"]
    own = tmp_path / "found.gin"
    own.write_text(found["gin"])
    assert main([*RECIPE, f"--gin_file={own}", "--tpu=v5e-256", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["estimated_step_seconds"] == found["estimated_step_seconds"]
    assert again["mesh"] == found["mesh"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--tpu=v5q-128",), "no TPU 'v5q'; did you mean 'v5"),
        (("--tpu=v5p-100",), "no slice of 100 TensorCores"),
        (("--tpu=v5e-9x9",), "no topology 9x9"),
        (("--tpu=v5p-128", "--gin.train.mesh={'fsdp': 48}"), "needs 48 devices, but there are 64"),
        (("--tpu=v5p-128", "--slices=0"), "--slices = 0"),
        (("--tpu=v5p-128", "--gin.train.rules=fdsp"), "did you mean 'fsdp'"),
    ],
)
def test_bad_input(flags: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RECIPE, *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
