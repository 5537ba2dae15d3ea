"""What a task is, before SeqIO: cheap to make, picklable, free of TensorFlow and jax.

A `TaskDefinition` names where rows come from, how a row becomes text and how answers are
scored. `flan_t5x.data.seqio_tasks` turns one into a real `seqio.Task` on demand;
`flan_t5x.data.cache` renders one straight into token files. Both call the same `render`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

FORMATS = ("zs", "fs", "zs_cot", "fs_cot")
Format = Literal["zs", "fs", "zs_cot", "fs_cot"]


class RowError(ValueError):
    """A row that cannot be used. The first argument is a short reason, counted in the report.

    Example: ``raise RowError("missing column", "line 17 has 2 columns, 3 expected")``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Example:
    """One question with its answer, not yet rendered.

    Attributes:
        id: unique within (source, split); draws of template and exemplars depend on it.
        fields: what templates may name between braces, e.g. ``{"question": ...}``.
        answer: the exact answer text.
        options: answer options in order, where the task shows some (else empty).
        rationale: a written chain of thought, where there is one (else "").
        valid_answers: what a uniformly random guesser would draw from; empty where the
            space is open, in which case the random baseline counts as 0.
        references: further texts that are as right as `answer`, where there are several.
        group: what several rows belong to that are only right together (else "").
    """

    id: str
    fields: Mapping[str, str]
    answer: str
    options: tuple[str, ...] = ()
    rationale: str = ""
    valid_answers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row that the source could not parse: counted by reason, listed, never silently dropped."""

    id: str
    reason: str
    detail: str = ""


@runtime_checkable
class Source(Protocol):
    """Rows by split, readable from any position, so that work can be divided.

    Implementations must be picklable and cheap to construct: files are opened on first use.
    """

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits, e.g. ``("train", "validation", "test")``."""
        ...

    def num_examples(self, split: str) -> int:
        """How many rows the split has (good and bad). Raises UserError where a file is missing."""
        ...

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in source order, each an Example or a BadRow."""
        ...

    def fingerprint(self) -> str:
        """Hex digest that changes whenever any row could change."""
        ...


@dataclass(frozen=True)
class Template:
    """One wording. Braces name fields, or {options}, {answer}, {rationale}, {exemplars}.

    Attributes:
        inputs: e.g. ``"{passage} Which colour is meant? {options}"``. In few-shot formats the
            exemplars stand where ``{exemplars}`` is, or before everything where it is absent.
        targets: usually ``"{answer}"``. In chain-of-thought formats the renderer writes the
            rationale and a connector before it.
        shot: how an exemplar's input is written, where it differs from `inputs` (a definition
            stands once, its exemplars follow); empty means like `inputs`.
    """

    inputs: str
    targets: str = "{answer}"
    shot: str = ""


@dataclass(frozen=True)
class FixedPrompt:
    """A benchmark's prompt: the same words for every row, nothing is drawn.

    A prompt is the description, the first `shots` exemplars in their published order, and the
    question, with `separator` between them. See `flan_t5x.data.fixed_prompt` for what happens
    to one that is too long.

    Attributes:
        question: pattern of the query, e.g. ``"Q: {question}\nA:"``.
        shot: pattern of an exemplar, e.g. ``"Q: {question}\nA: {answer}"``.
        description: pattern of what stands first; empty for nothing. It, `question` and `trigger`
            may name fields of the first exemplar that the row lacks: words of a published prompt.
        trigger: pattern of what follows the query's question: what asks for reasoning.
        shots: exemplars; fewer where the published prompt has fewer.
        separator: between description, exemplars and query.
        cut: the field of the query that may be shortened.
        cut_at: which end of it goes first: "front" where the question stands last in it.
    """

    question: str
    shot: str = ""
    description: str = ""
    trigger: str = ""
    shots: int = 0
    separator: str = "\n\n"
    cut: str = "question"
    cut_at: Literal["front", "back"] = "front"


@dataclass(frozen=True)
class TaskDefinition:
    """One trainable or scorable task: a source in one prompt format.

    Attributes:
        name: e.g. ``mini_count_animals_zs``: letters, digits and underscores.
        source: where rows come from.
        templates: wordings; an example draws one by (name, example id, seed).
        format: zero- or few-shot, with or without chain of thought.
        metrics: names in `flan_t5x.evaluation.metrics.METRICS`; the first is the score.
        extract: name in `flan_t5x.evaluation.extraction.EXTRACTORS`, applied to predictions
            and targets before the metric ("text" for plain tasks, "cot_answer" for rationales).
        group: the submixture or cluster it belongs to, for tables.
        max_exemplars: few-shot draws 1..max_exemplars exemplars, within the token budget.
        option_styles: names in `flan_t5x.data.formats.OPTION_STYLES` to draw from; empty: options
            are not shown, and the answer's text is the target.
        seed: seed of the rendering draws.
        prompt: a benchmark's own prompt; templates, option styles and draws then play no part.
        evaluation_only: training on it is refused, alone or in a mixture.
    """

    name: str
    source: Source
    templates: tuple[Template, ...]
    format: Format = "zs"
    metrics: tuple[str, ...] = ("accuracy",)
    extract: str = "text"
    group: str = ""
    max_exemplars: int = 3
    option_styles: tuple[str, ...] = ("dash", "letter_paren", "number_dot", "comma_or")
    seed: int = 0
    prompt: FixedPrompt | None = None
    evaluation_only: bool = False


@dataclass(frozen=True)
class MixturePart:
    """A task or mixture inside a mixture.

    Attributes:
        name: task or mixture name.
        rate: a number; or None for "number of training examples, at most `cap`".
        cap: the most that the example count may weigh (a cap on weight, data is not truncated).
    """

    name: str
    rate: float | None = None
    cap: int | None = None


@dataclass(frozen=True)
class MixtureDefinition:
    """Tasks or mixtures with rates. A nested mixture's tasks share its rate by their own rates.

    Attributes:
        name: letters, digits and underscores.
        parts: what is mixed.
        about: one line for tables.
    """

    name: str
    parts: tuple[MixturePart, ...]
    about: str = ""
    evaluation_only: bool = field(default=False)


@dataclass(frozen=True)
class AggregatePart:
    """A task's score, or another aggregate, inside an aggregate.

    Attributes:
        name: of a task or an aggregate.
        chance: the score of guessing, in [0, 1); None takes the score as it is, a number takes
            (score - chance) / (1 - chance).
    """

    name: str
    chance: float | None = None


@dataclass(frozen=True)
class AggregateDefinition:
    """One figure made of several scores.

    Attributes:
        name: letters, digits and underscores.
        parts: what it is made of; where one is missing, it is undefined.
        reduce: "mean" (unweighted) or "max" of the parts.
        about: one line for tables.
    """

    name: str
    parts: tuple[AggregatePart, ...]
    reduce: Literal["mean", "max"] = "mean"
    about: str = ""
