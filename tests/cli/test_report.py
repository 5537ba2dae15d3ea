"""`flan-t5x report` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.cli.main import main
from flan_t5x.errors import EXIT_BAD_INPUT
from tests.report.toys import write_evaluation, write_run


def test_a_page_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    (run / "final.json").unlink()
    evals = [str(write_evaluation(tmp_path / name)) for name in ("a", "b")]
    output = tmp_path / "page.html"
    assert main(["report", str(run), f"--output={output}", "--eval", *evals]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{output}: 1 run, 2 evaluations, 0.")
    assert printed.err == f"flan-t5x: {run / 'final.json'}: missing\n"
    assert output.read_text("utf-8").startswith("<!doctype html>")


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "page.html"
    assert main(["report", f"--output={output}"]) == EXIT_BAD_INPUT
    assert main(["report", str(tmp_path), f"--output={output}"]) == EXIT_BAD_INPUT
    first, second = capsys.readouterr().err.splitlines()
    assert "nothing to report" in first
    assert f"{tmp_path}: holds no file of a run" in second
    assert not output.exists()
