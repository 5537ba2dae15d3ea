"""The files of an evaluation: results.json and predictions.jsonl, whole and belonging together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_t5x.errors import UserError
from flan_t5x.evaluation.heldout import EvaluationResult, standard_error
from flan_t5x.evaluation.results import (
    PREDICTIONS,
    RESULTS,
    finite,
    prediction_lines,
    result_record,
)
from flan_t5x.files import PARTIAL, whole_file, write_whole

JOURNAL = "answers" + PARTIAL
"""Answers so far, in the output folder until the results are there."""


def write_results(
    folder: Path,
    result: EvaluationResult,
    *,
    settings: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    of_prompts: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Writes predictions, then results: where `RESULTS` is, both are whole and belong together.

    Args:
        folder: an existing one.
        result: what was found.
        settings: how, JSON-able; they come first in the file.
        more: further entries of the results, after the tasks.
        of_prompts: further fields of each prediction, for all prompts, task by task.

    Raises:
        UserError: a file cannot be written.
    """
    (folder / RESULTS).unlink(missing_ok=True)
    with whole_file(folder / PREDICTIONS) as file:
        for number, line in enumerate(prediction_lines(result)):
            fields = of_prompts[number] if of_prompts is not None else {}
            if fields:
                line = json.dumps({**json.loads(line), **fields}, ensure_ascii=False) + "\n"
            file.write(line)
    record = {
        **settings,
        "standard_error": finite(standard_error(result)),
        "seconds": round(result.seconds, 3),
        "compilations": result.compilations,
        **result_record(result),
        **(more or {}),
    }
    write_whole(folder / RESULTS, json.dumps(record, indent=2, allow_nan=False) + "\n")


def digest_of(job: Mapping[str, Any]) -> str:
    """Hex digest of all that results depend on."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()


def written_digest(folder: Path) -> str | None:
    """The digest that finished results in a folder carry; None where there are none."""
    try:
        digest = json.loads((folder / RESULTS).read_bytes())["job"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(digest)


def output_folder(output_dir: str) -> Path:
    """The folder, made and tried out: better to fail before an hour of work than after it.

    Raises:
        UserError: it is not local, or cannot be written.
    """
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
