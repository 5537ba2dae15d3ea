"""`evaluate` killed, several checkpoints, ranking, samples, and logits that are no numbers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

from flan_t5x.checkpoint.base import save_base
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError
from flan_t5x.evaluation import run as module
from flan_t5x.evaluation import scorer
from flan_t5x.evaluation.generation import Generator
from flan_t5x.evaluation.heldout import EvaluationResult
from flan_t5x.evaluation.journal import Journal
from flan_t5x.evaluation.output import JOURNAL
from flan_t5x.evaluation.ranking import Ranker
from flan_t5x.evaluation.results import PREDICTIONS, RESULTS
from flan_t5x.evaluation.run import evaluate
from flan_t5x.evaluation.watch import Target
from tests.evaluation.toys import CONFIG, LENGTHS, ONE_PART, params

SETTINGS: dict[str, Any] = {
    "model": CONFIG,
    "mixture_or_task_name": "toy_all",
    "task_feature_lengths": LENGTHS,
    "examples_per_task": 4,
    "batch_size": 3,
    "max_decode_length": 4,
    "num_workers": 1,
    "mesh": ONE_PART,
}
SAMPLED = {"decoding": Sampling(temperature=1.5), "num_samples": 3, "batch_size": 9}
Run = Callable[..., dict[str, EvaluationResult]]
_compiled: dict[Any, Any] = {}


def once(made: type[Any]) -> Callable[..., Any]:
    """The same compiled programs for all tests."""

    def make(model: Any, *, mesh: Any, **settings: Any) -> Any:
        key = (made, *sorted((name, repr(value)) for name, value in settings.items()))
        if key not in _compiled:
            _compiled[key] = made(model, mesh=mesh, **settings)
        return _compiled[key]

    return make


@pytest.fixture
def run(
    toy_registry: None,
    checkpoint: str,
    vocabulary: Vocabulary,
    cache_dir: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Scores four examples of each toy task in three batches."""
    monkeypatch.setattr(scorer, "Generator", once(Generator))
    monkeypatch.setattr(scorer, "Ranker", once(Ranker))

    def call(**changes: Any) -> dict[str, EvaluationResult]:
        settings: dict[str, Any] = {
            **SETTINGS,
            "checkpoint_path": checkpoint,
            "vocabulary": vocabulary.model_path,
            "cache_dir": cache_dir,
            "console": Console(file=io.StringIO()),
        }
        return evaluate(**{**settings, **changes})

    return call


def results(folder: Path) -> dict[str, Any]:
    """What does not measure the run itself."""
    record = json.loads((folder / RESULTS).read_text())
    return {k: v for k, v in record.items() if k not in ("seconds", "compilations")}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]


