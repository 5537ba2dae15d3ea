"""Our prompts and our scoring of BBH against the published outputs of code-davinci-002.

``python -m flan_tasks.bbh_published DIR`` prints, for each file below DIR (the folder
``code-davinci-002-outputs`` of github.com/suzgunmirac/BIG-Bench-Hard), how many of its prompts are
ours to the letter, the accuracy published beside it, and the accuracy that `bbh_answer` gives the
same predictions. Files may be packed (``.gz``).
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flan_t5x.data.definitions import Example
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.sources.location import chosen_data_dir, set_data_dir
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.extraction import EXTRACTORS

from .bbh import SHOTS, task

_OUTPUTS = "_few_shot_template_0-255000.json*"
_METRICS = "_eval_metrics.jsonl"


class Row(NamedTuple):
    """One file of outputs: accuracies in per cent."""

    subtask: str
    mode: str
    examples: int
    same_prompts: int
    published: float
    ours: float

    @property
    def equal(self) -> bool:
        """Whether both accuracies are the same number of right answers."""
        return abs(self.published - self.ours) < 1e-6


def compare(folder: Path) -> Iterator[Row]:
    """A row for each file of outputs below the folder, direct ones first.

    Raises:
        UserError: there is none.
    """
    found = 0
    for mode in ("direct", "cot"):
        for path in sorted(folder.glob(f"code-davinci-002-{mode}/*{_OUTPUTS}")):
            found += 1
            yield _row(path, mode)
    if not found:
        raise UserError(f"no outputs (code-davinci-002-*/*{_OUTPUTS}) below {folder}")


def _row(path: Path, mode: str) -> Row:
    subtask, _, _ = path.name.partition("_few_shot_template")
    content = path.read_bytes()
    packed = path.suffix == ".gz"
    outputs = json.loads(gzip.decompress(content) if packed else content)["outputs"]
    metrics = path.with_name(path.name.removesuffix(".gz").removesuffix(".json") + _METRICS)
    published = json.loads(metrics.read_text("utf-8").splitlines()[0])["accuracy"]
    extract = EXTRACTORS["bbh_answer"]
    right = sum(extract(row["prediction"]) == extract(row["target"]) for row in outputs)
    ours = list(_prompts(subtask, mode))
    same = sum(row["input"] == prompt for row, prompt in zip(outputs, ours, strict=True))
    return Row(subtask, mode, len(outputs), same, published, 100 * right / len(outputs))


def _prompts(subtask: str, mode: str) -> Iterator[str]:
    definition = task(f"bbh_{subtask}_{mode}_{SHOTS}shot")
    pool, vocabulary = ExemplarPool.for_task(definition), resolve_vocabulary("mini")
    for row in definition.source.read("test", 0, definition.source.num_examples("test")):
        assert isinstance(row, Example)
        made = render(definition, row, exemplars=pool, vocabulary=vocabulary, budget=1 << 30)
        yield made.inputs


def main(folder: str) -> None:
    """Prints the table."""
    path = Path(folder).absolute()
    if chosen_data_dir() is None:
        set_data_dir(path.parents[1])
    print(f"{'subtask':<42} {'mode':<7} {'n':>4} {'prompts':>8} {'published':>10} {'ours':>8}")
    rows = list(compare(path))
    for row in rows:
        print(
            f"{row.subtask:<42} {row.mode:<7} {row.examples:>4} {row.same_prompts:>8} "
            f"{row.published:>10.4f} {row.ours:>8.4f}{'' if row.equal else '  DIFFERS'}"
        )
    print(f"{sum(row.equal for row in rows)} of {len(rows)} accuracies equal")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except (UserError, TypeError) as error:
        sys.exit(f"{error}; give the folder code-davinci-002-outputs")
