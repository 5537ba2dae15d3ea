"""Prompt templates: made ready once, checked by `lint_templates`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

from flan_t5x.data.definitions import FORMATS, Example, RowError, TaskDefinition, Template
from flan_t5x.data.option_styles import OPTION_STYLES
from flan_t5x.data.vocabulary import Vocabulary

RESERVED = frozenset({"options", "answer", "exemplars", "rationale"})
_EXEMPLARS = re.compile(r"^\{exemplars\} ?| ?\{exemplars\}")
_OPTIONS = re.compile(r"^\{options\} ?| ?\{options\}")
_NOT_A_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template with the variants that formats need, as `str.format_map` patterns.

    Attributes:
        inputs: as written, with ``{exemplars}`` where it stands.
        alone: the inputs without exemplars.
        shot: an exemplar's input.
        targets: the target pattern.
        holds_exemplars: whether the template says where exemplars stand.
        holds_options: whether it shows the options; without them the answer is its text.
        open_target: whether the target is more than the answer and fixed words: an inverted
            template asks for one of countless texts.
    """

    inputs: str
    alone: str
    shot: str
    targets: str
    holds_exemplars: bool
    holds_options: bool
    open_target: bool

    def without_options(self) -> CompiledTemplate:
        """For a row that has no options: nothing is left where the block would stand."""
        return CompiledTemplate(
            _OPTIONS.sub("", self.inputs),
            _OPTIONS.sub("", self.alone),
            _OPTIONS.sub("", self.shot),
            self.targets,
            self.holds_exemplars,
            False,
            self.open_target,
        )


@lru_cache(maxsize=65536)
def compiled(template: Template, has_options: bool) -> CompiledTemplate:
    """The template made ready, for rows with or without options."""
    alone = _EXEMPLARS.sub("", template.inputs)
    made = CompiledTemplate(
        inputs=template.inputs,
        alone=alone,
        shot=template.shot or alone,
        targets=template.targets,
        holds_exemplars="{exemplars}" in template.inputs,
        holds_options="{options}" in template.inputs,
        open_target=set(placeholders(template.targets)) != {"answer"},
    )
    return made if has_options else made.without_options()


def check_usable(task: TaskDefinition, example: Example) -> None:
    """What every row must have, whichever template it draws.

    Raises:
        RowError: "empty answer", "answer not among options" or "rationale missing".
    """
    if not example.answer.strip():
        raise RowError("empty answer", f"example {example.id!r}")
    if example.options and example.answer not in example.options:
        raise RowError(
            "answer not among options",
            f"example {example.id!r}: {example.answer!r} is not in {list(example.options)}",
        )
    # A fixed prompt's target is the bare answer: its queries need no rationale.
    asked = task.format.endswith("_cot") and task.prompt is None
    if asked and not example.rationale.strip():
        raise RowError("rationale missing", f"example {example.id!r} in format {task.format!r}")


def lint_templates(
    task: TaskDefinition,
    *,
    fields: Iterable[str] | None = None,
    vocabulary: Vocabulary | None = None,
) -> list[str]:
    """Problems of a task's templates, each a sentence; an empty list where there are none.

    Args:
        task: the task whose templates are checked.
        fields: the field names that rows have; None reads them off the source's first row.
        vocabulary: where given, characters of the wording that it cannot write are reported.

    Raises:
        UserError: where the source must be read and cannot be.
    """
    known = RESERVED | set(_first_fields(task) if fields is None else fields)
    problems = []
    if not task.templates:
        problems.append("there are no templates")
    if task.format not in FORMATS:
        problems.append(f"format {task.format!r} is not one of {', '.join(FORMATS)}")
    for name in task.option_styles:
        if name not in OPTION_STYLES:
            problems.append(f"option style {name!r} does not exist")
    first_seen: dict[tuple[str, ...], int] = {}
    for i, template in enumerate(task.templates):
        parts = (template.inputs, template.targets, template.shot)
        earlier = first_seen.setdefault(tuple(map(folded, parts)), i)
        if earlier != i:
            problems.append(f"template {i} repeats template {earlier}")
        for part in ("inputs", "targets", "shot"):
            text = getattr(template, part)
            found = _lint_text(text, known, vocabulary) if text else []
            problems += [f"template {i}, {part}: {problem}" for problem in found]
        if not template.inputs:
            problems.append(f"template {i}, inputs: is empty")
        if "{" not in template.targets:
            problems.append(f"template {i}, targets: names no field, so all targets are equal")
        for part in ("targets", "shot"):
            if "{exemplars}" in getattr(template, part):
                problems.append(f"template {i}, {part}: exemplars cannot stand here")
    return problems


def folded(text: str) -> str:
    """The text without case, punctuation and spaces: what two wordings must not share."""
    return _NOT_A_LETTER.sub("", text.casefold())


def placeholders(text: str) -> list[str]:
    """Names between braces, in order. Raises ValueError for unbalanced braces."""
    return [name for _, name, _, _ in Formatter().parse(text) if name is not None]


def _lint_text(text: str, known: Iterable[str], vocabulary: Vocabulary | None) -> list[str]:
    """Problems of one pattern."""
    problems = []
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        return [f"braces do not match ({error})"]
    for _, name, spec, conversion in pieces:
        if name is not None and name not in known:
            names = ", ".join(sorted(known))
            problems.append(f"{{{name}}} is not a field; there are {names}")
        if spec or conversion:
            problems.append(f"{{{name}}} has a format specification")
    wording = "".join(literal for literal, _, _, _ in pieces)
    if text != text.strip():
        problems.append("begins or ends with a space")
    if "  " in text:
        problems.append("has two spaces in a row")
    for characters, called in (("\n", "newline"), ("\t", "tab"), ("{}", "brace")):
        if set(characters) & set(wording):
            problems.append(f"has a {called}, which the T5 vocabulary cannot write")
    if vocabulary is not None and vocabulary.unk_id in vocabulary.encode(wording):
        bad = sorted({c for c in wording if vocabulary.unk_id in vocabulary.encode(c)})
        problems.append(f"has characters unknown to the vocabulary: {' '.join(bad)}")
    return problems


def _first_fields(task: TaskDefinition) -> list[str]:
    """Field names of the first row that could be parsed."""
    for split in task.source.splits:
        for row in task.source.read(split, 0, min(task.source.num_examples(split), 100)):
            if isinstance(row, Example):
                return list(row.fields)
    return []