@pytest.mark.parametrize("how", [SAMPLED, {"scoring": "rank_normalized"}], ids=["samples", "rank"])
def test_interrupted_anywhere_it_ends_with_the_same_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    run(output_dir=str(tmp_path / "whole"), **how)
    answered: list[int] = []
    add = Journal.add

    def stopping(journal: Journal, rows: list[int], *rest: Any, **more: Any) -> None:
        if len(answered) in moments:
            moments.remove(len(answered))
            raise KeyboardInterrupt
        add(journal, rows, *rest, **more)
        answered.append(len(rows))

    monkeypatch.setattr(Journal, "add", stopping)
    moments = [0, 2]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(output_dir=str(tmp_path / "cut"), **how)
        assert {f.name for f in (tmp_path / "cut").iterdir()} == {JOURNAL}
    text = io.StringIO()
    run(output_dir=str(tmp_path / "cut"), console=Console(file=text), **how)
    assert sum(answered) == 8, "no batch was answered twice"
    assert len(answered) >= 3
    assert "of 8 prompts are answered already" in text.getvalue()
    assert {f.name for f in (tmp_path / "cut").iterdir()} == {RESULTS, PREDICTIONS}
    files = [(tmp_path / name / PREDICTIONS).read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


KILLED = """
import os, signal, sys
from flan_t5x.data import registry
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from flan_t5x.evaluation import journal
from flan_t5x.evaluation.ranking import Ranker
from flan_t5x.evaluation.run import evaluate
from tests.evaluation import toys
from tests.evaluation.test_resumed_run import SETTINGS
tasks = toys.tasks()
parts = tuple(MixturePart(task.name) for task in tasks)
made = registry._Registry()
made.providers = dict
made.add(tasks, [MixtureDefinition("toy_all", parts, evaluation_only=True)], origin="test")
registry._registry = made
add = journal.Journal.add
def killing(self, rows, *rest, **more):
    add(self, rows, *rest, **more)
    if len(self.answers) == 6:
        self._file.write(b'{"rows": [7')  # in the middle of the next line
        os.kill(os.getpid(), signal.SIGKILL)
journal.Journal.add = killing
evaluate(**SETTINGS, **dict(argument.split("=", 1) for argument in sys.argv[1:]))
"""


def test_kill_9(
    run: Run, tmp_path: Path, checkpoint: str, vocabulary: Vocabulary, cache_dir: str
) -> None:
    run(output_dir=str(tmp_path / "whole"))
    settings = {
        "checkpoint_path": checkpoint,
        "vocabulary": vocabulary.model_path,
        "cache_dir": cache_dir,
        "output_dir": str(tmp_path / "killed"),
    }
    arguments = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == -9
    text = io.StringIO()
    run(output_dir=settings["output_dir"], console=Console(file=text))
    assert "going on: 6 of 8 prompts are answered already" in text.getvalue()
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


def test_several_checkpoints_once_each(
    run: Run, tmp_path: Path, checkpoint: str, vocabulary: Vocabulary
) -> None:
    other = tmp_path / "other.npz"
    save_base(other, jax.tree.map(lambda x: -x, params()), {})
    out = tmp_path / "out"
    found = run(checkpoint_path=[checkpoint, str(other)], output_dir=str(out))
    assert list(found) == [checkpoint, str(other)]
    assert {f.name for f in out.iterdir()} == {"tiny", "other"}
    assert results(out / "other")["checkpoint"] == str(other)
    first, second = rows(out / "tiny"), rows(out / "other")
    assert [r["prediction"] for r in first] != [r["prediction"] for r in second]
    first_compiled, second_compiled = (r.compilations for r in found.values())
    assert first_compiled == second_compiled, "programs serve every checkpoint"
    run(checkpoint_path=str(other), output_dir=str(tmp_path / "alone"))
    assert rows(tmp_path / "alone") == second
    text = io.StringIO()
    again = run(
        checkpoint_path=[checkpoint, str(other)],
        output_dir=str(out),
        console=Console(file=text, width=500),
    )
    assert again == {}
    assert text.getvalue().count("is evaluated already") == 2
    with pytest.raises(UserError, match="no base checkpoint at"):
        run(checkpoint_path=[checkpoint, str(tmp_path / "none.npz")], output_dir=str(out))


def test_a_watched_step_that_was_removed_is_passed_over(
    run: Run, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Target(str(tmp_path / "checkpoints" / "5"), "step_5")
    monkeypatch.setattr(
        module, "targets", lambda *_, **__: iter([gone, Target(checkpoint, "step_6")])
    )
    text = io.StringIO()
    found = run(steps="watch", console=Console(file=text, width=500))
    assert list(found) == [checkpoint]
    assert "5 was removed before it could be read; passed over" in text.getvalue()
    with pytest.raises(UserError, match="no complete checkpoint in"):
        run(steps="all")


def test_ranked_rows_answer_with_an_option(run: Run, tmp_path: Path) -> None:
    (plain,) = run(scoring="rank", output_dir=str(tmp_path / "a")).values()
    (normed,) = run(scoring="rank_normalized", output_dir=str(tmp_path / "b")).values()
    for folder, result in (("a", plain), ("b", normed)):
        assert results(tmp_path / folder)["ranked_prompts"] == 8
        for row in rows(tmp_path / folder):
            assert row["prediction"] in row["options"]
            chosen = row["options"][row["prediction"]]
            assert row["log_prob"] == pytest.approx(chosen, rel=1e-6)
            if folder == "a":
                assert chosen == max(row["options"].values())
        assert sum(t.num_examples for t in result.tasks) == 8


def test_samples_vote(run: Run, tmp_path: Path) -> None:
    text = io.StringIO()
    run(output_dir=str(tmp_path), console=Console(file=text), **SAMPLED)
    record = results(tmp_path)
    assert list(record["self_consistency"]) == ["toy_plain", "toy_cot"]
    for name, task in record["tasks"].items():
        by_k = record["self_consistency"][name]
        assert list(by_k) == ["1", "2", "3"]
        assert by_k["3"] == task["score"]
    for row in rows(tmp_path):
        assert [set(s) for s in row["samples"]] == [{"prediction", "extracted", "log_prob"}] * 3
        assert {"prediction": row["prediction"], "extracted": row["extracted"],
                "log_prob": row["log_prob"]} in row["samples"]  # fmt: skip
    assert len({s["prediction"] for row in rows(tmp_path) for s in row["samples"]}) > 8
    assert "self-consistency, average by number of samples: 1: " in text.getvalue()


@pytest.mark.parametrize(
    "how",
    [{}, SAMPLED, {"scoring": "rank"}, {"decoding": BeamSearch(beams=2)}],
    ids=["greedy", "samples", "rank", "beam"],
)
def test_logits_that_are_no_numbers_are_counted(
    run: Run, tmp_path: Path, how: dict[str, Any]
) -> None:
    broken = tmp_path / "broken.npz"
    save_base(broken, jax.tree.map(lambda x: np.full_like(x, np.nan), params()), {})
    text = io.StringIO()
    (result,) = run(
        checkpoint_path=str(broken),
        output_dir=str(tmp_path / "out"),
        console=Console(file=text, width=500),
        **how,
    ).values()
    assert "8 answers have no finite log-probability" in text.getvalue()
    assert results(tmp_path / "out")["not_finite"] == 8
    assert all(row["log_prob"] is None for row in rows(tmp_path / "out"))
    assert result.average < 1


def test_programs_are_one_per_bucket(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    for kind in (Generator, Ranker):
        monkeypatch.setattr(
            scorer,
            kind.__name__,
            lambda *args, kind=kind, **more: made.append(kind(*args, **more)) or made[-1],
        )
    (result,) = run(max_batch_tokens=96, max_decode_length=3).values()
    (generator,) = [g for g in made if g.compilations]
    buckets = generator.buckets
    assert buckets.rows == {32: 3, 64: 1, 96: 1}
    assert 1 < generator.compilations == result.compilations <= len(buckets.lengths)
    (ranked,) = run(max_decode_length=3, scoring="rank").values()
    (ranker,) = [r for r in made if isinstance(r, Ranker)]
    assert ranker.compilations == ranked.compilations <= len(buckets.lengths), "one option bucket"


def test_bad_settings_are_refused(run: Run) -> None:
    for changes, message in (
        ({"scoring": "rnk"}, "scoring = 'rnk' is not known; did you mean 'rank'"),
        ({"num_samples": 3}, "num_samples = 3 with temperature 0"),
        ({"num_samples": 3, "decoding": BeamSearch()}, "beams are no independent samples"),
        ({**SAMPLED, "scoring": "rank"}, "options are scored, not sampled"),
        ({**SAMPLED, "vote": "most"}, "vote = 'most'"),
        ({"max_batch_tokens": 0}, "evaluate.max_batch_tokens = 0"),
    ):
        with pytest.raises(UserError, match=message):
            run(**changes)  # type: ignore[arg-type]
