"""The model card of an exported model: what it is, how it was made, what it scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flan_t5x.checkpoint.convert.hub import HUB
from flan_t5x.checkpoint.convert.plan import Plan
from flan_t5x.errors import UserError


def model_card(plan: Plan, *, name: str, adapter: bool = False) -> str:
    """Markdown with Hugging Face's front matter; the run's own files are quoted, not retold.

    Args:
        plan: what is exported; its run, where it has one, adds recipe, mixture and scores.
        name: the model's name.
        adapter: whether the folder holds adapters alone, for peft.

    Raises:
        UserError: a file of the run is damaged.
    """
    lines = [
        "---",
        *(_of_base(plan) if adapter else ["library_name: transformers"]),
        "pipeline_tag: text2text-generation",
        "tags: [t5, instruction-tuning, flan]",
        "---",
        "",
        f"# {name}",
        "",
        *_about(plan),
        *_use(adapter),
    ]
    run = plan.source.run
    if run is not None:
        lines += [*_scores(run), *_quoted(run / "mixture.txt", "Mixture", "")]
        lines += _quoted(run / "config.gin", "Recipe", "gin")
    return "\n".join(lines).rstrip() + "\n"


def _about(plan: Plan) -> Iterator[str]:
    c, source = plan.config, plan.source
    head = "the embedding, scaled" if c.logits_via_embedding else "separate"
    yield "| | |"
    yield "|---|---|"
    yield f"| parameters | {c.num_parameters():,} |"
    widths = f"{c.emb_dim}, {c.num_heads} x {c.head_dim}, {c.mlp_dim}"
    yield f"| width, heads x head width, MLP | {widths} |"
    yield f"| layers, encoder and decoder | {c.num_encoder_layers}, {c.num_decoder_layers} |"
    yield f"| MLP activations | {' x '.join(c.mlp_activations)} |"
    yield f"| vocabulary | {c.vocab_size:,} rows |"
    yield f"| head | {head} |"
    if source.step is not None:
        yield f"| step | {source.step:,} |"
    if source.adapter is not None:
        lora = source.adapter.config
        yield f"| base | {source.adapter.base} |"
        yield f"| LoRA | rank {lora.rank}, alpha {lora.alpha:g}, on {', '.join(lora.targets)} |"
    yield "| converted by | flan_t5x |"
    yield ""


def _of_base(plan: Plan) -> list[str]:
    assert plan.source.adapter is not None
    return [f"base_model: {plan.source.adapter.base.removeprefix(HUB)}", "library_name: peft"]


def _use(adapter: bool) -> Iterator[str]:
    model = '"path/to/the/base"' if adapter else '"path/to/this/folder"'
    yield "```python"
    if adapter:
        yield "from peft import PeftModel"
    yield "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer"
    yield ""
    yield f"model = AutoModelForSeq2SeqLM.from_pretrained({model})"
    yield f"tokenizer = AutoTokenizer.from_pretrained({model})"
    if adapter:
        yield 'model = PeftModel.from_pretrained(model, "path/to/this/folder")'
    yield "```"
    yield ""


def _scores(run: Path) -> Iterator[str]:
    best, final = _json(run / "best.json"), _json(run / "final.json")
    if best is not None:
        yield "## Held-out scores"
        yield ""
        yield (
            f"Step {best['step']} was chosen by `{best['metric']}` = {best['value']:.4f} "
            "(validation splits; shares between 0 and 1)."
        )
        yield ""
        yield from _table(["task", "score"], [[n, _number(v)] for n, v in best["values"].items()])
    for label, scored in (final or {}).get("sets", {}).items():
        yield f"### {label}"
        yield ""
        yield (
            f"Average {_number(scored['average'])}, baseline {_number(scored['baseline'])} "
            "(the better of the best constant and a random valid answer)."
        )
        yield ""
        yield from _table(
            ["task", "score", "baseline", "examples"],
            [
                [n, _number(t["score"]), _number(t["baseline"]), str(t["examples"])]
                for n, t in scored["tasks"].items()
            ],
        )


def _table(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _quoted(path: Path, title: str, language: str) -> list[str]:
    if not path.is_file():
        return []
    return [f"## {title}", "", f"```{language}", path.read_text("utf-8").strip(), "```", ""]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}); move it away to export without it"
        ) from error
