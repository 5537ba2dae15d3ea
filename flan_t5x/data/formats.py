"""From a row to the text that a model reads and writes, in four prompt formats.

`render` is the only renderer: the token cache, the SeqIO tasks and the previews call it.
It is a pure function of (task name, example id, task seed) and the exemplar pool, so the
result depends neither on the order of rows nor on the number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from flan_t5x.data.definitions import Example, RowError, TaskDefinition
from flan_t5x.data.draws import Draws
from flan_t5x.data.fewshot import SHOT_STYLES, ExemplarPool, ShotStyle
from flan_t5x.data.fixed_prompt import fits, fitted_prompt
from flan_t5x.data.option_styles import BASE as BASE_STYLES
from flan_t5x.data.options import OPTION_STYLES, OptionLayout, OptionStyle
from flan_t5x.data.templates import CompiledTemplate, check_usable, compiled, lint_templates
from flan_t5x.data.vocabulary import Vocabulary

__all__ = [
    "BASE_STYLES",
    "COT_STYLES",
    "NO_EXEMPLAR_FITS",
    "OPTION_STYLES",
    "RENDERER_VERSION",
    "SHOT_STYLES",
    "CotStyle",
    "ExemplarPool",
    "OptionStyle",
    "Rendered",
    "fixed_texts",
    "lint_templates",
    "render",
]

RENDERER_VERSION = 1
"""Raise whenever any row's text could change: caches made before are then rebuilt."""

NO_EXEMPLAR_FITS = "no exemplar fits"
"""Reason under which a caller counts few-shot rows that were rendered zero-shot."""

_SPARE_EXEMPLARS = 4  # drawn beyond what is needed: some may repeat the query or one another
_OPEN_ENDS = (":", "=", ">")


class CotStyle(NamedTuple):
    """What asks for reasoning, and the words that then lead to the answer."""

    trigger: str
    connector: str


COT_STYLES: tuple[CotStyle, ...] = (
    CotStyle("Work through it step by step, then answer.", "So the answer is"),
    CotStyle("Explain your thinking before you answer.", "Therefore the answer is"),
    CotStyle("Let us reason carefully.", "Hence the answer is"),
    CotStyle("Show the reasoning first.", "The answer is"),
    CotStyle("Give your reasons, and the answer after them.", "Thus the answer is"),
    CotStyle("Break this into small steps.", "In the end, the answer is"),
    CotStyle("Write down each step of your thinking.", "Final answer:"),
    CotStyle("Think aloud, and finish with the result.", "Answer:"),
    CotStyle("Why? Say that first, the answer last.", "That is why the answer is"),
    CotStyle("Take it slowly, one thought after another.", "This means the answer is"),
)
"""Drawn per prompt as a pair, so that a prompt tells which connector its target will use.

Each connector ends in a cue that `flan_t5x.evaluation.extraction.cot_answer` splits at."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One prompt and its target.

    Attributes:
        inputs: what the model reads.
        targets: what it should write, never empty.
        template: index of the template that was drawn.
        format: the format that came out; "zs" or "zs_cot" in a few-shot task means that no
            exemplar fitted (`NO_EXEMPLAR_FITS`).
        exemplar_ids: ids of the exemplars shown, in order.
        option_style: name of the option style; empty where no options are shown.
        valid_answers: the row's possible answers as they would be written in this prompt
            (markers, where the target is a marker; without a rationale); empty for an open
            answer space.
        references: the row's other right answers, likewise.
        left_out: exemplars of a fixed prompt that had no room.
        words_cut: words that a fixed prompt's question lost.
    """

    inputs: str
    targets: str
    template: int
    format: str
    exemplar_ids: tuple[str, ...]
    option_style: str
    valid_answers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    left_out: int = field(default=0, repr=False)  # the repr is the text, whose version a test pins
    words_cut: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True)
