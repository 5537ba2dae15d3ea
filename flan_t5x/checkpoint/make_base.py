"""`python -m flan_t5x.checkpoint.make_base MODEL_DIR FILE.npz`: a run's best step as one file.

Writes the parameters (bfloat16, half the size; training copies them to float32) and, beside
them, a card in Markdown: what the run was told, what it took and what it reached. Adapters are
merged into their base.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from flan_t5x.checkpoint.adapter import ADAPTER
from flan_t5x.checkpoint.base import save_base
from flan_t5x.checkpoint.convert import direct
from flan_t5x.checkpoint.convert.merge import open_plan
from flan_t5x.checkpoint.initial import VOCABULARY
from flan_t5x.checkpoint.leaves import named_leaves
from flan_t5x.checkpoint.reading import find_step, read_extra, read_params
from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from flan_t5x.files import whole_file
from flan_t5x.model.model import Model


def make_base(model_dir: Path, target: Path, *, command: str) -> dict[str, Any]:
    """Writes `target` and its card; returns the card.

    Args:
        model_dir: a finished run.
        target: the ``.npz`` to write; the card is the same name with ``.md``.
        command: the command line that made the run, for the card.

    Raises:
        UserError: no checkpoint, files of the run are missing, or its adapters' base is.
    """
    folder = find_step(model_dir)
    step, extra = int(folder.name), read_extra(model_dir, int(folder.name))
    params = _merged(folder) if ADAPTER in extra else read_params(model_dir, step)
    card = {"command": command, "step": step, "num_parameters": _count(params)}
    if VOCABULARY in extra:
        card[VOCABULARY] = extra[VOCABULARY]
    card |= _run_facts(model_dir, step)
    save_base(target, params, card, store_as="bfloat16")
    with whole_file(target.with_suffix(".md")) as file:
        file.write(_markdown(target, card, (model_dir / "config.gin").read_text("utf-8")))
    return card


def _merged(step: Path) -> dict[str, Any]:
    """The whole model of a step that holds adapters alone."""
    plan = open_plan(str(step))
    return direct.read_params(plan, Model(plan.config).abstract_params)


def _count(params: dict[str, Any]) -> int:
    return sum(int(leaf.size) for _, leaf in named_leaves(params))


def _run_facts(model_dir: Path, step: int) -> dict[str, Any]:
    """Score, time and versions, from the run's own files."""
    try:
        lines = (model_dir / "metrics.jsonl").read_text("utf-8").splitlines()
        versions = json.loads((model_dir / "versions.json").read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; is {model_dir} a run?") from error
    records = [json.loads(line) for line in lines]
    trained = [r for r in records if r["kind"] == "train" and r["step"] <= step]
    steps = [b["step"] - a["step"] for a, b in pairwise([{"step": 0}, *trained])]
    seconds = sum(n / r["steps_per_second"] for n, r in zip(steps, trained, strict=True))
    scores = [r for r in records if r["kind"] == "held_out" and r["step"] == step]
    tokens = sorted(r["tokens_per_second"] for r in trained)
    return {
        "training_hours": round(seconds / 3600, 2),
        "tokens_per_second": [round(tokens[len(tokens) * i // 10]) for i in (1, 5, 9)],
        "scores": {
            name: round(value, 4)
            for name, value in (scores[-1] if scores else {}).items()
            if name in ("average", "baseline") or name.startswith("task/")
        },
        "cpus": versions["cpus"],
        "packages": versions["packages"],
    }


def _markdown(target: Path, card: dict[str, Any], config: str) -> str:
    scores = card["scores"]
    tasks = [f"| {n.removeprefix('task/')} | {v} |" for n, v in scores.items() if "task/" in n]
    speeds = ", ".join(str(n) for n in card["tokens_per_second"])
    packages = ", ".join(f"{n} {v}" for n, v in card["packages"].items() if v)
    return "\n".join(
        [
            f"# {target.name}",
            "",
            f"{card['num_parameters']:,} parameters in bfloat16, {target.stat().st_size:,} bytes.",
            "",
            "| | |",
            "|---|---|",
            f"| command | `{card['command']}`, then `python -m flan_t5x.checkpoint.make_base` |",
            f"| chosen step | {card['step']} |",
            f"| time in steps | {card['training_hours']} h on {card['cpus']} CPU cores |",
            f"| tokens/s, lowest tenth, median, highest tenth | {speeds} |",
            f"| score on fresh rows of its own tasks | {scores.get('average')} |",
            f"| baseline of those | {scores.get('baseline')} |",
            f"| made with | {packages} |",
            "",
            "| task | score |",
            "|---|---|",
            *tasks,
            "",
            "The configuration (seeds included):",
            "",
            "```gin",
            config.strip(),
            "```",
            "",
        ]
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="a run's best step as one base checkpoint file")
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("target", type=Path, help="the .npz file to write")
    parser.add_argument("--made_by", required=True, help="the command that made the run")
    options = parser.parse_args()
    try:
        card = make_base(options.model_dir, options.target, command=options.made_by)
    except UserError as error:
        print(f"make_base: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(f"step {card['step']}, {card['num_parameters']:,} parameters -> {options.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
