"""A step compiled beforehand: the same results, and what happens where it does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from flan_t5x.cli.gin_config import load
from flan_t5x.cli.gin_flags import Binding
from flan_t5x.cli.main import main
from flan_t5x.errors import UserError
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import resolve_rules
from flan_t5x.train import job
from flan_t5x.train.saved_program import load_program, require_program, save_program
from flan_t5x.train.step import abstract_batch, compile_step

FIRST = jax.devices()[:1]
X = jax.ShapeDtypeStruct((64, 64), jnp.float32)


def lowered(scale: float = 2.0) -> jax.stages.Lowered:
    def step(state: jax.Array, batch: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        return scale * state @ batch, {"sum": state.sum()}

    return jax.jit(step, donate_argnums=0).lower(X, X)


def saved(path: Path) -> Path:
    program = lowered()
    assert save_program(path, program, program.compile()) == path.stat().st_size
    return path


def test_it_computes_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    program = load_program(str(saved(tmp_path / "step")), lowered(), devices=FIRST, say=said.append)
    assert program is not None
    batch = jax.random.normal(jax.random.key(0), (64, 64))
    state, metrics = program(jnp.eye(64), batch)
    assert (state == 2 * batch).all()
    assert metrics["sum"] == 64
    assert said == []


def test_another_program_is_said_and_compiled(tmp_path: Path) -> None:
    said: list[str] = []
    assert (
        load_program(str(saved(tmp_path / "step")), lowered(3.0), devices=FIRST, say=said.append)
        is None
    )
    assert "holds another program" in said[0]
    assert said[0].endswith("compiling")


def test_a_damaged_program_is_said_and_compiled(tmp_path: Path) -> None:
    path = saved(tmp_path / "step")
    path.write_bytes(path.read_bytes()[:-500])
    said: list[str] = []
    assert load_program(str(path), lowered(), devices=FIRST, say=said.append) is None
    assert "is not taken by this runtime" in said[0]


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04pickle", b'{"format": "other"}\n'])
def test_no_such_file(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "step"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="compiled_program"):
        require_program(str(path))


def test_it_cannot_be_written(tmp_path: Path) -> None:
    program = lowered()
    with pytest.raises(UserError, match="cannot write"):
        save_program(tmp_path / "no" / "step", program, program.compile())


BINDINGS = {
    "INITIAL_CHECKPOINT_PATH": "mini_base_nano",
    "MIXTURE_OR_TASK_NAME": "mini_opposite_zs",
    "EVAL_MIXTURE": "mini_find_vehicle_zs",
    "BATCH_SIZE": "8",
    "TRAIN_STEPS": "3",
    "train_config.EvalConfig.final": "[]",
    "train_config.EvalConfig.examples_per_task": "2",
    "train.log_period": "1",
}
FILES = ["smoke.gin", "models/nano.gin"]


def keep_the_step(path: Path) -> None:
    """What `flan-t5x plan --save_program` does, for the devices that are here."""
    statements = [
        f"{name} = {value!r}" if value.startswith("mini") else f"{name} = {value}"
        for name, value in BINDINGS.items()
    ]
    arguments: dict[str, Any] = load(
        "train",
        gin_files=FILES,
        bindings=[Binding(s, s) for s in statements],
        given=["dry_run", "operative_config"],
    ).arguments()
    mesh, rules = make_mesh({"data": -1}), resolve_rules("data_parallel")
    network = job.build_network(arguments["model"], arguments["optimizer"], mesh=mesh, rules=rules)
    step = compile_step(
        network.model,
        network.optimizer,
        config=arguments["step"],
        mesh=mesh,
        shardings=network.shardings,
        rules=rules,
    )
    lengths = arguments["data"].task_feature_lengths
    program = step.lower(network.abstract, abstract_batch(8, lengths, mesh))
    save_program(path, program, program.compile())


def losses(model_dir: Path) -> list[float]:
    lines = (model_dir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [record["loss"] for record in records if record["kind"] == "train"]


def test_a_run_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_the_step(tmp_path / "step")
    flags = [f"--gin_file={file}" for file in FILES]
    flags += [f"--gin.{name}={value}" for name, value in BINDINGS.items()]
    plain, taken = tmp_path / "plain", tmp_path / "taken"
    assert main(["train", *flags, f"--gin.MODEL_DIR={plain}"]) == 0
    capsys.readouterr()
    program = f"--gin.train.compiled_program={tmp_path / 'step'}"
    assert main(["train", *flags, program, f"--gin.MODEL_DIR={taken}"]) == 0
    assert "compiling" not in capsys.readouterr().out
    assert losses(taken) == losses(plain)
    assert len(losses(plain)) == 3
    missing = "--gin.train.compiled_program=/nowhere/step"
    assert main(["train", *flags, missing, f"--gin.MODEL_DIR={taken}"]) == 2
    assert "/nowhere/step: No such file" in capsys.readouterr().err
