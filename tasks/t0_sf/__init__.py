"""T0-SF: the 193 subsets of P3 that Flan 2022 keeps (Sanh et al. 2022, Chung et al. 2022).

Task names are ``t0_{subset}_{kind}``: zero-shot (zs) or few-shot (fs), with the answer options
shown (opt) or not (noopt), the subset's name with its signs folded to underscores. P3's prompts
are asked already; the ten wordings of ours only wrap them. Which subsets there are is in
``data/subsets.tsv``: those that Flan's public code does not mark as left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition, Template
from flan_t5x.data.option_styles import WIDE
from flan_t5x.data.sources.p3 import P3Source
from flan_t5x.errors import UserError, nearest

from .. import mixtures as _mixtures
from .. import tables

__all__ = ["KINDS", "WORDINGS", "Subset", "mixtures", "names", "subsets", "task"]

KINDS = ("zsopt", "fsopt", "zsnoopt", "fsnoopt")
_MAX_EXEMPLARS = 5
_SIGNS = re.compile(r"[^A-Za-z0-9]")

WORDINGS = (
    "{question} {options}",
    "{question} {options} Answer:",
    "Question: {question} {options} Answer:",
    "Please reply to this. {question} {options}",
    "{question} {options} What do you say?",
    "Task: {question} {options} Reply:",
    "Here is something to work on: {question} {options}",
    "{question} {options} Respond with the answer only.",
    "Exercise. {question} {options} Solution:",
    "Somebody asks: {question} {options} You reply:",
)
"""Around a prompt that is complete by itself. A sign ``{options}`` without options vanishes."""


_WRITTEN = (
    "aligned_with_common_sense",
    "answer_to_dialogue",
    "build_story",
    "explain_why",
    "generate_",
    "Generate_",
    "i_think",
    "Jeopardy",
    "rationale",
    "title_generation",
    "wiki_bio_comprehension",
    "wiki_bio_key_content",
    "wiki_bio_what_content",
    "wiki_bio_who",
    "Write_a_multi",
)
"""Parts of names of subsets whose target is written, not looked up: many would be right."""


@dataclass(frozen=True)
class Subset:
    """A line of ``subsets.tsv``.

    Attributes:
        name: as P3 has it.
        examples: published training rows.
        kind: "question"; "choice" where the prompt shows its options; "options" where they
            stand apart from the prompt.
    """

    name: str
    examples: int
    kind: str


@cache
def subsets() -> Mapping[str, Subset]:
    """The 193 subsets by folded name."""
    rows = tables.rows(__package__, "subsets.tsv")
    return {
        _SIGNS.sub("_", name): Subset(name, int(examples), kind) for name, examples, kind in rows
    }


def names() -> Iterator[str]:
    """Names of all tasks, without making any."""
    for key in subsets():
        yield from (f"t0_{key}_{kind}" for kind in KINDS)


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    key, _, kind = name.removeprefix("t0_").rpartition("_")
    if kind not in KINDS or key not in subsets():
        raise UserError(f"there is no T0-SF task {name!r}. {nearest(name, names())}".rstrip())
    shown = subsets()[key].kind == "options" and not kind.endswith("noopt")
    return TaskDefinition(
        name=name,
        source=_source(key),
        templates=_templates(shown),
        format="fs" if kind.startswith("fs") else "zs",
        group="t0_sf",
        metrics=_metrics(subsets()[key]),
        max_exemplars=_MAX_EXEMPLARS,
        option_styles=tuple(WIDE) if shown else (),
    )


def mixtures() -> Iterator[MixtureDefinition]:
    """See `flan_tasks.mixtures`."""
    return _mixtures.t0_sf(tuple(subsets()))


def _metrics(subset: Subset) -> tuple[str, ...]:
    """Accuracy, as in Flan 2022, but for what is written; overlap beside it for open answers."""
    if subset.kind != "question":
        return ("accuracy",)
    written = any(part in subset.name for part in _WRITTEN)
    return ("rouge", "accuracy") if written else ("accuracy", "f1")


@cache
def _source(key: str) -> P3Source:
    """One object for the four kinds of a subset, so that its files are opened once."""
    subset = subsets()[key]
    return P3Source(subset.name, published=subset.examples, with_options=subset.kind == "options")


@cache
def _templates(shown: bool) -> tuple[Template, ...]:
    texts = WORDINGS if shown else [text.replace(" {options}", "") for text in WORDINGS]
    return tuple(map(Template, texts))
