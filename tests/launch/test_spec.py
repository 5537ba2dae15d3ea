"""What a launch spec refuses, in one line that says the way out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from launch import cloud_tpu, gke
from tests.launch.specs import spec

CASES: dict[str, tuple[dict[str, object], str]] = {
    "unknown accelerator": ({"accelerator": "v7-64"}, "there is no TPU 'v7'"),
    "size that does not exist": ({"accelerator": "v5e-100"}, "no slice of 100 chips; near ones"),
    "topology that does not exist": ({"accelerator": "v5e-3x5"}, "no topology 3x5; near ones"),
    "unknown capacity": ({"capacity": "on_demand"}, "did you mean 'on-demand'"),
    "reservation without a name": ({"capacity": "reservation", "reservation": None}, "has a name"),
    "reservation with another kind": ({"capacity": "spot", "reservation": "r"}, "only capacity"),
    "flex-start without an end": (
        {"capacity": "flex-start", "max_run_duration": None},
        "needs --max_run_duration",
    ),
    "an end without flex-start": ({"max_run_duration": "3h"}, "belongs to --capacity=flex-start"),
    "no slices": ({"slices": 0}, "slices 0: at least 1"),
    "bad name": ({"name": "My_Run"}, "lower-case letters"),
    "no project": ({"project": ""}, "give --project"),
    "no image": ({"image": ""}, "give --image"),
    "nothing to run": ({"command": ()}, "nothing to run"),
    "bad variable": ({"env": {"A-B": "1"}}, "no name of an environment variable"),
    "twice": ({"env": {"A": "1"}, "secrets": {"A": "s/k"}}, "remove one of them"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str) -> None:
    changes, words = CASES[case]
    with pytest.raises(UserError) as caught:
        spec(**changes)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "MY_PASSWORD", "client_secret"])
def test_a_secret_is_not_taken_as_a_plain_variable(name: str) -> None:
    with pytest.raises(UserError, match="looks like a secret") as caught:
        spec(env={name: "planted"}, secrets={})
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("main", [cloud_tpu.main, gke.main])
def test_the_command_line_says_it_in_one_line(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--name=a", "--project=p", "--zone=z-a", "--image=i", "--accelerator=v5e-3x5", "train"]
    assert main(["up", *line]) == EXIT_BAD_INPUT
    (error,) = capsys.readouterr().err.splitlines()
    assert "no topology 3x5" in error


def test_queued_resources_do_not_have_everything() -> None:
    with pytest.raises(UserError, match=r"use `python -m launch.gke`"):
        cloud_tpu.create(spec("tpu7x-64"))
    with pytest.raises(UserError, match="ask for v5p-512, or use GKE"):
        cloud_tpu.create(spec("v5p-4x4x16"))
    assert "--topology=4x4x16" in cloud_tpu.create(spec("v4-4x4x16"))


@pytest.mark.parametrize("reference", ["a b", "$(cat x)", "hub/1/2", "a/la test"])
def test_a_secret_reference_is_no_shell(reference: str) -> None:
    with pytest.raises(UserError, match="not its value") as caught:
        cloud_tpu.start(spec(secrets={"HF_TOKEN": reference}))
    assert reference not in str(caught.value)


@pytest.mark.parametrize("module", ["launch.cloud_tpu", "launch.gke", "launch.local"])
def test_launchers_import_nothing_heavy(module: str) -> None:
    heavy = ("jax", "numpy", "flax", "tensorflow", "gin")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
