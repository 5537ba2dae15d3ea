"""A run's first weights straight from other systems' checkpoints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.base import save_base
from flan_t5x.checkpoint.convert.source import spiece_fingerprint
from flan_t5x.checkpoint.initial import load_initial, load_initial_moments, locate
from flan_t5x.cli.main import main
from flan_t5x.data.vocabulary import Vocabulary, resolve_vocabulary
from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config
from flan_t5x.train.optimizer import adafactor, adamw

from .made import FACTORED, TINY, abstract, make_run, make_scalable, stacked, to, values


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_base(tmp_path / "base.npz", stacked(values(TINY), TINY), {})
    return tmp_path / "base.npz"


@pytest.mark.parametrize("layout", ["hf", "t5x", "flan_t5x", "scalable_t5"])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_any_kind_is_a_first_checkpoint(
    base: Path, tmp_path: Path, layout: str, dtype: str | None
) -> None:
    made = tmp_path / "made"
    if layout == "scalable_t5":
        make_scalable(made, values(TINY), TINY)
    else:
        to(base, made, layout, dtype=dtype)
    params = load_initial(str(made), abstract(TINY), config=TINY)
    expected = stacked(values(TINY), TINY)
    rounding = 2**-8 if dtype else 0.0

    def compare(ours: np.ndarray, theirs: np.ndarray) -> None:
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=rounding, atol=0)

    jax.tree.map(compare, params, expected)
    if layout != "flan_t5x":
        assert locate(str(made)) == str(made)


def test_another_size_is_named(base: Path, tmp_path: Path) -> None:
    hf = to(base, tmp_path / "hf", "hf")
    other = dataclasses.replace(TINY, mlp_dim=8)
    with pytest.raises(UserError, match=r"encoder/layers/mlp/wi_0/kernel is float32\[2, 12, 7\]"):
        load_initial(str(hf), abstract(other))


@pytest.mark.parametrize("layout", ["hf", "flan_t5x"])
def test_another_activation_is_named(tmp_path: Path, layout: str) -> None:
    silu = dataclasses.replace(TINY, mlp_activations=("silu", "linear"))
    make_run(tmp_path / "run", silu)
    (tmp_path / "run" / "config.gin").write_text(
        "config.T5Config.mlp_activations = ('silu', 'linear')\n"
    )
    made = to(tmp_path / "run", tmp_path / "made", layout)
    load_initial(str(made), abstract(TINY), config=silu)
    with pytest.raises(UserError, match=r"set T5Config.mlp_activations = \('silu', 'linear'\)"):
        load_initial(str(made), abstract(TINY), config=TINY)


@pytest.mark.parametrize("layout", ["hf", "flan_t5x"])
def test_another_vocabulary_is_refused(tmp_path: Path, layout: str) -> None:
    config = dataclasses.replace(TINY, vocab_size=1152)
    save_base(tmp_path / "base.npz", stacked(values(config), config), {})
    mini = resolve_vocabulary("mini")
    made = to(tmp_path / "base.npz", tmp_path / "made", layout, spiece=Path(mini.model_path))
    load_initial(str(made), abstract(config), vocabulary=mini.fingerprint())
    with pytest.raises(UserError, match="was made with another vocabulary"):
        load_initial(str(made), abstract(config), vocabulary="0" * 64)


def test_the_fingerprint_is_the_vocabularys(tmp_path: Path) -> None:
    mini = resolve_vocabulary("mini")
    assert spiece_fingerprint(Path(mini.model_path)) == mini.fingerprint()
    other = Vocabulary(mini.model_path, extra_ids=99)
    assert spiece_fingerprint(Path(mini.model_path)) != other.fingerprint()


@pytest.mark.parametrize("layout", ["t5x", "flan_t5x", None])
def test_moments_start_where_the_checkpoint_stopped(tmp_path: Path, layout: str | None) -> None:
    make_run(tmp_path / "run", FACTORED)
    path = tmp_path / "run"
    wanted = jax.eval_shape(adafactor(1e-3).init, abstract(FACTORED))
    original = load_initial_moments(str(path), wanted)
    if layout is not None:
        path = to(path, tmp_path / "made", layout)
    found = load_initial_moments(str(path), wanted)
    assert int(found.step) == 70
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    assert float(found.v_row["encoder"]["layers"]["mlp"]["wo"]["kernel"].min()) > 0
    assert jax.tree.all(jax.tree.map(np.array_equal, found, original))


def test_where_there_are_no_moments(base: Path, tmp_path: Path) -> None:
    wanted = jax.eval_shape(adafactor(1e-3).init, abstract(TINY))
    with pytest.raises(UserError, match="parameters alone; start with a fresh one"):
        load_initial_moments(str(base), wanted)
    hf = to(base, tmp_path / "hf", "hf")
    with pytest.raises(UserError, match="gives no optimizer state"):
        load_initial_moments(str(hf), wanted)
    make_run(tmp_path / "run", TINY)
    other = jax.eval_shape(adamw(1e-3).init, abstract(TINY))
    with pytest.raises(UserError, match="does not fit this model"):
        load_initial_moments(str(tmp_path / "run"), other)


def test_nothing_there_keeps_the_words_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no complete checkpoint in"):
        load_initial(str(tmp_path / "none"), abstract(TINY))


def test_a_converted_folder_answers_prompts(tmp_path: Path) -> None:
    """Its model.gin and the folder itself are all that `flan-t5x infer` needs."""
    hf = tmp_path / "hf"
    assert main(["convert", "mini_base", str(hf)]) == 0
    ours = tmp_path / "ours"
    assert main(["convert", str(hf), str(ours)]) == 0
    (tmp_path / "prompts.jsonl").write_text('{"inputs": "copy: red"}\n')
    answers = tmp_path / "answers.jsonl"
    line = ["infer", f"--gin_file={ours}/model.gin", "--gin_file=runs/infer.gin"]
    line += [f"--gin.INPUT_PATH={tmp_path}/prompts.jsonl", f"--gin.OUTPUT_PATH={answers}"]
    line += ["--gin.MAX_INPUT_LENGTH=16", "--gin.MAX_DECODE_LENGTH=4", "--gin.BATCH_SIZE=1"]
    assert main([*line, f"--gin.CHECKPOINT_PATH={ours}"]) == 0
    record = json.loads(answers.read_text().splitlines()[-1])
    assert {"inputs", "prediction"} <= record.keys()


def test_sizes_of_a_config_are_whole(base: Path, tmp_path: Path) -> None:
    """What `model.gin` writes is the model, to the last parameter."""
    from flan_t5x.checkpoint.convert.run import Conversion, prepare
    from flan_t5x.checkpoint.convert.write_ours import model_gin

    plan, _ = prepare(Conversion(source=str(base), target=tmp_path / "x"))
    text = model_gin(plan, tmp_path / "x", with_vocabulary=False)
    assert "VOCABULARY = %gin.REQUIRED" in text
    body = text.split("config.T5Config:\n")[1]
    sizes = dict(line.strip().split(" = ") for line in body.splitlines())
    assert sizes.pop("dropout_rate") == "%DROPOUT_RATE"
    told = T5Config(**{name: eval(value) for name, value in sizes.items()})
    assert told.num_parameters() == TINY.num_parameters()
