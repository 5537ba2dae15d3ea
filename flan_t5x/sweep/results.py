"""From the runs' folders to a table, and from a table to files and back.

| file | what |
|---|---|
| `results.csv`, `results.parquet` | a line for each run: choices, seed, status, all figures |
| `sweep.json` | name, question, axes, metrics, notes: what a table needs besides its lines |
| `index.html` | the page (`flan_t5x.sweep.page`) |
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flan_t5x.errors import UserError
from flan_t5x.files import whole_file, write_whole
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.table import (
    BASELINE,
    COST,
    FINAL,
    SCORE,
    START,
    TASK,
    Axis,
    Choice,
    Row,
    Table,
)
from flan_t5x.train.run_dir import FINAL as FINISHED
from flan_t5x.train.run_dir import HELD_OUT, METRICS, MetricsLog, read_best

RESULTS, SWEEP = "results", "sweep.json"
CSV, PARQUET = f"{RESULTS}.csv", f"{RESULTS}.parquet"

_FIXED = ("run", "status", "seed", "best_step", "problem")


def done_row(folder: Path, run: PlannedRun) -> Row:
    """A finished run as a row.

    Args:
        folder: of all runs.
        run: which.

    Raises:
        UserError: see `figures`.
    """
    found, best_step = figures(folder / run.name)
    found[f"{COST}flops"] = run.flops
    return Row(run.name, "done", run.choices, run.seed, found, best_step)


def figures(model_dir: Path) -> tuple[dict[str, float], int]:
    """A finished run's figures, by the names of `flan_t5x.sweep.table`, and its chosen step.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    best = read_best(model_dir)
    if best is None:
        raise UserError(f"{model_dir} has no best.json; did its evaluation give no number?")
    try:
        sets = json.loads((model_dir / FINISHED).read_bytes())["sets"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{model_dir / FINISHED} is missing or damaged ({error!r})") from error
    lines = MetricsLog(model_dir / METRICS).read()
    first = next((line for line in lines if line["kind"] == "held_out"), {})
    found = {SCORE: best["value"], START: first.get(best["metric"].removeprefix(HELD_OUT))}
    found[BASELINE] = first.get("baseline")
    found |= {f"{TASK}{name}": value for name, value in best["values"].items()}
    for label, one in sets.items():
        found[f"{FINAL}{label}/average"] = one["average"]
        found[f"{FINAL}{label}/baseline"] = one["baseline"]
        for name, task in one["tasks"].items():
            found[f"{FINAL}{label}/{TASK}{name}"] = task["score"]
    found |= _cost(lines)
    numbers = {n: float(v) for n, v in found.items() if isinstance(v, int | float)}
    return {n: v for n, v in numbers.items() if math.isfinite(v)}, int(best["step"])


def _cost(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of all processes that worked on the run, its steps and its tokens."""
    seconds, last, steps, tokens = 0.0, 0.0, 0, 0.0
    for line in lines:
        if line["kind"] == "time":
            if line["total"] < last:  # another process went on
                seconds += last
            last = line["total"]
        elif line["kind"] == "train":
            pace = line.get("steps_per_second") or math.inf
            tokens += (line["step"] - steps) / pace * (line.get("tokens_per_second") or 0.0)
            steps = line["step"]
    found = {"seconds": seconds + last, "steps": float(steps), "tokens": float(round(tokens))}
    return {f"{COST}{name}": value for name, value in found.items()}


def write_results(folder: Path, table: Table) -> None:
    """Writes both tables of results and `sweep.json`.

    Raises:
        UserError: one cannot be written.
    """
    lines = [_line(row, table.axes) for row in table.rows]
    columns = list(dict.fromkeys(name for line in lines for name in line)) or list(_FIXED)
    with whole_file(folder / CSV) as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    _write_parquet(folder / PARQUET, columns, lines)
    record = {
        "name": table.name,
        "about": table.about,
        "axes": [
            {"name": a.name, "kind": a.kind, "choices": a.choices, "parts": a.parts}
            for a in table.axes
        ],
        "metrics": table.metrics,
        "notes": table.notes,
    }
    write_whole(folder / SWEEP, json.dumps(record, indent=2) + "\n")


def read_results(folder: Path) -> Table:
    """The table that `write_results` wrote, from `sweep.json` and `results.csv`.

    Raises:
        UserError: a file is missing or damaged.
    """
    try:
        record = json.loads((folder / SWEEP).read_bytes())
        axes = tuple(
            Axis(a["name"], a["kind"], tuple(a["choices"]), tuple(a["parts"]))
            for a in record["axes"]
        )
        with (folder / CSV).open(newline="", encoding="utf-8") as file:
            rows = tuple(_row(line, axes) for line in csv.DictReader(file))
        return Table(
            record["name"],
            record["about"],
            axes,
            tuple(record["metrics"]),
            rows,
            tuple(record["notes"]),
        )
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; is {folder} a sweep?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: {SWEEP} or {CSV} is damaged ({error!r})") from error


def _line(row: Row, axes: Iterable[Axis]) -> dict[str, Any]:
    """A row as columns: those of axes under their names, figures under theirs."""
    line: dict[str, Any] = {name: getattr(row, name) for name in _FIXED}
    for axis in axes:
        choice = row.choices[axis.name]
        line[axis.name] = choice.label
        if not math.isnan(choice.number):
            line[f"{axis.name}/number"] = choice.number
        line |= {f"{axis.name}/{part}": choice.rates[part] for part in axis.parts}
    return line | dict(sorted(row.figures.items()))


def _row(line: Mapping[str, str], axes: Iterable[Axis]) -> Row:
    choices = {}
    taken = set(_FIXED)
    for axis in axes:
        number, parts = f"{axis.name}/number", {p: f"{axis.name}/{p}" for p in axis.parts}
        taken |= {axis.name, number, *parts.values()}
        choices[axis.name] = Choice(
            line[axis.name],
            float(line.get(number) or math.nan),
            {part: float(line[column]) for part, column in parts.items()},
        )
    found = {n: float(v) for n, v in line.items() if n not in taken and v}
    return Row(
        line["run"],
        line["status"],  # type: ignore[arg-type]
        choices,
        int(line["seed"]),
        found,
        int(line["best_step"]),
        line["problem"],
    )


def _write_parquet(path: Path, columns: list[str], lines: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    arrays = {name: pyarrow.array([line.get(name) for line in lines]) for name in columns}
    partial = path.with_suffix(".partial")
    try:
        parquet.write_table(pyarrow.table(arrays), partial)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
