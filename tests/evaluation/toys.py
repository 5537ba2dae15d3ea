"""A tiny model, its checkpoint and two small tasks, for the tests of evaluation."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np

from flan_t5x.checkpoint.base import save_base
from flan_t5x.data import registry
from flan_t5x.data.definitions import (
    Example,
    MixtureDefinition,
    MixturePart,
    TaskDefinition,
    Template,
)
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.evaluation.generation import BatchProgress, Generated
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model, Params
from tests.data.rows import animal, animal_task

CONFIG = T5Config(
    vocab_size=640, emb_dim=32, num_heads=2, head_dim=16, mlp_dim=48,
    num_encoder_layers=1, num_decoder_layers=1,
)  # fmt: skip
LENGTHS = {"inputs": 96, "targets": 32}
ONE_PART = {"tensor": 8}
"""A mesh of the eight simulated devices that leaves batches whole."""


@functools.cache
def params() -> Params:
    """Random parameters, large enough that answers differ from prompt to prompt."""
    return jax.tree.map(lambda x: 2.0 * np.asarray(x), Model(CONFIG).init(jax.random.key(0)))


def save_checkpoint(folder: Path, **card: object) -> str:
    path = folder / "tiny.npz"
    save_base(path, params(), card)
    return str(path)


GOLD = ("yes", "no", "no", "yes", "no", "yes")


@dataclass(frozen=True)
class Rows:
    """Six rows in a split "validation".

    Attributes:
        kind: "classes" for yes or no, two rows to a group; "open" with three right answers.
    """

    kind: str
    splits: tuple[str, ...] = ("validation",)

    def num_examples(self, split: str) -> int:
        return len(GOLD)

    def read(self, split: str, start: int, stop: int) -> Iterator[Example]:
        for i in range(start, stop):
            fields = {"text": "red blue green"[: 4 + i]}
            if self.kind == "classes":
                options = ("yes", "no")
                yield Example(str(i), fields, GOLD[i], options, group=f"question {i // 2}")
            else:
                yield Example(str(i), fields, "red", references=("the blue", "green"))

    def fingerprint(self) -> str:
        return self.kind


def class_task() -> TaskDefinition:
    """Yes or no behind letters, two rows to a question."""
    return TaskDefinition(
        "toy_classes",
        Rows("classes"),
        (Template("Is it {text}? {options}"),),
        metrics=("f1_yes", "group_match", "matthews", "accuracy"),
        option_styles=("letter_paren",),
    )


def open_task() -> TaskDefinition:
    """Three answers are right."""
    return TaskDefinition(
        "toy_open", Rows("open"), (Template("Name it: {text}"),), metrics=("squad", "rouge")
    )


def tasks() -> list[TaskDefinition]:
    """One plain task, one whose answers follow a rationale; two metrics."""
    plain = animal_task(name="toy_plain", metrics=("accuracy", "f1"))
    cot = animal_task("zs_cot", name="toy_cot", extract="cot_answer")
    return [plain, replace(cot, metrics=("normalized_accuracy", "f1"), group="thinking")]


def toy_registry() -> registry._Registry:
    """A registry with nothing but the toy tasks, and the mixture `toy_all` of them."""
    made = registry._Registry()
    made.providers = dict  # type: ignore[method-assign]
    parts = tuple(MixturePart(task.name) for task in tasks())
    made.add(tasks(), [MixtureDefinition("toy_all", parts, evaluation_only=True)], origin="test")
    return made


def said(target: str, row: int) -> str:
    """A deterministic answer: right, right but for the case, half right, wrong, empty, ..."""
    words = target.split()
    return (
        target,
        target.upper(),
        " ".join(words[len(words) // 2 :]),
        animal("train", row).answer,
        "",
        f"So the answer is {words[-1].rstrip('.')}.",
        "((((" * 9,
    )[row % 7]


class FakeGenerator:
    """Answers with given texts, in order."""

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        self.tokens = [np.array(vocabulary.encode(text), np.int32) for text in texts]

    def __call__(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        *,
        seed: int = 0,
        progress: BatchProgress | None = None,
    ) -> Generated:
        assert len(prompts) == len(self.tokens)
        return Generated(self.tokens, -np.arange(len(prompts), dtype=np.float32))
