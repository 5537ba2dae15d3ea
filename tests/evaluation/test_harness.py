"""Our model type in EleutherAI's harness, over task definitions of our own on local rows."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError
from flan_t5x.evaluation import harness
from flan_t5x.evaluation.ranking import Ranker
from flan_t5x.parallel.mesh import make_mesh

lm_eval = pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

CHOICE = """
task: own_choice
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}, cache_dir: FOLDER}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [" cat", " dog", " zebra"]
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
WRITE = """
task: own_write
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}, cache_dir: FOLDER}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: 5}
metric_list: [{metric: exact_match}]
"""
QUESTIONS = [f"Which animal is number {n}, please?" for n in range(6)]


class Request:
    """What the harness hands over, as far as a model looks at it."""

    def __init__(self, *args: Any) -> None:
        self.args = args


@pytest.fixture(scope="module")
def model() -> Any:
    harness.register()
    harness.register()
    from lm_eval.api.registry import get_model

    arguments = "checkpoint=mini_base,max_length=40,max_gen_toks=5"
    return get_model("flan_t5x").create_from_arg_string(arguments, {"batch_size": 8})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"question": q, "answer": n % 3}) for n, q in enumerate(QUESTIONS)]
    path.write_text("\n".join(lines))
    for name, text in (("choice", CHOICE), ("write", WRITE)):
        (tmp_path / f"{name}.yaml").write_text(
            text.replace("ROWS", str(path)).replace("FOLDER", str(tmp_path / "cache"))
        )
    return tmp_path


def test_tasks_of_both_kinds_run(model: Any, rows: Path) -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(rows), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model, tasks=["own_choice", "own_write"], task_manager=manager, bootstrap_iters=0
    )
    choice, written = found["results"]["own_choice"], found["results"]["own_write"]
    expected = model.loglikelihood([Request(q, c) for q in QUESTIONS for c in CHOICES])
    scores = np.array([score for score, _ in expected]).reshape(-1, 3)
    right = scores.argmax(-1) == np.arange(6) % 3
    assert choice["acc,none"] == pytest.approx(right.mean())
    normed = (scores / [len(c) for c in CHOICES]).argmax(-1) == np.arange(6) % 3
    assert choice["acc_norm,none"] == pytest.approx(normed.mean())
    said = model.generate_until([Request(q, {"until": ["."]}) for q in QUESTIONS])
    hits = [text == str(n % 3) for n, text in enumerate(said)]
    assert 0 < written["exact_match,none"] == pytest.approx(np.mean(hits))


CHOICES = [" cat", " dog", " zebra"]


def test_scores_are_those_of_the_ranker(model: Any) -> None:
    requests = [Request(q, c) for c in CHOICES for q in QUESTIONS[:2]]
    found = model.loglikelihood(requests)
    vocabulary: Vocabulary = model._loaded.vocabulary
    ranker = Ranker(
        model._loaded.model, mesh=make_mesh({"data": -1}), batch_size=1, max_input_length=40
    )
    for request, (log_prob, _) in zip(requests, found, strict=True):
        context, continuation = request.args
        prompt = np.array([*vocabulary.encode(context), 1], np.int32)
        option = np.array(vocabulary.encode(continuation), np.int32)
        (alone,) = ranker(model._loaded.params, [prompt], [[option]])
        assert log_prob == pytest.approx(alone.log_probs[0], rel=1e-5)


def test_answers_stop_where_asked(model: Any) -> None:
    whole = model.generate_until([Request(q, {"until": []}) for q in QUESTIONS])
    assert len(set(whole)) > 1
    stop = whole[0][-1]
    cut = model.generate_until([Request(q, {"until": ["", stop]}) for q in QUESTIONS])
    assert cut == [text.split(stop)[0] for text in whole]


def test_generation_kwargs(model: Any) -> None:
    assert model._method({"do_sample": False, "temperature": 0.7}) == (5, Sampling())
    assert model._method({"do_sample": True, "top_k": 3}) == (5, Sampling(temperature=1.0, top_k=3))
    assert model._method({"max_gen_toks": 9, "num_beams": 2}) == (9, BeamSearch(beams=2))
    with pytest.raises(UserError, match="'temprature', which is not known; did you mean 'temp"):
        model._method({"temprature": 1.0})


def test_long_contexts_lose_their_beginning(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        short, long = model._contexts(["a cat", "one " * 60 + "a cat"])
    assert len(long) == 40
    assert long[-len(short) :].tolist() == short.tolist()
    assert "1 of 2 contexts are longer than max_length = 40" in caplog.text


def test_what_has_no_meaning_is_refused(model: Any) -> None:
    with pytest.raises(UserError, match="has no meaning for an encoder-decoder"):
        model.loglikelihood_rolling([])
