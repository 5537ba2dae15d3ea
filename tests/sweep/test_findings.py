"""The document of results is made from the recorded runs, and is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.sweep.findings import document, main, read_findings, record, write_findings
from flan_t5x.sweep.results import write_results
from flan_t5x.sweep.table import Axis, Choice, Row, Table

DOCS = Path(__file__).resolve().parents[2] / "docs" / "findings"


def table(status: str = "done") -> Table:
    rows = [
        Row(
            f"run-{label}-{seed}",
            status,  # type: ignore[arg-type]
            {"kind": Choice(label)},
            seed,
            {"score": value + 0.01 * seed, "cost/seconds": 1800.0},
            1,
        )
        for label, value in (("a", 0.25), ("b", 0.5))
        for seed in range(3)
    ]
    return Table(
        "A study", "Is b better?", (Axis("kind", "category", ("a", "b")),), ("score",), tuple(rows)
    )


def test_from_a_sweep_to_a_document(tmp_path: Path) -> None:
    sweep, docs = tmp_path / "9_study", tmp_path / "docs"
    sweep.mkdir()
    write_results(sweep, table())
    (docs / "9_study").mkdir(parents=True)
    (docs / "9_study" / "outcome.md").write_text("It is.\n")
    (docs / "8_other").mkdir()
    (docs / "8_other" / "outcome.md").write_text("## No sweep\n\nTold.\n")
    assert main([str(docs), "--record", str(sweep)]) == 0
    text = (docs / "README.md").read_text()
    assert "## A study\n\nIs b better?" in text
    assert "`flan-t5x sweep --gin_file=sweeps/9_study.gin`: 6 runs, 3.0 hours of one core" in text
    assert "\nIt is.\n" in text
    assert text.index("## No sweep\n\nTold.\n") < text.index("## A study")
    assert "0.510" in text  # the mean of 0.50, 0.51, 0.52
    assert (docs / "9_study" / "index.html").read_text().startswith("<!")


def test_an_unfinished_sweep_is_no_finding(tmp_path: Path) -> None:
    write_results(tmp_path, table("running"))
    with pytest.raises(UserError, match="6 runs are not done"):
        record(tmp_path, tmp_path / "docs")
    with pytest.raises(UserError, match=r"no folder with a sweep\.json"):
        write_findings(tmp_path / "docs")


def test_the_document_in_the_repository_is_what_its_data_gives() -> None:
    assert (DOCS / "README.md").read_text("utf-8") == document(read_findings(DOCS))