class _Wording:
    """All that the query and its exemplars share. Without a layout no options are shown."""

    task: TaskDefinition
    index: int
    layout: OptionLayout | None
    cot: CotStyle | None

    @classmethod
    def draw(cls, task: TaskDefinition, draws: Draws) -> _Wording:
        index = draws.integer(len(task.templates))
        layout = OptionLayout.draw(task.option_styles, draws) if task.option_styles else None
        cot = draws.choice(COT_STYLES) if task.format.endswith("_cot") else None
        return cls(task, index, layout, cot)

    def template(self, example: Example) -> CompiledTemplate:
        shown = self.layout is not None and bool(example.options)
        return compiled(self.task.templates[self.index], shown)

    def fill(self, pattern: str, example: Example, **more: str) -> str:
        """The pattern with the row's fields. Raises RowError for one that the row lacks."""
        options = ""
        if self.layout is not None and "{options}" in pattern:
            options = self.layout.block(example.options)
        if "{rationale}" in pattern and not example.rationale.strip():
            raise RowError("rationale missing", f"example {example.id!r}, template {self.index}")
        values: Mapping[str, str] = {
            "rationale": example.rationale.strip(),
            **example.fields,
            "answer": example.answer,
            "options": options,
            **more,
        }
        try:
            return pattern.format_map(values).strip()
        except KeyError as error:
            raise RowError(
                "missing field",
                f"template {self.index} names {error.args[0]!r}, "
                f"example {example.id!r} has {', '.join(example.fields) or 'no fields'}",
            ) from None

    def answer(self, example: Example, text: str) -> str:
        """An answer as the target pattern writes it. Raises RowError "empty target"."""
        template = self.template(example)
        if self.layout is not None and template.holds_options and text in example.options:
            text = self.layout.target(example.options, text)
        written = text.strip()
        if template.targets != "{answer}":
            written = self.fill(template.targets, example, answer=written)
        if not written:
            raise RowError("empty target", f"example {example.id!r}")
        return written

    def target(self, example: Example) -> str:
        """The whole target: the answer, after rationale and connector in cot formats."""
        answer = self.answer(example, example.answer)
        if self.cot is None:
            return answer
        rationale = example.rationale.strip()
        if rationale[-1] not in ".!?":
            rationale += "."
        stop = "" if answer.endswith(".") else "."
        return f"{rationale} {self.cot.connector} {answer}{stop}"

    def valid_answers(self, example: Example) -> tuple[str, ...]:
        """None where the target holds more than the answer: such a space is open."""
        if self.template(example).open_target:
            return ()
        return tuple(self.answer(example, v) for v in example.valid_answers or example.options)

    def references(self, example: Example) -> tuple[str, ...]:
        """None where the target holds more than the answer."""
        if self.template(example).open_target:
            return ()
        return tuple(self.answer(example, text) for text in example.references if text.strip())


def render(
    task: TaskDefinition,
    example: Example,
    *,
    exemplars: ExemplarPool | None,
    vocabulary: Vocabulary,
    budget: int,
) -> Rendered:
    """The prompt and the target of one row.

    Args:
        task: gives templates, format, option styles and the seed.
        example: the row.
        exemplars: `ExemplarPool.for_task(task)`; None in zero-shot formats.
        vocabulary: counts tokens, for the budget of few-shot prompts.
        budget: tokens that the inputs may take, the end-of-sequence token included. Exemplars
            that do not fit are left out, the longest first. A query that is too long by itself
            is returned whole: truncating (and counting that) is the caller's.

    Raises:
        RowError: for a row that cannot be used; reasons: "empty answer", "empty target",
            "empty inputs", "answer not among options", "rationale missing", "missing field".
    """
    check_usable(task, example)
    if task.prompt is not None:
        return _render_fixed(task, example, exemplars, vocabulary=vocabulary, budget=budget)
    draws = Draws(task.name, example.id, task.seed)
    wording = _Wording.draw(task, draws)
    template = wording.template(example)
    targets = wording.target(example)
    inputs, written_as = "", str(task.format)
    ids: tuple[str, ...] = ()
    if task.format.startswith("fs"):
        if exemplars is None:
            raise ValueError(f"task {task.name!r} is few-shot: render needs an exemplar pool")
        prompt = _few_shot(wording, example, exemplars, draws, vocabulary=vocabulary, budget=budget)
        if prompt is None:
            written_as = "zs_cot" if wording.cot else "zs"
        else:
            inputs, ids = prompt
    if not ids:
        inputs = wording.fill(template.alone, example)
        if not inputs:
            raise RowError("empty inputs", f"example {example.id!r}")
        if wording.cot:
            inputs = _with_trigger(inputs, wording.cot.trigger)
    return Rendered(
        inputs=inputs,
        targets=targets,
        template=wording.index,
        format=written_as,
        exemplar_ids=ids,
        option_style=wording.layout.name if wording.layout and template.holds_options else "",
        valid_answers=wording.valid_answers(example),
        references=wording.references(example),
    )


