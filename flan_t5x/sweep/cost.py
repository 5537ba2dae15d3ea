"""What the runs of a sweep are and take, before they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_t5x.sweep.results import figures
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.table import COST
from flan_t5x.train.run_dir import FINAL as FINISHED
from flan_t5x.train.run_dir import METRICS, MetricsLog


def table(folder: Path, runs: Sequence[PlannedRun], *, tpu: str | None, points: int | None) -> str:
    """The runs as text: name, how far each is, and what it takes.

    Args:
        folder: of the runs.
        runs: in order; of a study, one as an example.
        tpu: a slice whose time is estimated by arithmetic; None for none.
        points: of a study: how many such runs there will be.

    Raises:
        UserError: an accelerator that does not exist, or a mesh that does not match it.
    """
    paces = [pace for run in runs if (pace := _pace(folder, run))]
    lines, total, left, hours = [], 0.0, 0.0, 0.0
    for run in runs:
        flops = run.flops
        where, share = _progress(folder, run)
        total += flops
        left += flops * (1.0 - share)
        line = f"{run.label:<60} {where:<18} {flops / 1e12:>10,.1f} TFLOP"
        if tpu is not None:
            chip_hours = _chip_hours(run.arguments, tpu)
            hours += chip_hours
            line += f" {chip_hours:>10,.2f} chip-hours on {tpu}"
        lines.append(line)
    count = f"{len(runs)} runs"
    if points is not None:
        count = f"{points} runs such as this one"
        total, left, hours = total * points, left * points, hours * points
    summary = f"{count}: {total / 1e12:,.1f} TFLOP of training, {left / 1e12:,.1f} to do"
    if tpu is not None:
        summary += f", {hours:,.2f} chip-hours on {tpu} at the least (by arithmetic)"
    if paces:
        seconds = left / (sum(paces) / len(paces))
        summary += f", about {seconds / 60:,.0f} min of one worker by the runs that are done"
    return "\n".join([*lines, summary])


def _chip_hours(arguments: Mapping[str, Any], tpu: str) -> float:
    from flan_t5x.parallel.tpu import parse_slice
    from flan_t5x.plan.job import recipe_job
    from flan_t5x.plan.plan import analytic_plan

    job = recipe_job(arguments, tpu=parse_slice(tpu), slices=1)
    return analytic_plan(job).seconds.step * job.train_steps * job.chips / 3600


def _pace(folder: Path, run: PlannedRun) -> float | None:
    """FLOPs a second of a finished run, start and evaluation included."""
    if not (folder / run.name / FINISHED).exists():
        return None
    seconds = figures(folder / run.name)[0].get(f"{COST}seconds", 0.0)
    return run.flops / seconds if seconds else None


def _progress(folder: Path, run: PlannedRun) -> tuple[str, float]:
    """How far a run is, in words and as a share."""
    if (folder / run.name / FINISHED).exists():
        return "done", 1.0
    steps = [line["step"] for line in MetricsLog(folder / run.name / METRICS).read()]
    if not steps:
        return "to do", 0.0
    total = run.arguments["train_steps"]
    return f"step {max(steps)} of {total}", min(max(steps) / total, 1.0)
