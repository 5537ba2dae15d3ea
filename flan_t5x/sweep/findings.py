"""`python -m flan_t5x.sweep.findings FOLDER`: pages and one document from recorded sweeps.

Each folder in FOLDER is one sweep: `results.csv` and `sweep.json` as `flan-t5x sweep` writes them,
and `outcome.md`, what people make of it; or `outcome.md` alone, of a study that is no sweep.
Written are its `index.html`, and `README.md` in FOLDER.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from flan_t5x.files import write_whole
from flan_t5x.sweep.page import page
from flan_t5x.sweep.results import CSV, SWEEP, read_results
from flan_t5x.sweep.summary import summary
from flan_t5x.sweep.table import COST, Table

DOCUMENT, PAGE, OUTCOME = "README.md", "index.html", "outcome.md"

_HEAD = """# Findings

What the studies in `gin/sweeps` came to, as recorded in the folders beside this page, which
`python -m flan_t5x.sweep.findings docs/findings` made from them. Intervals are 95 %, Student's t
over seeds. The data is mini-Flan, the models have 0.3 to 1.1 million parameters: what is true of
them need not be true of Flan-T5, and where it is not the same, that is said.
"""


def record(sweep_dir: Path, folder: Path) -> None:
    """Copies what is kept of a finished sweep.

    Raises:
        UserError: it is no sweep, or runs are missing.
    """
    table = read_results(sweep_dir)
    unfinished = [row.run for row in table.rows if row.status not in ("done", "no signal")]
    if unfinished:
        raise UserError(f"{sweep_dir}: {len(unfinished)} runs are not done, e.g. {unfinished[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CSV, SWEEP):
        shutil.copyfile(sweep_dir / name, folder / name)


def write_findings(folder: Path) -> list[str]:
    """Writes the pages and the document; returns the sweeps' names.

    Raises:
        UserError: nothing recorded, or a damaged file.
    """
    tables = read_findings(folder)
    for place, table in tables.items():
        if table is not None:
            write_whole(place / PAGE, page(table))
    write_whole(folder / DOCUMENT, document(tables))
    return [table.name for table in tables.values() if table is not None]


def read_findings(folder: Path) -> dict[Path, Table | None]:
    """What is recorded: a study's folder -> its table; None where it is no sweep.

    Raises:
        UserError: nothing recorded, or a damaged file.
    """
    places = sorted({path.parent for name in (SWEEP, OUTCOME) for path in folder.glob(f"*/{name}")})
    if not places:
        raise UserError(f"{folder}: no folder with a {SWEEP} or {OUTCOME}")
    return {place: read_results(place) if (place / SWEEP).exists() else None for place in places}


def document(tables: Mapping[Path, Table | None]) -> str:
    """All findings as one Markdown text."""
    return "\n".join(part.rstrip() + "\n" for part in [_HEAD, *map(_part, tables.items())])


def _part(study: tuple[Path, Table | None]) -> str:
    """A sweep's head, what is made of it, its figures; or what is told of another study."""
    place, table = study
    told = place / OUTCOME
    text = told.read_text("utf-8").strip() if told.exists() else ""
    if table is None:
        return text
    done = sum(row.status == "done" for row in table.rows)
    hours = sum(row.figures.get(f"{COST}seconds", 0.0) for row in table.rows) / 3600
    head, _, rest = summary(table).partition("\n### ")
    return (
        f"{head.strip()}\n\n"
        f"`flan-t5x sweep --gin_file=sweeps/{place.name}.gin`: {done} runs, {hours:.1f} hours "
        f"of one core; [page]({place.name}/{PAGE}), [data]({place.name}/{CSV}).\n\n"
        f"{text}\n\n<details><summary>The figures</summary>\n\n### {rest.strip()}\n\n</details>"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="pages and a document from recorded sweeps")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--record", type=Path, nargs="+", default=[], help="finished sweeps to take in first"
    )
    options = parser.parse_args(arguments)
    try:
        for sweep_dir in options.record:
            record(sweep_dir, options.folder / sweep_dir.name)
        for name in write_findings(options.folder):
            print(name)
    except UserError as error:
        print(f"findings: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
