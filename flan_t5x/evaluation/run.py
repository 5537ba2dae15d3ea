"""`flan-t5x eval`: scores checkpoints on the tasks of a mixture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from flan_t5x.data.cache import CachedSplit, CacheSpec, default_cache_dir
from flan_t5x.data.own_files import register_jsonl
from flan_t5x.data.row_progress import RowProgress
from flan_t5x.data.task_sets import TaskSet, evaluation_tasks, open_cache
from flan_t5x.decode.continuations import Decoding
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError, require_count
from flan_t5x.evaluation.answering import Scoring
from flan_t5x.evaluation.baselines import shown
from flan_t5x.evaluation.buckets import MAX_BATCH_TOKENS
from flan_t5x.evaluation.heldout import EvaluationResult, HeldOut, standard_error
from flan_t5x.evaluation.journal import Journal
from flan_t5x.evaluation.loaded import LoadedModel, load_model
from flan_t5x.evaluation.output import (
    JOURNAL,
    digest_of,
    output_folder,
    write_results,
    written_digest,
)
from flan_t5x.evaluation.results import PREDICTIONS, RESULTS, result_table
from flan_t5x.evaluation.scorer import Method, Scored, Scorer
from flan_t5x.evaluation.self_consistency import VoteKind, consistency_table
from flan_t5x.evaluation.watch import Steps, Target, targets
from flan_t5x.model.config import T5Config
from flan_t5x.parallel import distributed
from flan_t5x.parallel.rules import Rules

JOB_VERSION = 1  # of how answers are made: another one starts anew


def evaluate(
    *,
    checkpoint_path: str | Sequence[str],
    model: T5Config,
    mixture_or_task_name: str,
    task_feature_lengths: Mapping[str, int],
    steps: Steps = "best",
    watch_timeout: float | None = None,
    vocabulary: str = "mini",
    split: str = "validation",
    examples_per_task: int | None = None,
    batch_size: int = 256,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    max_input_length: int | None = None,
    max_decode_length: int | None = None,
    scoring: Scoring = "generate",
    decoding: Decoding | None = None,
    num_samples: int = 1,
    vote: VoteKind = "majority",
    complex_share: float = 0.5,
    seed: int = 0,
    output_dir: str | None = None,
    user_jsonl: Mapping[str, str] | None = None,
    cache_dir: str | None = None,
    num_workers: int | None = None,
    mesh: Mapping[str, int] | None = None,
    rules: str | Rules = "data_parallel",
    console: Console | None = None,
) -> dict[str, EvaluationResult]:
    """Prints a table of scores beside baselines, and writes it down with every prediction.

    This selects nothing, so any split but a training one may be read; table and files say which.
    Answers gather in `output_dir`; an evaluation that ended early, by `kill -9` too, is finished
    by the same command without answering anything twice, and its files come out the same (but
    for the time it took). Of several checkpoints, those whose results are there are passed over.

    Args:
        checkpoint_path: a model_dir, a checkpoint folder, a base checkpoint file (``.npz``) or
            "mini_base"; or a list of them.
        model: the checkpoints' sizes.
        mixture_or_task_name: what is scored.
        task_feature_lengths: tokens that prompts and targets are rendered for; as in training,
            the token cache is shared.
        steps: of a model_dir: "best", "all", or "watch" (all, and those to come, each as it
            appears, until the run ends).
        watch_timeout: seconds without a new checkpoint after which "watch" ends; None waits.
        vocabulary: "mini" or the path of a SentencePiece model.
        split: every task must have it.
        examples_per_task: the first so many of each task; None for all.
        batch_size: most sequences computed together; rounded up to what the mesh divides.
        max_batch_tokens: most padded prompt tokens of a batch: long prompts go in smaller ones.
        max_input_length: longer prompts are cut; None for the inputs' feature length.
        max_decode_length: most tokens generated; None for the targets' feature length.
        scoring: "generate"; or "rank" and "rank_normalized", which answer a row that has options
            with the one of the best log-likelihood (divided by its tokens), other rows as before.
        decoding: how tokens are chosen, `Sampling` or `BeamSearch`; None is greedy.
        num_samples: more than one: self-consistency, see `self_consistency`.
        vote: "majority" or "complexity".
        complex_share: of the samples that vote by "complexity".
        seed: of sampling; a prompt's tokens depend on its position among all prompts, not on
            the batch.
        output_dir: where `RESULTS` and `PREDICTIONS` go; None writes nothing. With several
            checkpoints, or steps other than "best", each has a folder in it.
        user_jsonl: own data to make known first, {task name: path}.
        cache_dir: token cache; None for `default_cache_dir`.
        num_workers: processes that build a missing cache; None for one per core.
        mesh: sizes of the mesh axes, default all devices on "data".
        rules: sharding rules, a preset of `flan_t5x.parallel.rules` or a list.
        console: where to print; standard output of the first process by default.

    Returns:
        The scores by checkpoint, of those evaluated now; each task's `samples` are all its
        examples.

    Raises:
        UserError: unknown task, missing split, wrong sizes or vocabulary, a folder that cannot
            be written. Files of an earlier evaluation are then still there, or gone whole.
    """
    if examples_per_task is not None:
        require_count("evaluate.examples_per_task", examples_per_task)
    method = Method(
        max_input_length=_or(max_input_length, task_feature_lengths["inputs"]),
        max_decode_length=_or(max_decode_length, task_feature_lengths["targets"]),
        batch_size=batch_size,
        max_batch_tokens=max_batch_tokens,
        scoring=scoring,
        decoding=decoding or Sampling(),
        num_samples=num_samples,
        vote=vote,
        complex_share=complex_share,
        seed=seed,
    )
    console = console or Console(quiet=not distributed.is_lead())
    for name, path in (user_jsonl or {}).items():
        register_jsonl(name, path)
    tasks = evaluation_tasks(mixture_or_task_name, split)
    evaluation = _Evaluation(
        tasks=tasks,
        settings={
            "mixture_or_task_name": tasks.name,
            "split": split,
            "vocabulary": vocabulary,
            "task_feature_lengths": dict(task_feature_lengths),
            "examples_per_task": examples_per_task,
            **method.settings(),
        },
        method=method,
        folder=output_folder(output_dir) if output_dir and distributed.is_lead() else None,
        cache_dir=cache_dir or default_cache_dir(),
        num_workers=num_workers,
        console=console,
    )
    found: dict[str, EvaluationResult] = {}
    loaded: LoadedModel | None = None
    scorer: Scorer | None = None
    for target in targets(
        checkpoint_path, steps, timeout_seconds=watch_timeout, say=evaluation.say
    ):
        try:
            if loaded is None:
                path = target.path
                loaded = load_model(path, model, vocabulary=vocabulary, mesh=mesh, rules=rules)
            else:
                loaded = loaded.reload(target.path)
        except (UserError, OSError, ValueError) as error:
            if steps != "watch" or Path(target.path).exists():
                raise
            evaluation.say(f"{target.path} was removed before it could be read; passed over")
            evaluation.say(str(error))
            continue
        scorer = scorer or evaluation.prepare(loaded)
        result = evaluation.score(target, loaded, scorer)
        if result is not None:
            found[loaded.checkpoint] = result
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """What is the same for all checkpoints."""

    tasks: TaskSet
    settings: Mapping[str, Any]
    method: Method
    folder: Path | None
    cache_dir: str
    num_workers: int | None
    console: Console

    def prepare(self, loaded: LoadedModel) -> Scorer:
        """Opens the tasks' data, and gets ready to score the first checkpoint."""
        splits = self._open(loaded)
        heldout = HeldOut(
            self.tasks.tasks,
            splits,
            vocabulary=loaded.vocabulary,
            examples_per_task=self.settings["examples_per_task"],
            samples_per_task=None,
        )
        return Scorer(loaded, heldout, self.method)

    def _open(self, loaded: LoadedModel) -> list[CachedSplit]:
        lengths = dict(self.settings["task_feature_lengths"])
        spec = CacheSpec(self.tasks.tasks, loaded.vocabulary, lengths, splits=(self.tasks.split,))
        return open_cache(spec, self.cache_dir, num_workers=self.num_workers, console=self.console)

    def score(self, target: Target, loaded: LoadedModel, scorer: Scorer) -> EvaluationResult | None:
        """Scores one checkpoint and writes it down; None where that was done before."""
        job = {
            "version": JOB_VERSION,
            "checkpoint": loaded.checkpoint,
            "parameters": loaded.fingerprint,
            "scored": scorer.heldout.fingerprint,
            "batch_size": self.method.batch_size,
            "max_batch_tokens": self.method.max_batch_tokens,
            **self.settings,
        }
        folder = self._folder(target)
        digest = digest_of(job)
        done = target.label and folder is not None and written_digest(folder) == digest
        if distributed.from_lead(np.array(bool(done))):
            self.say(f"{loaded.checkpoint} is evaluated already: {folder}")
            return None
        journal = Journal(folder / JOURNAL, job) if folder is not None else None
        try:
            scored = self._answer(loaded, scorer, journal)
            self._report(loaded, scored)
            if folder is not None and journal is not None:
                settings = {"checkpoint": loaded.checkpoint, "job": digest, **self.settings}
                write_results(
                    folder,
                    scored.result,
                    settings=settings,
                    more=scored.more(),
                    of_prompts=scored.of_prompts(),
                )
                journal.remove()
                self.say(f"written: {folder / RESULTS} and {folder / PREDICTIONS}")
        finally:
            if journal is not None:
                journal.close()
        return scored.result

    def _folder(self, target: Target) -> Path | None:
        if self.folder is None or not target.label:
            return self.folder
        return output_folder(str(self.folder / target.label))

    def _answer(self, loaded: LoadedModel, scorer: Scorer, journal: Journal | None) -> Scored:
        if journal is not None and journal.answers:
            count, total = len(journal.answers), scorer.heldout.num_examples
            self.say(f"going on: {count:,} of {total:,} prompts are answered already")
        with RowProgress("answering", "answered", "prompts", console=self.console) as progress:
            return scorer(loaded.params, journal=journal, progress=progress.update)

    def _report(self, loaded: LoadedModel, scored: Scored) -> None:
        result = scored.result
        label = f"{loaded.checkpoint} on {self.tasks.name}, split {self.tasks.split}"
        self.say(result_table(label, result))
        prompts = sum(t.num_examples for t in result.tasks)
        rate = (prompts - scored.answered.resumed) / max(result.seconds, 1e-9)
        self.say(
            f"average {result.average:.4f} +- {1.96 * standard_error(result):.4f} (95 %, from the "
            f"number of examples), baseline {shown(result.baseline, 4)}; {prompts:,} prompts in "
            f"{result.seconds:.1f} s ({rate:.1f}/s), {result.compilations} compilations"
        )
        if scored.answered.cut:
            share = scored.answered.cut / max(prompts, 1)
            self.say(f"prompts cut to max_input_length: {scored.answered.cut:,} ({share:.1%})")
        if self.method.scoring != "generate":
            self.say(f"{scored.answered.ranked:,} prompts were answered by ranking their options")
        if scored.votes is not None:
            self.say(consistency_table(scored.votes.curves))
        if scored.not_finite:
            self.say(
                f"{scored.not_finite:,} answers have no finite log-probability: check the "
                "parameters"
            )

    def say(self, text: str) -> None:
        """Prints a line as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
