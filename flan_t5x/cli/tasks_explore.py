"""``flan-t5x tasks explore``: mixtures, tasks and rendered examples as one page to browse."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flan_t5x.cli.shared import add_task_flags
from flan_t5x.cli.tables import add_part, print_json
from flan_t5x.errors import require_count


def add(parts: Any) -> None:
    """Adds the part to ``flan-t5x tasks``."""
    part = add_part(parts, "explore", _explore, "one HTML page to browse mixtures and examples")
    add_task_flags(part)
    part.add_argument("names", nargs="+", metavar="NAME", help="mixtures or tasks, e.g. mini_flan")
    part.add_argument("--out", required=True, metavar="FILE", help="the page, e.g. tasks.html")
    part.add_argument(
        "--num", type=int, default=2, metavar="N", help="examples of each task; 0 reads no data (2)"
    )
    part.add_argument("--seed", type=int, default=0, metavar="SEED", help="which rows (0)")
    part.add_argument(
        "--vocabulary", default="mini", metavar="MODEL", help="'mini' or a SentencePiece file"
    )
    part.add_argument(
        "--inputs_length", type=int, default=512, metavar="TOKENS", help="few-shot budget (512)"
    )


def _explore(options: argparse.Namespace) -> None:
    from rich.console import Console

    from flan_t5x.data.explore.collect import collect
    from flan_t5x.data.explore.page_file import write_page
    from flan_t5x.data.row_progress import RowProgress
    from flan_t5x.data.vocabulary import resolve_vocabulary

    require_count("--num", options.num, at_least=0)
    vocabulary = resolve_vocabulary(options.vocabulary)
    path = Path(options.out).expanduser()
    with RowProgress("rendering", "rendered", "tasks", console=Console(stderr=True)) as shown:
        data = collect(
            options.names,
            vocabulary,
            num=options.num,
            seed=options.seed,
            inputs_length=options.inputs_length,
            progress=shown.update,
        )
    write_page(path, data)
    missing = sum(bool(task["missing"]) for task in data["tasks"])
    figures = {
        "out": str(path),
        "bytes": path.stat().st_size,
        "mixtures": len(data["mixtures"]),
        "tasks": len(data["tasks"]),
        "tasks_without_data": missing,
    }
    if options.json:
        print_json(figures)
        return
    print(
        f"{path}: {len(data['mixtures']):,} mixtures, {len(data['tasks']):,} tasks, "
        f"{path.stat().st_size / 1e6:.1f} MB"
        + (f"; {missing:,} lack their data" if missing else "")
    )
