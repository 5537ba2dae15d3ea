"""Prompts with predictions to look at: the data that the page's program shows, and its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import node, section
from flan_t5x.report.answers import Sample
from flan_t5x.report.eval_files import Evaluation


def samples_section(data: dict[str, Any]) -> Element | None:
    """Fields to choose by, and where the chosen ones appear; None where there are no samples."""
    if not data["samples"]:
        return None
    search = node(
        "search",
        node(
            "input",
            id="query",
            type="search",
            placeholder="Search prompts and predictions",
            aria_label="Search prompts and predictions",
            autocomplete="off",
            spellcheck="false",
        ),
        node("label", "Task ", node("select", id="task")),
        node("div", id="outcomes", class_="chips", role="group", aria_label="Outcome"),
        node("p", id="count", role="status", aria_live="polite"),
    )
    return section(
        "Samples",
        "samples",
        search,
        node("div", id="shown"),
        node("button", "Show more", id="more", type="button", hidden=True),
        node("noscript", node("p", "The samples need JavaScript; nothing else on this page does.")),
    )


def samples_data(evaluations: Sequence[Evaluation], *, first: int) -> dict[str, Any]:
    """Every kept prompt with the answers of all evaluations that have it.

    Returns:
        "evaluations": labels; "first": number of the first one; "samples": task, id, inputs,
        target and "answers", each with its evaluation's place, prediction, extracted, outcome and
        what voted.
    """
    prompts: dict[tuple[str, str], dict[str, Any]] = {}
    for place, one in enumerate(evaluations):
        for task, answers in one.answers.tasks.items() if one.answers else ():
            for id, sample in answers.samples.items():
                empty = {
                    "task": task,
                    "id": id,
                    "inputs": sample.inputs,
                    "target": sample.target,
                    "answers": [],
                }
                prompt = prompts.setdefault((task, id), empty)
                prompt["answers"].append(_answer(place, sample))
    return {
        "evaluations": [one.label for one in evaluations],
        "first": first,
        "samples": list(prompts.values()),
    }


def _answer(place: int, sample: Sample) -> dict[str, Any]:
    return {
        "evaluation": place,
        "prediction": sample.prediction,
        "extracted": sample.extracted,
        "outcome": sample.outcome,
        "votes": list(sample.votes),
    }
