"""runs and evaluations as one HTML page: curves, tables, samples; opens without a network"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flan_t5x.cli.shared import add_task_flags, use_tasks
from flan_t5x.errors import require_count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x report``."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="model_dir of a run; repeatable")
    parser.add_argument(
        "--eval",
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="output_dir of `flan-t5x eval`, or a folder of such folders; repeatable",
    )
    parser.add_argument(
        "--output", default="report.html", metavar="FILE", help="the page (report.html)"
    )
    parser.add_argument(
        "--samples", type=int, default=4, metavar="N", help="prompts of each task to show (4)"
    )
    add_task_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Writes the page, and returns the exit code."""
    from flan_t5x.report.build import read_report, write_report
    from flan_t5x.report.show import counted

    require_count("--samples", options.samples, at_least=0)
    use_tasks(options)
    report = read_report(options.runs, options.eval, samples=options.samples)
    path = Path(options.output).expanduser()
    write_report(path, report)
    for problem in report.problems:
        print(f"flan-t5x: {problem}", file=sys.stderr)
    print(
        f"{path}: {counted(len(report.runs), 'run')}, "
        f"{counted(len(report.evaluations), 'evaluation')}, {path.stat().st_size / 1e6:.1f} MB"
    )
    return 0
