"""`infer`: order, fields, sampling by row number, and the same file after any interruption."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError
from flan_t5x.evaluation import infer as module
from flan_t5x.evaluation.generation import Generator
from flan_t5x.evaluation.infer import InferenceResult, infer
from flan_t5x.evaluation.journal import Journal
from tests.data.rows import animal
from tests.evaluation.toys import CONFIG, ONE_PART

ROWS = [{"id": i, "inputs": animal("validation", i).fields["story"][: 20 + i]} for i in range(19)]
SAMPLING = Sampling(temperature=1.0, top_k=40)
_generators: dict[Any, Generator] = {}


def generator_of(model: Any, *, mesh: Any, **settings: Any) -> Generator:
    """The same compiled programs for all tests."""
    key = tuple(sorted((name, repr(value)) for name, value in settings.items()))
    if key not in _generators:
        _generators[key] = Generator(model, mesh=mesh, **settings)
    return _generators[key]


Run = Callable[..., InferenceResult]


@pytest.fixture
def run(
    tmp_path: Path, checkpoint: str, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Answers `ROWS` in windows of two batches of four; writes ``tmp_path/out.jsonl``."""
    monkeypatch.setattr(module, "Generator", generator_of)
    monkeypatch.setattr(module, "BATCHES_PER_WINDOW", 2)
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def call(**changes: Any) -> InferenceResult:
        settings: dict[str, Any] = {
            "checkpoint_path": checkpoint,
            "model": CONFIG,
            "input_path": str(path),
            "output_path": str(tmp_path / "out.jsonl"),
            "vocabulary": vocabulary.model_path,
            "batch_size": 4,
            "max_input_length": 30,
            "max_decode_length": 5,
            "mesh": ONE_PART,
            "console": Console(file=io.StringIO()),
        }
        return infer(**{**settings, **changes})

    return call


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_line_for_each_prompt_in_order(run: Run, tmp_path: Path) -> None:
    result = run(output_path=str(tmp_path / "new" / "out.jsonl"))
    found = lines(tmp_path / "new" / "out.jsonl")
    assert [list(line) for line in found] == [["id", "inputs", "prediction", "log_prob"]] * 19
    assert [{"id": line["id"], "inputs": line["inputs"]} for line in found] == ROWS
    assert all(line["log_prob"] < 0 for line in found)
    assert len({line["prediction"] for line in found}) > 3, "a telling test"
    assert (result.rows, result.resumed, result.blank) == (19, 0, 0)
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["out.jsonl"]


def test_plain_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(["", *(row["inputs"] for row in ROWS[:3]), ""]))
    run()
    expected = lines(tmp_path / "out.jsonl")[:3]
    result = run(input_path=str(tmp_path / "in.txt"))
    assert lines(tmp_path / "out.jsonl") == [
        {name: line[name] for name in ("inputs", "prediction", "log_prob")} for line in expected
    ]
    assert (result.rows, result.blank) == (3, 1)


def test_long_prompts_are_cut_and_counted(run: Run, tmp_path: Path, vocabulary: Vocabulary) -> None:
    text = io.StringIO()
    result = run(max_input_length=12, console=Console(file=text, width=500))
    long = sum(len(vocabulary.encode(str(row["inputs"]))) + 1 > 12 for row in ROWS)
    assert result.cut == long > 0
    assert f"prompts cut to max_input_length: {long} ({long / 19:.1%})" in text.getvalue()


@pytest.mark.parametrize("decoding", [None, SAMPLING])
def test_interrupted_anywhere_it_ends_with_the_same_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoding: Sampling | None
) -> None:
    run(decoding=decoding)
    expected = (tmp_path / "out.jsonl").read_bytes()
    answered: list[int] = []
    add = Journal.add

    def counting(journal: Journal, rows: list[int], *rest: Any, **more: Any) -> None:
        if stop_at == len(answered):
            raise KeyboardInterrupt
        add(journal, rows, *rest, **more)
        answered.append(len(rows))

    monkeypatch.setattr(Journal, "add", counting)
    (tmp_path / "out.jsonl").write_text("an older file\n")
    for moment in (0, 1, 3, 4):
        stop_at = moment
        with pytest.raises(KeyboardInterrupt):
            run(decoding=decoding)
        assert (tmp_path / "out.jsonl").read_text() == "an older file\n"
    stop_at = -1
    result = run(decoding=decoding)
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    assert answered == [4, 4, 4, 4, 3], "no batch was answered twice"
    assert result.resumed == 16
    assert not (tmp_path / "out.jsonl.partial").exists()


