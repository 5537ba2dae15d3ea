"""Made-up runs and evaluations whose texts try to break a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EVIL = "</script><script>document.title='evil'</script><img src=x onerror=alert(1)> & <!-- \u2028"


def write_run(folder: Path, *, best: int = 20, gain: float = 0.0, seed: int = 0) -> Path:
    """A model_dir of 40 steps, evaluated at 0, 20 and 40."""
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step in range(0, 41, 5):
        if step:
            figures = {"loss": 4 - step / 20 - gain, "accuracy": step / 50}
            lines.append({"step": step, "kind": "train", "time": 1.0, **figures})
        if step % 20 == 0:
            scores = {"task/toy_a": 0.1 + step / 80 + gain, "task/toy_b": step / 100}
            average = sum(scores.values()) / 2
            record = {"step": step, "kind": "held_out", "time": 1.0}
            lines.append({**record, "average": average, "baseline": 0.25, **scores})
    lines.append({"step": 40, "kind": "time", "time": 1.0, "steps": 60.0, "input": 20.0})
    write_lines(folder / "metrics.jsonl", lines)
    values = {"toy_a": 0.35 + gain, "toy_b": 0.2}
    record = {"step": best, "metric": "held_out/average", "value": 0.275, "values": values}
    write(folder / "best.json", record)
    final = {"toy_test": {"average": 0.5, "baseline": 0.25, "tasks": {"toy_a": task(0.5)}}}
    write(folder / "final.json", {"step": best, "sets": final})
    config = f"SEED = {seed}\nTRAIN_STEPS = 40\n\nmixing.rates = \\\n    {{'a': 1,\n     'b': 2}}\n"
    (folder / "config.gin").write_text(config + f"NOTE = '{EVIL}'\n", "utf-8")
    (folder / "mixture.txt").write_text(
        "# mixture toy_mix, split train: 2 tasks\n"
        "task                                         group           examples      cap    share\n"
        "toy_one_zs                                   toys                1000        -  75.0000%\n"
        "a_task_with_a_name_that_is_longer_than_the_column_zs more                   ?      500"
        "  25.0000%\n"
    )
    versions = {"python": "3.11.7", "command": ["flan-t5x", EVIL], "packages": {"jax": "0.8"}}
    write(folder / "versions.json", versions)
    return folder


def task(score: float, *, failures: Mapping[str, int] | None = None) -> dict[str, Any]:
    """A task's record in `final.json` and `results.json`."""
    return {
        "score": score,
        "low": max(score - 0.1, 0.0),
        "high": min(score + 0.1, 1.0),
        "baseline": 0.25,
        "metrics": {"accuracy": score},
        "examples": 16,
        "group": "toys",
        "failures": dict(failures or {}),
    }


def write_evaluation(folder: Path, *, right: int = 8) -> Path:
    """An output_dir with a task of yes and no, 16 rows, and one whose texts are evil, 2 rows."""
    folder.mkdir(parents=True)
    rows = [_yes_no(number, right) for number in range(16)]
    rows += [
        {
            "task": "toy_evil",
            "id": f"{EVIL}{number}",
            "inputs": f"Say {EVIL}",
            "target": EVIL,
            "prediction": EVIL,
            "extracted": EVIL,
            "correct": True,
            "score": 1.0,
            "failure": "",
            "samples": [{"prediction": EVIL, "extracted": EVIL, "log_prob": -1.0}] * 2,
        }
        for number in range(2)
    ]
    write_lines(folder / "predictions.jsonl", rows)
    results = {
        "checkpoint": "runs/toy/checkpoints/20",
        "mixture_or_task_name": "toy_mix",
        "split": "test",
        "average": right / 32 + 0.5,
        "baseline": 0.25,
        "aggregates": {
            "toy_mean": {"value": right / 32 + 0.5, "low": 0.5, "high": 0.9, "missing": []},
            "toy_whole": {
                "value": None,
                "low": None,
                "high": None,
                "missing": ["toy_c", "toy_d", "toy_e", "toy_f"],
            },
        },
        "tasks": {"toy_yes_no": task(right / 16), "toy_evil": task(1.0)},
        "self_consistency": {
            "toy_yes_no": {"1": 0.4, "2": 0.5, "10": 0.6},
            "toy_evil": {"1": 0.8, "2": 0.9},
        },
    }
    write(folder / "results.json", results)
    return folder


def _yes_no(number: int, right: int) -> dict[str, Any]:
    """Right for the first so many; then one empty, one outside of yes and no, the rest wrong."""
    target = ("yes", "no")[number % 2]
    wrong = {right: "", right + 1: "maybe"}.get(number, ("no", "yes")[number % 2])
    answer = target if number < right else wrong
    return {
        "task": "toy_yes_no",
        "id": str(number),
        "inputs": f"Is {number} even?",
        "target": target,
        "prediction": answer,
        "extracted": answer,
        "correct": answer == target,
        "score": float(answer == target),
        "failure": "" if answer else "empty prediction",
    }


def write(path: Path, record: object) -> None:
    """A JSON file."""
    path.write_text(json.dumps(record), "utf-8")


def write_lines(path: Path, records: Sequence[object]) -> None:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
