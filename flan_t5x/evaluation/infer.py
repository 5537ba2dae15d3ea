"""`flan-t5x infer`: a checkpoint's answers to the prompts of a file."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from flan_t5x.data.row_progress import RowProgress
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.decode.continuations import Decoding
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError, require_count
from flan_t5x.evaluation.buckets import MAX_BATCH_TOKENS
from flan_t5x.evaluation.generation import Generated, Generator
from flan_t5x.evaluation.journal import Journal
from flan_t5x.evaluation.loaded import LoadedModel, load_model
from flan_t5x.evaluation.prompts import InputFormat, PromptFile, Scan
from flan_t5x.evaluation.results import rounded
from flan_t5x.files import PARTIAL, whole_file
from flan_t5x.model.config import T5Config
from flan_t5x.parallel import distributed
from flan_t5x.parallel.rules import Rules

JOB_VERSION = 2  # of the order of rows and of how answers are made: another one starts anew
BATCHES_PER_WINDOW = 64  # sorted by length together; what is in memory at a time


@dataclasses.dataclass(frozen=True)
class InferenceResult:
    """What was done.

    Attributes:
        rows: prompts, each with a line in the output.
        resumed: of those, answered by an earlier start of the same command.
        blank: lines of the input that were passed over.
        cut: prompts longer than `max_input_length`.
        compilations: programs compiled by this start.
        not_finite: answers whose log-probability is no number: the model's logits are none.
    """

    rows: int
    resumed: int
    blank: int
    cut: int
    compilations: int
    not_finite: int = 0


def infer(
    *,
    checkpoint_path: str,
    model: T5Config,
    input_path: str,
    output_path: str,
    vocabulary: str = "mini",
    input_format: InputFormat = "auto",
    batch_size: int = 256,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    max_input_length: int = 512,
    max_decode_length: int = 128,
    decoding: Decoding | None = None,
    seed: int = 0,
    mesh: Mapping[str, int] | None = None,
    rules: str | Rules = "data_parallel",
    console: Console | None = None,
) -> InferenceResult:
    """Writes one JSON line per prompt, in the prompts' order.

    A line is the input line's object (of plain text: ``{"inputs": ...}``) with two more fields:
    "prediction", and "log_prob", the answer's summed log-probability. `output_path` appears, or
    is replaced, whole at the end. Until then answers gather in ``<output_path>.partial``; a run
    that ended early, by `kill -9` too, is finished by the same command, without answering
    anything twice, and the file comes out the same. With sampling, a prompt's answer is a
    function of (seed, its row number), counted from 0 over lines that are not blank.

    Args:
        checkpoint_path: a model_dir (its best step), a checkpoint folder, a base checkpoint
            file (``.npz``) or "mini_base".
        model: the checkpoint's sizes.
        input_path: JSON Lines with a field "inputs", or plain text with a prompt a line.
        output_path: the file to write.
        vocabulary: "mini" or the path of a SentencePiece model.
        input_format: "jsonl" or "text"; "auto" goes by the file's suffix, see `PromptFile`.
        batch_size: most prompts answered together; rounded up to what the mesh divides. Every
            process of a run computes its share of each batch, and the first writes the file.
        max_batch_tokens: most padded prompt tokens of a batch: long prompts go in smaller ones.
        max_input_length: tokens of a prompt, end token included; longer ones are cut at their
            end, which is counted and said.
        max_decode_length: most tokens of an answer, end token included.
        decoding: how tokens are chosen, `Sampling` or `BeamSearch`; None is greedy.
        seed: of sampling.
        mesh: sizes of the mesh axes, default all devices on "data".
        rules: sharding rules, a preset of `flan_t5x.parallel.rules` or a list.
        console: where to print; standard output of the first process by default.

    Raises:
        UserError: a malformed line (before anything is answered), wrong sizes or vocabulary, a
            file that cannot be written, a partial file of other settings or in use.
    """
    require_count("infer.batch_size", batch_size)
    require_count("infer.max_batch_tokens", max_batch_tokens)
    require_count("infer.max_input_length", max_input_length, at_least=2)
    require_count("infer.max_decode_length", max_decode_length)
    console = console or Console(quiet=not distributed.is_lead())
    prompts = PromptFile(input_path, input_format)
    output = _output_file(output_path, prompts.path)
    scan = prompts.scan()
    loaded = load_model(checkpoint_path, model, vocabulary=vocabulary, mesh=mesh, rules=rules)
    decoding = decoding or Sampling()
    generator = Generator(
        loaded.model,
        mesh=loaded.mesh,
        rules=loaded.rules,
        batch_size=min(batch_size, scan.rows),
        max_batch_tokens=max_batch_tokens,
        max_input_length=max_input_length,
        max_decode_length=max_decode_length,
        decoding=decoding,
    )
    job = {
        "version": JOB_VERSION,
        "input": scan.digest,
        "input_format": prompts.format,
        "checkpoint": loaded.checkpoint,
        "parameters": loaded.fingerprint,
        "model": dataclasses.asdict(model),
        "vocabulary": loaded.vocabulary.fingerprint(),
        "batch_size": batch_size,
        "max_batch_tokens": max_batch_tokens,
        "max_input_length": max_input_length,
        "max_decode_length": max_decode_length,
        "decoding": {"method": type(decoding).__name__, **dataclasses.asdict(decoding)},
        "seed": seed,
    }
    journal = Journal(_partial(output), job) if distributed.is_lead() else None
    try:
        result = _answer_all(prompts, scan, loaded, generator, journal, seed=seed, console=console)
        if journal is not None:
            _write_output(output, prompts, scan, journal)
            odd = sum(answer["log_prob"] is None for answer in journal.answers.values())
            result = dataclasses.replace(result, not_finite=odd)
            journal.remove()
    finally:
        if journal is not None:
            journal.close()
    _report(result, output, console)
    return result


def _answer_all(
    prompts: PromptFile,
    scan: Scan,
    loaded: LoadedModel,
    generator: Generator,
    journal: Journal | None,
    *,
    seed: int,
    console: Console,
) -> InferenceResult:
    """Answers what is not in the journal. The first process has it; all work on each batch."""
    done = np.zeros(scan.rows, np.bool_)
    if journal is not None:
        done[list(journal.answers)] = True
    done = distributed.from_lead(done)
    resumed = int(done.sum())
    cut = journal.cut if journal is not None else 0
    compilations = 0
    if resumed:
        _print(console, f"going on: {resumed:,} of {scan.rows:,} prompts are answered already")
    with RowProgress("answering", "answered", "prompts", console=console) as progress:
        count = resumed
        for first, texts in _windows(prompts, BATCHES_PER_WINDOW * generator.buckets.most_rows):
            if done[first : first + len(texts)].all():
                continue
            tokens = _encode(texts, loaded.vocabulary)
            for chosen in generator.batches([len(t) for t in tokens]):
                rows = first + chosen
                if done[rows].all():
                    continue
                batch = [tokens[i] for i in chosen]
                answers = generator.answer(loaded.params, batch, numbers=rows, seed=seed)
                longer = sum(len(t) > generator.buckets.longest for t in batch)
                cut, compilations = cut + longer, answers.compilations
                if journal is not None:
                    journal.add(rows.tolist(), _fields(answers, loaded.vocabulary), cut=longer)
                count += len(rows)
                progress.update(count, scan.rows)
    return InferenceResult(scan.rows, resumed, scan.blank, cut, compilations)


def _windows(prompts: PromptFile, size: int) -> Iterator[tuple[int, list[str]]]:
    """The number of the first row, and the prompts, of each window of rows."""
    rows = (prompt.inputs for prompt in prompts)
    for first in itertools.count(0, size):
        texts = list(itertools.islice(rows, size))
        if not texts:
            return
        yield first, texts


def _encode(texts: Sequence[str], vocabulary: Vocabulary) -> list[np.ndarray]:
    eos = vocabulary.eos_id
    return [np.array([*ids, eos], np.int32) for ids in vocabulary.encode_batch(texts)]


def _fields(answers: Generated, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """What is added to the line of each prompt."""
    return [
        {"prediction": vocabulary.decode(tokens.tolist()), "log_prob": rounded(log_prob)}
        for tokens, log_prob in zip(answers.tokens, answers.log_probs, strict=True)
    ]


def _write_output(output: Path, prompts: PromptFile, scan: Scan, journal: Journal) -> None:
    """Prompts and answers, in order. The input is read again, and must be what it was."""
    if prompts.scan().digest != scan.digest:
        raise UserError(
            f"{prompts.path} was changed while its prompts were answered; put the old file back "
            f"and run the same command again, or delete {journal.path} to start anew"
        )
    with whole_file(output) as file:
        for row, prompt in enumerate(prompts):
            line = {**prompt.fields, **journal.answers[row]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _output_file(output_path: str, input_file: Path) -> Path:
    if "://" in output_path:
        raise UserError(f"output_path {output_path} is not a local file; mount it (gcsfuse)")
    output = Path(output_path).expanduser().absolute()
    if output.resolve() == input_file.resolve():
        raise UserError(f"output_path {output} is the input itself; choose another")
    if output.is_dir():
        raise UserError(f"output_path {output} is a folder; name a file in it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"output_path {output} cannot be written: {error.strerror or error}"
        ) from error
    return output


def _partial(output: Path) -> Path:
    return output.with_name(output.name + PARTIAL)


def _report(result: InferenceResult, output: Path, console: Console) -> None:
    text = f"{result.rows:,} answers are in {output}"
    if result.cut:
        share = result.cut / result.rows
        text += f"; prompts cut to max_input_length: {result.cut:,} ({share:.1%})"
    if result.not_finite:
        text += f"; without a finite log-probability: {result.not_finite:,}, check the parameters"
    if result.blank:
        text += f"; blank lines passed over: {result.blank:,}"
    _print(console, text)


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