KILLED = """
import os, signal, sys
from flan_t5x.evaluation import infer
from flan_t5x.evaluation.journal import Journal
from tests.evaluation.toys import CONFIG, ONE_PART
add = Journal.add
def killing(journal, rows, *rest, **more):
    add(journal, rows, *rest, **more)
    if len(journal.answers) == 12:
        journal._file.write(b'{"rows": [16, 17')  # in the middle of the next line
        os.kill(os.getpid(), signal.SIGKILL)
Journal.add = killing
infer.BATCHES_PER_WINDOW = 2
infer.infer(model=CONFIG, mesh=ONE_PART, batch_size=4, max_input_length=30, max_decode_length=5,
            **dict(argument.split("=", 1) for argument in sys.argv[1:]))
"""


def test_kill_9(run: Run, tmp_path: Path, checkpoint: str, vocabulary: Vocabulary) -> None:
    run()
    expected = (tmp_path / "out.jsonl").read_bytes()
    settings = {
        "checkpoint_path": checkpoint,
        "vocabulary": vocabulary.model_path,
        "input_path": str(tmp_path / "in.jsonl"),
        "output_path": str(tmp_path / "killed.jsonl"),
    }
    arguments = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == -9
    assert not (tmp_path / "killed.jsonl").exists()
    result = run(output_path=settings["output_path"])
    assert result.resumed == 12
    assert (tmp_path / "killed.jsonl").read_bytes() == expected


def test_samples_do_not_depend_on_the_batch(run: Run, tmp_path: Path) -> None:
    texts = []
    for changes in ({}, {"batch_size": 7}, {"seed": 1}, {"decoding": None}):
        run(**{"decoding": SAMPLING, **changes})
        texts.append([line["prediction"] for line in lines(tmp_path / "out.jsonl")])
    first, other_batch, other_seed, greedy = texts
    assert first == other_batch
    assert first != other_seed
    assert first != greedy
    # the row's number counts, not its text
    (tmp_path / "same.txt").write_text("the same\n" * 8)
    run(decoding=SAMPLING, input_path=str(tmp_path / "same.txt"))
    assert len({line["prediction"] for line in lines(tmp_path / "out.jsonl")}) > 4


def test_a_malformed_line_stops_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write('{"input": "x"}\n')
    with pytest.raises(UserError, match=r'in\.jsonl, line 20: field "inputs" is missing'):
        run()
    assert [f.name for f in tmp_path.glob("out*")] == []


def test_a_partial_file_of_other_settings_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run()
    with pytest.raises(UserError, match=r"differs: seed was 0, is 1\. Go on with that job's"):
        run(seed=1)
    with pytest.raises(UserError, match=r"differs: decoding was \{'method': 'Sampling'"):
        run(decoding=SAMPLING)
    (tmp_path / "in.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(UserError, match="differs: input was"):
        run()


def test_an_input_that_changes_meanwhile(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Journal.add

    def meddling(journal: Journal, *rest: Any, **more: Any) -> None:
        add(journal, *rest, **more)
        (tmp_path / "in.jsonl").write_text(json.dumps(ROWS[1]) + "\n")

    monkeypatch.setattr(Journal, "add", meddling)
    with pytest.raises(UserError, match="was changed while its prompts were answered"):
        run()
    assert not (tmp_path / "out.jsonl").exists()


def test_bad_settings_are_refused(run: Run, tmp_path: Path) -> None:
    for changes, message in (
        ({"output_path": str(tmp_path / "in.jsonl")}, "is the input itself"),
        ({"output_path": str(tmp_path)}, "is a folder; name a file in it"),
        ({"output_path": "gs://bucket/x"}, "is not a local file"),
        ({"output_path": str(tmp_path / "in.jsonl" / "x")}, "cannot be written: "),
        ({"input_path": str(tmp_path / "none")}, "no file of prompts at"),
        ({"max_batch_tokens": 0}, "infer.max_batch_tokens = 0"),
        ({"batch_size": 0}, "infer.batch_size = 0: a whole number >= 1"),
        ({"max_input_length": 1}, "infer.max_input_length = 1: a whole number >= 2"),
        ({"checkpoint_path": str(tmp_path / "none")}, "no complete checkpoint in"),
        ({"model": dataclasses.replace(CONFIG, mlp_dim=64)}, "does not fit this model"),
        ({"vocabulary": "mini"}, "vocabulary 'mini' has .* rows; set T5Config.vocab_size"),
    ):
        with pytest.raises(UserError, match=message):
            run(**changes)  # type: ignore[arg-type]
    assert [f.name for f in tmp_path.glob("out*")] == []
