"""The same run on other devices: the very same rows, and the same losses but for rounding.

    python -m pytest tests/parallel/test_parity.py -s

prints the largest relative difference of each layout from one process with one device. The
layouts with several processes or one device are started by `launch.local`, with the real
command; those with eight devices run in this process. Every mesh comes once, with 1 or 4
microbatches in turn; `-m slow` adds the other number to each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from launch import local
from tests.parallel import row_spy
from tests.train import small_job

STEPS, ROWS = 20, 32
TOLERANCE = 1e-5  # relative
SETTINGS: Mapping[str, object] = {
    "TRAIN_STEPS": STEPS,
    "BATCH_SIZE": ROWS,
    "DROPOUT_RATE": 0.1,
}
ALONE = ("--gin.loop.train.evaluation=None",)
"""Decoding takes longest to compile: two layouts do it, one device and several processes."""

SIZES = """
EVAL_PERIOD = 100  # at the first and the last step
config.T5Config.num_heads = 4
"""


@dataclass(frozen=True)
class Layout:
    """Processes, devices, and what the configuration is told about them."""

    processes: int
    devices: int
    macros: Mapping[str, object] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


ACCUMULATE = "--gin.StepConfig.num_microbatches=4"
MESHES: dict[str, dict[str, object]] = {
    "data=8": {},
    "fsdp=8": {"MESH": {"fsdp": 8}, "RULES": "fsdp"},
    "fsdp=4, tensor=2": {"MESH": {"fsdp": 4, "tensor": 2}, "RULES": "fsdp_tensor"},
    "data=2, fsdp=2, tensor=2": {
        "MESH": {"data": 2, "fsdp": 2, "tensor": 2},
        "RULES": "fsdp_tensor",
    },
    "slice=2, fsdp=2, tensor=2": {
        "MESH": {"slice": 2, "fsdp": 2, "tensor": 2},
        "RULES": "fsdp_tensor_sequence",
    },
}

ONE = Layout(1, 1)
LAYOUTS = {"2 processes x 4 devices": Layout(2, 4)}
SLOW = {"1 device, 4 microbatches": Layout(1, 1, flags=(ACCUMULATE, *ALONE))}
for number, (named, macros) in enumerate(MESHES.items()):
    for count, flags in ((1, ALONE), (4, (ACCUMULATE, *ALONE))):
        chosen = LAYOUTS if (number % 2 == 0) == (count == 1) else SLOW
        chosen[f"{named} x {count} microbatches"] = Layout(1, 8, macros, flags)


@dataclass(frozen=True)
class Curve:
    """What a run saw and reached."""

    rows: list[dict[int, str]]
    losses: np.ndarray
    held_out: list[float]


@dataclass(frozen=True)
class Bench:
    """Runs layouts of one job, with one token cache."""

    folder: Path
    recipe: Path

    def run(self, name: str, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Curve:
        model_dir = self.folder / name.replace(" ", "_")
        macros = {**SETTINGS, **layout.macros}
        line = small_job.arguments(self.recipe, model_dir, self.folder / "cache", **macros)
        line += layout.flags
        seen = self.folder / "rows" / model_dir.name
        if (layout.processes, layout.devices) == (1, 8):
            from flan_t5x.cli.main import main

            with row_spy.recording(seen):
                assert main(line) == 0
        else:
            monkeypatch.setenv(row_spy.VARIABLE, str(seen))
            monkeypatch.chdir(small_job.ROOT)
            size = [f"--processes={layout.processes}", f"--devices={layout.devices}"]
            assert local.main([*size, *line, f"--task_module={row_spy.__name__}"]) == 0
        return Curve(
            row_spy.read(seen),
            small_job.losses(model_dir),
            [record["average"] for record in small_job.metrics(model_dir, "held_out")],
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("parity")
    return Bench(folder, small_job.write_recipe(folder, SIZES))


@pytest.fixture(scope="module")
def one(bench: Bench) -> Curve:
    """One process with one device."""
    with pytest.MonkeyPatch.context() as patch:
        return bench.run("one", ONE, patch)


def test_the_job_is_a_fair_one(one: Curve) -> None:
    """Different rows in every step, every row there, and a loss that moves."""
    assert len(one.rows) == STEPS
    assert all(sorted(rows) == list(range(ROWS)) for rows in one.rows)
    digests = [digest for rows in one.rows for digest in rows.values()]
    assert len(set(digests)) > 0.9 * len(digests)
    assert len(one.losses) == STEPS
    assert one.losses[-1] < one.losses[0] - 0.5


@pytest.mark.parametrize(
    "name", [*LAYOUTS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_layout(name: str, bench: Bench, one: Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = (LAYOUTS | SLOW)[name]
    found = bench.run(name, layout, monkeypatch)
    assert found.rows == one.rows
    difference = float(np.max(np.abs(found.losses / one.losses - 1.0)))
    print(f"\n{name}: rows identical, losses within {difference:.1e} relative over {STEPS} steps")
    assert difference < TOLERANCE
    scored = [] if layout.flags else one.held_out
    assert found.held_out == pytest.approx(scored, abs=0.1)  # one of the twelve answers
