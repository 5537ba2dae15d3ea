"""A run that trains adapters: what it saves, how it resumes, that eval answers with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.base import load_base
from flan_t5x.checkpoint.convert.merge import open_plan
from flan_t5x.checkpoint.initial import load_initial
from flan_t5x.checkpoint.make_base import make_base
from flan_t5x.checkpoint.reading import read_params
from flan_t5x.cli.main import main
from flan_t5x.model import lora
from flan_t5x.model.config import LoraConfig
from flan_t5x.model.model import Model

from . import small_job
from .conftest import STEPS, Small

SIZES = "emb_dim=32 num_heads=2 head_dim=8 mlp_dim=64 num_encoder_layers=1 num_decoder_layers=1"
LORA = LoraConfig(rank=2, alpha=4.0, targets=("query", "value", "wo"), dropout=0.1)
EXTRA = """
LORA_RANK = 2
config.T5Config.lora = @config.LoraConfig()
config.LoraConfig:
  rank = %LORA_RANK
  alpha = 4.0
  targets = ('query', 'value', 'wo')
  dropout = 0.1
"""


@pytest.fixture(scope="module")
def job(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The small job on adapters; its undisturbed run starts from the other one's best step."""
    folder = tmp_path_factory.mktemp("lora")
    recipe = small_job.write_recipe(folder, EXTRA)
    made = dataclasses.replace(small, folder=folder, recipe=recipe, undisturbed=folder / "run")
    assert made.train(made.undisturbed, INITIAL_CHECKPOINT_PATH=small.undisturbed) == 0
    return made


def test_checkpoints_hold_adapters_alone(job: Small, small: Small) -> None:
    names = small_job.saved_params(job.undisturbed, STEPS)
    assert {name.rsplit("/", 1)[-1] for name in names} == {"lora_a", "lora_b"}
    assert all(array.any() for array in names.values())
    assert len(names) == 2 * (3 + 5)
    losses = small_job.losses(job.undisturbed)
    assert len(losses) == STEPS
    assert np.isfinite(losses).all()


def test_stopped_and_resumed_ends_the_same(job: Small, small: Small) -> None:
    run = job.folder / "resumed"
    assert job.train(run, INITIAL_CHECKPOINT_PATH=small.undisturbed, TRAIN_STEPS=3) == 0
    assert job.train(run, INITIAL_CHECKPOINT_PATH=small.undisturbed) == 0
    ends = [small_job.saved_params(path, STEPS) for path in (run, job.undisturbed)]
    assert not small_job.differing(*ends)


def test_what_answers_is_the_merged_model(job: Small, small: Small) -> None:
    config = open_plan(str(job.undisturbed)).config
    shapes = Model(config).abstract_params
    base = load_initial(str(small.undisturbed), shapes)
    adapters = read_params(job.undisturbed)
    wanted = lora.merge(lora.join(base, adapters), LORA)
    found = load_initial(str(job.undisturbed), shapes)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), found, wanted)
    assert np.abs(found["encoder"]["layers"]["mlp"]["wo"]["kernel"]
                  - base["encoder"]["layers"]["mlp"]["wo"]["kernel"]).max() > 0  # fmt: skip


def test_eval_scores_what_the_run_scored(job: Small, capsys: pytest.CaptureFixture[str]) -> None:
    out = job.folder / "scores"
    line = ["eval", "--gin_file=models/tiny.gin", "--gin_file=runs/eval.gin"]
    line += [f"--gin.T5Config.{size}" for size in SIZES.split()]
    line += [f"--gin.CHECKPOINT_PATH={job.undisturbed}", "--gin.MIXTURE_OR_TASK_NAME=small"]
    line += ["--gin.TASK_FEATURE_LENGTHS={'inputs': 64, 'targets': 12}", "--gin.BATCH_SIZE=16"]
    line += [f"--gin.CACHE_DIR={job.cache_dir}", "--gin.EXAMPLES_PER_TASK=6"]
    line += [f"--gin.EVAL_OUTPUT_DIR={out}", f"--task_module={small_job.MODULE}"]
    assert main(line) == 0
    scores = json.loads((out / "results.json").read_text())
    best = small_job.best(job.undisturbed)
    assert scores["average"] == pytest.approx(best["value"])


