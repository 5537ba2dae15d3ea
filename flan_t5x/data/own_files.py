"""A user's files as tasks: JSON Lines, and dumps of examples that others have rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from flan_t5x.data.definitions import Format, Source, TaskDefinition, Template
from flan_t5x.data.registry import get_task, is_task, register
from flan_t5x.data.sources.jsonl import JsonlSource
from flan_t5x.data.sources.rendered import RenderedSource


def register_jsonl(
    name: str,
    path: str | Path,
    *,
    templates: Iterable[str] = ("{inputs}",),
    format: Format = "zs",
    metrics: Iterable[str] = ("accuracy",),
    extract: str | None = None,
    group: str = "jsonl",
    max_exemplars: int = 3,
    seed: int = 0,
) -> TaskDefinition:
    """Registers a JSON Lines file as a task. The file is opened when it is first read.

    Registering the same again does no harm. For rows and splits see `sources.jsonl`.

    Args:
        name: of the task: letters, digits and underscores.
        path: the file.
        templates: input wordings; ``{inputs}`` and ``{options}`` are what they may name.
        format: one of `definitions.FORMATS`; the chain-of-thought ones need "rationale".
        metrics: names in `flan_t5x.evaluation.metrics.METRICS`; the first is the score.
        extract: name of an extractor; None takes "cot_answer" for chain of thought, else "text".
        group: for tables.
        max_exemplars: most exemplars in a few-shot prompt.
        seed: of the rendering draws.

    Raises:
        UserError: for a bad name or one that another definition has.
    """
    extract = extract or ("cot_answer" if format.endswith("_cot") else "text")
    known = get_task(name) if is_task(name) else None
    source: Source = JsonlSource(str(path))
    if known is not None and known.source == source:
        source = known.source  # keeps what it has read
    task = TaskDefinition(
        name=name,
        source=source,
        templates=tuple(Template(text) for text in templates),
        format=format,
        metrics=tuple(metrics),
        extract=extract,
        group=group,
        max_exemplars=max_exemplars,
        seed=seed,
    )
    register([task], [], origin=f"register_jsonl({str(path)!r})")
    return task


def register_rendered(
    name: str,
    path: str | Path,
    *,
    where: Mapping[str, str] | None = None,
    validation_share: float = 0.0,
    group: str = "rendered",
) -> TaskDefinition:
    """Registers a dump of rendered examples as a task: its texts pass through unchanged.

    Args:
        name: of the task: letters, digits and underscores.
        path: the dump, see `sources.rendered`.
        where: which of its rows, e.g. ``{"task_source": "CoT", "template_type": "zs_opt"}``.
        validation_share: the part that is held back for validation.
        group: for tables.

    Raises:
        UserError: for a bad name, or one that another definition has.
    """
    source = RenderedSource(path, where=where, validation_share=validation_share)
    task = TaskDefinition(
        name=name,
        source=source,
        templates=(Template("{inputs}"),),
        metrics=("rouge", "accuracy"),
        group=group,
    )
    is_task(name)  # a shipped task of that name must be known, to be refused
    register([task], [], origin=f"register_rendered({str(path)!r})")
    return get_task(name)
