"""`flan-t5x eval`: scores one checkpoint on the tasks of a mixture, by generation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from flan_t5x.data.cache import CacheSpec, default_cache_dir
from flan_t5x.data.registry import register_jsonl
from flan_t5x.data.row_progress import RowProgress
from flan_t5x.data.task_sets import evaluation_tasks, open_cache
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError, require_count
from flan_t5x.evaluation.generation import Generator
from flan_t5x.evaluation.heldout import EvaluationResult, HeldOut, standard_error
from flan_t5x.evaluation.loaded import load_model
from flan_t5x.evaluation.results import finite, prediction_lines, result_record, result_table
from flan_t5x.files import whole_file, write_whole
from flan_t5x.model.config import T5Config
from flan_t5x.parallel import distributed
from flan_t5x.parallel.rules import Rules

RESULTS = "results.json"
PREDICTIONS = "predictions.jsonl"


def evaluate(
    *,
    checkpoint_path: str,
    model: T5Config,
    mixture_or_task_name: str,
    task_feature_lengths: Mapping[str, int],
    vocabulary: str = "mini",
    split: str = "validation",
    examples_per_task: int | None = None,
    batch_size: int = 64,
    max_input_length: int | None = None,
    max_decode_length: int | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    output_dir: str | None = None,
    user_jsonl: Mapping[str, str] | None = None,
    cache_dir: str | None = None,
    num_workers: int | None = None,
    mesh: Mapping[str, int] | None = None,
    rules: str | Rules = "data_parallel",
    console: Console | None = None,
) -> EvaluationResult:
    """Prints a table of scores beside baselines, and writes it down with every prediction.

    This selects nothing, so any split but a training one may be read; table and files say which.

    Args:
        checkpoint_path: a model_dir (its best step), a checkpoint folder, a base checkpoint
            file (``.npz``) or "mini_base".
        model: the checkpoint's sizes.
        mixture_or_task_name: what is scored.
        task_feature_lengths: tokens that prompts and targets are rendered for; as in training,
            the token cache is shared.
        vocabulary: "mini" or the path of a SentencePiece model.
        split: every task must have it.
        examples_per_task: the first so many of each task; None for all.
        batch_size: prompts answered together; rounded up to what the mesh divides.
        max_input_length: longer prompts are cut; None for the inputs' feature length.
        max_decode_length: most tokens generated; None for the targets' feature length.
        sampling: how tokens are chosen; None is greedy.
        seed: of sampling; a prompt's tokens depend on its position among all prompts, not on
            the batch.
        output_dir: where `RESULTS` and `PREDICTIONS` go; None writes nothing.
        user_jsonl: own data to make known first, {task name: path}.
        cache_dir: token cache; None for `default_cache_dir`.
        num_workers: processes that build a missing cache; None for one per core.
        mesh: sizes of the mesh axes, default all devices on "data".
        rules: sharding rules, a preset of `flan_t5x.parallel.rules` or a list.
        console: where to print; standard output of the first process by default.

    Returns:
        The scores; each task's `samples` are all its examples.

    Raises:
        UserError: unknown task, missing split, wrong sizes or vocabulary, a folder that cannot
            be written. Files of an earlier evaluation are then still there, or gone whole.
    """
    for name, value in (
        ("examples_per_task", examples_per_task),
        ("batch_size", batch_size),
        ("max_input_length", max_input_length),
        ("max_decode_length", max_decode_length),
    ):
        if value is not None:
            require_count(f"evaluate.{name}", value)
    console = console or Console(quiet=not distributed.is_lead())
    for name, path in (user_jsonl or {}).items():
        register_jsonl(name, path)
    tasks = evaluation_tasks(mixture_or_task_name, split)
    folder = _output_folder(output_dir) if output_dir and distributed.is_lead() else None
    loaded = load_model(checkpoint_path, model, vocabulary=vocabulary, mesh=mesh, rules=rules)
    spec = CacheSpec(tasks.tasks, loaded.vocabulary, dict(task_feature_lengths), splits=(split,))
    cache_dir = cache_dir or default_cache_dir()
    splits = open_cache(spec, cache_dir, num_workers=num_workers, console=console)
    sampling = sampling or Sampling()
    generator = Generator(
        loaded.model,
        mesh=loaded.mesh,
        rules=loaded.rules,
        batch_size=batch_size,
        max_input_length=max_input_length or task_feature_lengths["inputs"],
        max_decode_length=max_decode_length or task_feature_lengths["targets"],
        sampling=sampling,
    )
    heldout = HeldOut(
        tasks.tasks,
        splits,
        vocabulary=loaded.vocabulary,
        generator=generator,
        examples_per_task=examples_per_task,
        samples_per_task=None,
    )
    with RowProgress("answering", "answered", "prompts", console=console) as progress:
        result = heldout(loaded.params, seed=seed, progress=progress.update)
    _report(f"{loaded.checkpoint} on {tasks.name}, split {split}", result, console)
    if folder is not None:
        settings: dict[str, Any] = {
            "checkpoint": loaded.checkpoint,
            "mixture_or_task_name": tasks.name,
            "split": split,
            "vocabulary": vocabulary,
            "task_feature_lengths": dict(task_feature_lengths),
            "examples_per_task": examples_per_task,
            "max_input_length": generator.buckets[-1],
            "max_decode_length": generator.max_decode_length,
            "sampling": vars(sampling),
            "seed": seed,
        }
        write_results(folder, result, settings=settings)
        _print(console, f"written: {folder / RESULTS} and {folder / PREDICTIONS}")
    return result


def write_results(folder: Path, result: EvaluationResult, *, settings: Mapping[str, Any]) -> None:
    """Writes predictions, then results: where `RESULTS` is, both are whole and belong together.

    Args:
        folder: an existing one.
        result: what was found.
        settings: how, JSON-able; they come first in the file.

    Raises:
        UserError: a file cannot be written.
    """
    (folder / RESULTS).unlink(missing_ok=True)
    with whole_file(folder / PREDICTIONS) as file:
        file.writelines(prediction_lines(result))
    record = {
        **settings,
        "standard_error": finite(standard_error(result)),
        "seconds": round(result.seconds, 3),
        "compilations": result.compilations,
        **result_record(result),
    }
    write_whole(folder / RESULTS, json.dumps(record, indent=2, allow_nan=False) + "\n")


def _output_folder(output_dir: str) -> Path:
    """The folder, made and tried out: better to fail before an hour of work than after it."""
    if "://" in output_dir:
        raise UserError(f"output_dir {output_dir} is not a local folder; mount it (gcsfuse)")
    folder = Path(output_dir).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written: {error.strerror or error}; choose another"
        ) from error
    probe = folder / ".writable"
    write_whole(probe, "")
    probe.unlink()
    return folder


def _report(label: str, result: EvaluationResult, console: Console) -> None:
    _print(console, result_table(label, result))
    prompts = sum(t.num_examples for t in result.tasks)
    rate = prompts / max(result.seconds, 1e-9)
    _print(
        console,
        f"average {result.average:.4f} +- {1.96 * standard_error(result):.4f} (95 %, from the "
        f"number of examples), baseline {result.baseline:.4f}; {prompts:,} prompts in "
        f"{result.seconds:.1f} s ({rate:.1f}/s), {result.compilations} compilations",
    )
    odd = sum(finite(e.log_prob) is None for t in result.tasks for e in t.samples)
    if odd:
        _print(console, f"{odd:,} answers have no finite log-probability: check the parameters")


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
