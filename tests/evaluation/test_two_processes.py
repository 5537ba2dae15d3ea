"""Two processes share the rows of every batch; the first writes what one process would."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.decode.sampling import Sampling
from flan_t5x.evaluation.infer import infer
from flan_t5x.evaluation.output import JOURNAL
from flan_t5x.evaluation.results import PREDICTIONS
from flan_t5x.evaluation.run import evaluate
from tests.data.rows import animal
from tests.evaluation.toys import CONFIG, LENGTHS, ONE_PART

INFER: dict[str, Any] = {
    "model": CONFIG,
    "batch_size": 4,
    "max_input_length": 30,
    "max_decode_length": 5,
    "decoding": Sampling(temperature=1.0),
}
EVAL: dict[str, Any] = {
    "model": CONFIG,
    "mixture_or_task_name": "toy_all",
    "task_feature_lengths": LENGTHS,
    "examples_per_task": 3,
    "batch_size": 2,
    "max_decode_length": 4,
    "num_workers": 1,
}
PROGRAM = """
import json, sys
from flan_t5x.parallel.distributed import initialize
process, port, given = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
initialize(coordinator_address=f"127.0.0.1:{port}", process_count=2, process_index=process)
from flan_t5x.data import registry
from flan_t5x.evaluation.infer import infer
from flan_t5x.evaluation.run import evaluate
from tests.evaluation.test_two_processes import EVAL, INFER
from tests.evaluation.toys import toy_registry
registry._registry = toy_registry()
result = infer(**INFER, **given["infer"])
assert result.rows == 9
evaluate(**EVAL, **given["eval"])
"""


def test_files_are_those_of_one_process(
    tmp_path: Path, checkpoint: str, vocabulary: Vocabulary, cache_dir: str, toy_registry: None
) -> None:
    (tmp_path / "in.jsonl").write_text(
        "".join(
            json.dumps({"inputs": animal("validation", i).fields["story"]}) + "\n" for i in range(9)
        )
    )
    common = {"checkpoint_path": checkpoint, "vocabulary": vocabulary.model_path}
    of_infer = {**common, "input_path": str(tmp_path / "in.jsonl")}
    of_eval = {**common, "cache_dir": cache_dir}
    one, two = tmp_path / "one", tmp_path / "two"
    infer(**INFER, **of_infer, output_path=str(one / "out.jsonl"), mesh=ONE_PART)
    evaluate(**EVAL, **of_eval, output_dir=str(one / "eval"), mesh=ONE_PART)
    given = {
        "infer": {**of_infer, "output_path": str(two / "out.jsonl")},
        "eval": {**of_eval, "output_dir": str(two / "eval")},
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(process), str(port), json.dumps(given)],
            cwd=Path(__file__).parents[2],
            env=env,
        )
        for process in range(2)
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    for name in ("out.jsonl", f"eval/{PREDICTIONS}"):
        mine, theirs = ((folder / name).read_text().splitlines() for folder in (one, two))
        assert [_said(line) for line in mine] == [_said(line) for line in theirs]
    assert not (two / "eval" / JOURNAL).exists()


def _said(line: str) -> dict[str, Any]:
    """A line without the last digits of its log-probability, which devices may differ in."""
    row = json.loads(line)
    return {**row, "log_prob": round(row["log_prob"], 3)}