def test_infer_answers_as_the_merged_model(job: Small) -> None:
    merged = job.folder / "merged"
    assert main(["convert", str(job.undisturbed), str(merged), "--to=flan_t5x"]) == 0
    prompts = job.folder / "prompts.jsonl"
    prompts.write_text('{"inputs": "copy: red blue"}\n{"inputs": "red"}\n')
    answers = []
    for checkpoint in (job.undisturbed, merged):
        out = job.folder / f"{checkpoint.name}.jsonl"
        line = ["infer", "--gin_file=models/tiny.gin", "--gin_file=runs/infer.gin"]
        line += [f"--gin.T5Config.{size}" for size in SIZES.split()]
        line += [f"--gin.CHECKPOINT_PATH={checkpoint}", f"--gin.INPUT_PATH={prompts}"]
        line += [f"--gin.OUTPUT_PATH={out}", "--gin.MAX_INPUT_LENGTH=16", "--gin.BATCH_SIZE=2"]
        assert main([*line, "--gin.MAX_DECODE_LENGTH=4"]) == 0
        answers.append([json.loads(row) for row in out.read_text().splitlines()])
    assert len(answers[0]) == 2
    for ours, theirs in zip(*answers, strict=True):
        assert ours["prediction"] == theirs["prediction"]
        assert ours["log_prob"] == pytest.approx(theirs["log_prob"], abs=1e-5)


def test_a_base_file_of_it_is_the_whole_model(job: Small) -> None:
    file = job.folder / "made.npz"
    card = make_base(job.undisturbed, file, command="flan-t5x train ...")
    plan = open_plan(str(job.undisturbed))
    assert card["num_parameters"] == plan.config.num_parameters()
    found, _ = load_base(file)
    wanted = load_initial(str(job.undisturbed), Model(plan.config).abstract_params)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y.astype(x.dtype)), found, wanted)


def test_dry_run_tells_what_is_trained(
    job: Small, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    path = {"INITIAL_CHECKPOINT_PATH": small.undisturbed}
    assert job.train(job.folder / "never", "--dry_run", **path) == 0
    text = capsys.readouterr().out
    count = sum(x.size for x in small_job.saved_params(job.undisturbed, STEPS).values())
    assert f" parameters, {count:,} of them trained; mesh" in text


@pytest.mark.parametrize(
    ("macros", "words"),
    [
        ({"LORA_RANK": 3}, "does not fit this model"),
        ({"INITIAL_CHECKPOINT_PATH": "other"}, "or from another base than INITIAL_CHECKPOINT_PATH"),
        ({"INITIAL_CHECKPOINT_PATH": None}, "trains adapters of a base that stays as it is"),
    ],
)
def test_refused(
    job: Small,
    small: Small,
    macros: dict[str, object],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Resuming with other adapters or another base, and adapters of nothing."""
    given: dict[str, object] = {"INITIAL_CHECKPOINT_PATH": small.undisturbed, **macros}
    if macros.get("INITIAL_CHECKPOINT_PATH") == "other":  # the adapters' own merged model
        given["INITIAL_CHECKPOINT_PATH"] = job.undisturbed
    capsys.readouterr()
    assert job.train(job.undisturbed, **given) == 2
    assert words in capsys.readouterr().err


def test_moments_of_a_base_are_none_of_adapters(
    job: Small, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = "--gin.CheckpointConfig.initial_optimizer_state=restore"
    path = {"INITIAL_CHECKPOINT_PATH": small.undisturbed}
    assert job.train(Path(job.folder / "never"), flag, **path) == 2
    assert "use 'fresh' with T5Config.lora" in capsys.readouterr().err
