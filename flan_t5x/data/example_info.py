"""What scoring and provenance need of an example beside its tokens, as the token cache keeps it."""

from __future__ import annotations

from typing import Any

from flan_t5x.data.definitions import Example
from flan_t5x.data.formats import Rendered


def example_info(row: Example, rendered: Rendered) -> dict[str, Any]:
    """One rendered row as plain values.

    Returns:
        "id", "inputs", "targets", "answer", "valid_answers", "template", "format", "exemplar_ids",
        "option_style"; where there is something to say also "classes" (what the markers in
        valid_answers stand for), "references", "group", "left_out" and "words_cut".
    """
    more: dict[str, Any] = {}
    classes = row.valid_answers or row.options
    if rendered.valid_answers and rendered.valid_answers != classes:
        more["classes"] = list(classes)
    if rendered.references:
        more["references"] = list(rendered.references)
    if row.group:
        more["group"] = row.group
    fitting = {"left_out": rendered.left_out, "words_cut": rendered.words_cut}
    more |= {name: count for name, count in fitting.items() if count}
    return {
        "id": row.id,
        "inputs": rendered.inputs,
        "targets": rendered.targets,
        "answer": row.answer,
        "valid_answers": list(rendered.valid_answers),
        "template": rendered.template,
        "format": rendered.format,
        "exemplar_ids": list(rendered.exemplar_ids),
        "option_style": rendered.option_style,
        **more,
    }
