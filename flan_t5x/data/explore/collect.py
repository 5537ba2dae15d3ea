"""What the page of `flan-t5x tasks explore` shows, as plain data.

The result's keys, short since they are repeated thousands of times:

    made        {"vocabulary", "seed", "inputs_length"}
    mixtures    [{"name", "about", "parts", "rows"}]; a part is {"name", "rate", "cap", "share"},
                a row [index of the task, examples, cap, rate, share, where the count comes from]
    tasks       [{"name", "group", "format", "metrics", "extract", "options", "templates",
                "examples", "missing"}]; templates are indices
    templates   [[inputs, targets, shot]], each once
    pieces      {token id: piece of text}

An example is {"id", "rejected"}, or {"id", "format", "template", "style", "shots", "inputs",
"targets", "input_ids", "target_ids", "more"}: texts and ids up to a limit, and how many tokens
there are beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flan_t5x.data import registry
from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition, Template
from flan_t5x.data.preview import Preview, preview
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError

MOST_CHARACTERS = 4000
MOST_TOKENS = 1000
"""Of one text. A page of 2,000 tasks then stays below some 20 MB."""

Progress = Callable[[int, int, str], None]


def collect(
    names: Sequence[str],
    vocabulary: Vocabulary,
    *,
    num: int = 2,
    seed: int = 0,
    inputs_length: int = 512,
    progress: Progress = lambda done, total, current: None,
) -> dict[str, Any]:
    """Everything that the page shows of some mixtures and of those inside them.

    Tasks whose data is missing stand there with their templates, their published counts, and
    the way to get the data.

    Args:
        names: mixtures or tasks.
        vocabulary: turns texts into tokens.
        num: rendered examples of each task; 0 leaves the data alone.
        seed: which rows.
        inputs_length: tokens that few-shot prompts may take.
        progress: called with (tasks done, tasks in all, task name).

    Raises:
        UserError: an unknown name, or a mixture that cannot be used.
    """
    page = _Page(vocabulary, num, seed, inputs_length)
    mixtures = [page.mixture(mixture) for mixture in _with_nested(names)]
    total = len(page.tasks)
    tasks = []
    for done, name in enumerate(page.tasks):
        progress(done, total, name)
        tasks.append(page.task(registry.get_task(name)))
    return {
        "made": {
            "vocabulary": vocabulary.model_path.rsplit("/", 1)[-1],
            "seed": seed,
            "inputs_length": inputs_length,
        },
        "mixtures": mixtures,
        "tasks": tasks,
        "templates": [[t.inputs, t.targets, t.shot] for t in page.templates],
        "pieces": page.pieces(),
    }


def _with_nested(names: Iterable[str]) -> list[MixtureDefinition]:
    """The mixtures, each followed by those inside it, each once."""
    found: dict[str, MixtureDefinition] = {}

    def visit(mixture: MixtureDefinition) -> None:
        if mixture.name in found:
            return
        found[mixture.name] = mixture
        for part in mixture.parts:
            if part.name != mixture.name:  # a task alone
                inner = registry.get_mixture(part.name)
                if [p.name for p in inner.parts] != [part.name]:
                    visit(inner)

    for name in names:
        visit(registry.get_mixture(name))
    return list(found.values())


class _Page:
    """Gathers tasks, templates and tokens, each once."""

    def __init__(self, vocabulary: Vocabulary, num: int, seed: int, inputs_length: int) -> None:
        self.vocabulary = vocabulary
        self.num = num
        self.seed = seed
        self.inputs_length = inputs_length
        self.tasks: dict[str, int] = {}
        self.templates: dict[Template, int] = {}
        self._ids: set[int] = set()

    def mixture(self, mixture: MixtureDefinition) -> dict[str, Any]:
        """A mixture with its table of tasks."""
        rows = registry.describe_mixture(mixture.name, published_counts=True)
        shares: dict[str, float] = {}
        for row in rows:
            shares[row.part] = shares.get(row.part, 0.0) + row.share
        return {
            "name": mixture.name,
            "about": mixture.about,
            "parts": [
                {
                    "name": part.name,
                    "rate": part.rate,
                    "cap": part.cap,
                    "share": shares.get(part.name, 0.0),
                }
                for part in mixture.parts
            ],
            "rows": [
                [
                    self.tasks.setdefault(row.task, len(self.tasks)),
                    row.examples,
                    row.cap,
                    row.rate,
                    row.share,
                    row.counted,
                    row.part if row.part != row.task else "",
                ]
                for row in rows
            ],
        }

    def task(self, task: TaskDefinition) -> dict[str, Any]:
        """A task with its templates and some examples."""
        examples, missing = [], ""
        if self.num:
            try:
                examples = preview(
                    task, self.vocabulary, self.num, self.seed, budget=self.inputs_length
                )
            except UserError as error:
                missing = str(error)
        return {
            "name": task.name,
            "group": task.group,
            "format": task.format,
            "metrics": list(task.metrics),
            "extract": task.extract,
            "options": list(task.option_styles),
            "templates": [
                self.templates.setdefault(template, len(self.templates))
                for template in task.templates
            ],
            "examples": [self._example(one) for one in examples],
            "missing": missing,
        }

    def _example(self, one: Preview) -> dict[str, Any]:
        made = one.rendered
        if made is None:
            return {"id": one.id, "rejected": one.rejected}
        shown = one.input_ids[:MOST_TOKENS], one.target_ids[:MOST_TOKENS]
        for ids in shown:
            self._ids.update(ids)
        return {
            "id": one.id,
            "format": made.format,
            "template": made.template,
            "style": made.option_style,
            "shots": list(made.exemplar_ids),
            "inputs": _cut(made.inputs),
            "targets": _cut(made.targets),
            "input_ids": list(shown[0]),
            "target_ids": list(shown[1]),
            "more": [len(one.input_ids) - len(shown[0]), len(one.target_ids) - len(shown[1])],
        }

    def pieces(self) -> dict[int, str]:
        """The text of every token on the page."""
        from sentencepiece import SentencePieceProcessor

        # No sentinels can occur in rendered text, so the bare model knows all ids.
        model = SentencePieceProcessor(model_file=self.vocabulary.model_path)
        return {id: model.IdToPiece(id) for id in sorted(self._ids)}


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"