def _render_fixed(
    task: TaskDefinition,
    example: Example,
    pool: ExemplarPool | None,
    *,
    vocabulary: Vocabulary,
    budget: int,
) -> Rendered:
    """A benchmark's prompt (`fixed_prompt`); its target is the bare answer."""
    assert task.prompt is not None
    fitted = fitted_prompt(
        task.prompt,
        example,
        pool.examples if pool is not None else (),
        vocabulary=vocabulary,
        budget=budget,
    )
    return Rendered(
        inputs=fitted.inputs,
        targets=example.answer.strip(),
        template=0,
        format=task.format,
        exemplar_ids=fitted.exemplar_ids,
        option_style="",
        valid_answers=example.valid_answers or example.options,
        references=example.references,
        left_out=fitted.left_out,
        words_cut=fitted.words_cut,
    )


def _with_trigger(inputs: str, trigger: str) -> str:
    """The trigger after the question, or before it where the question ends in a cue ("Answer:")."""
    if inputs.endswith(_OPEN_ENDS):
        return f"{trigger} {inputs}"
    return f"{inputs} {trigger}"


class _Shot(NamedTuple):
    id: str
    text: str


def _few_shot(
    wording: _Wording,
    example: Example,
    pool: ExemplarPool,
    draws: Draws,
    *,
    vocabulary: Vocabulary,
    budget: int,
) -> tuple[str, tuple[str, ...]] | None:
    """The few-shot inputs and the exemplars' ids; None where no exemplar fits."""
    style = draws.choice(SHOT_STYLES)
    wanted = 1 + draws.integer(wording.task.max_exemplars)
    candidates = draws.sample(pool.examples, min(len(pool), wanted + _SPARE_EXEMPLARS))
    shots = _draw_shots(wording, example, candidates, style, wanted=wanted)
    while shots:
        inputs = _assemble(wording, example, shots, style)
        if fits(inputs, vocabulary, budget):
            return inputs, tuple(shot.id for shot in shots)
        shots.remove(max(shots, key=lambda shot: len(shot.text)))
    return None


def _draw_shots(
    wording: _Wording,
    example: Example,
    candidates: list[Example],
    style: ShotStyle,
    *,
    wanted: int,
) -> list[_Shot]:
    """Exemplars as text; none has the id or the text of the query, no two are the same.

    Where the target is open, as in "write a negative review", the same question with another
    target is another exemplar.
    """

    def text_of(row: Example) -> tuple[str, str]:
        template = wording.template(row)
        question = wording.fill(template.shot, row)
        return question, wording.target(row) if template.open_target else ""

    seen = {text_of(example)}
    shots: list[_Shot] = []
    for candidate in candidates:
        if len(shots) == wanted:
            break
        if candidate.id == example.id:
            continue
        try:
            written, target = text_of(candidate), wording.target(candidate)
        except RowError:  # e.g. a field that this template names is missing in this row
            continue
        if written in seen:
            continue
        seen.add(written)
        lead = "" if wording.template(candidate).holds_exemplars else style.question
        text = f"{_asked(written[0], lead, style.answer)} {target}"
        shots.append(_Shot(candidate.id, text))
    return shots


def _asked(question: str, lead: str, answer: str) -> str:
    """A question between the words of a style; one that ends in a cue of its own keeps it."""
    if lead:
        question = f"{lead} {question}"
    return question if question.endswith(_OPEN_ENDS) else f"{question} {answer}"


def _assemble(wording: _Wording, example: Example, shots: list[_Shot], style: ShotStyle) -> str:
    """Exemplars and query as one prompt."""
    template = wording.template(example)
    texts = [shot.text for shot in shots]
    if template.holds_exemplars:
        # The template's own words follow the exemplars, so the last one is closed as well.
        block = style.separator.join([*texts, ""]).rstrip()
        inputs = _asked(wording.fill(template.inputs, example, exemplars=block), "", style.answer)
    else:
        query = _asked(wording.fill(template.alone, example), style.question, style.answer)
        inputs = style.separator.join([*texts, query])
    return f"{wording.cot.trigger} {inputs}" if wording.cot else inputs


@lru_cache(maxsize=2)
def fixed_texts(option_styles: tuple[str, ...] = tuple(BASE_STYLES)) -> tuple[str, ...]:
    """All words and signs that the renderer adds by itself, for making vocabularies.

    Args:
        option_styles: names of the option styles that are used.
    """
    texts: list[str] = []
    for name in option_styles:
        style = OPTION_STYLES[name]
        options = ("one", "two", "three", "four", "five", "six")
        for start in style.starts:
            for end in style.ends:
                texts.append(OptionLayout(name, start, end).block(options))
    texts += [f"{s.question} one {s.answer} two{s.separator}three".strip() for s in SHOT_STYLES]
    texts += [f"{c.trigger} {c.connector} one." for c in COT_STYLES]
    return tuple(texts)
