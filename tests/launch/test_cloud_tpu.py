"""Cloud TPU from beginning to end, with a program named `gcloud` that plays a part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flan_t5x.errors import EXIT_BAD_INPUT
from launch import cloud_tpu, cloud_tpu_up
from tests.launch.specs import spec

FAKE = f"""#!{sys.executable}
import json, os, sys
folder = os.environ["FAKE_GCLOUD"]
words = sys.argv[1:]
with open(folder + "/calls", "a") as file:
    file.write(json.dumps(words) + "\\n")

def take(part):
    left = json.load(open(folder + "/" + part))
    answer = left.pop(0) if len(left) > 1 else left[0]
    json.dump(left, open(folder + "/" + part, "w"))
    return answer

if "describe" in words and "--format=value(state.state)" in words:
    state = take("states")
    if state is None:
        sys.exit("ERROR: (gcloud.compute.tpus) NOT_FOUND: no such resource")
    if state == "DENIED":
        sys.exit("ERROR: (gcloud) PERMISSION_DENIED: not allowed")
    print(state)
elif "describe" in words:
    print("state:\\n  failedData:\\n    error: no capacity of this kind")
elif "ssh" in words and any("docker wait" in word for word in words):
    for code in take("exits"):
        print(f"exit={{code}}")
elif "ssh" in words and any("docker run" in word for word in words):
    sys.exit(take("starts"))
"""
HOSTS = 16
LINE = ("--name=mine", "--accelerator=v5p-128", "--project=p", "--zone=z-a", "--image=i")


class Played:
    """The fake `gcloud` on PATH, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def plays(
        self,
        states: Sequence[str | None],
        *,
        exits: Sequence[Sequence[int]] = ((0,) * HOSTS,),
        starts: Sequence[int] = (0,),
    ) -> None:
        """What it answers, one after another; the last answer stays."""
        for part, answers in (("states", states), ("exits", exits), ("starts", starts)):
            (self._folder / part).write_text(json.dumps(answers))

    def calls(self) -> list[str]:
        """The actions asked for, states left out."""
        lines = (self._folder / "calls").read_text().splitlines()
        words = [json.loads(line) for line in lines]
        assert all(isinstance(word, str) for line in words for word in line)
        found = []
        for line in words:
            if "describe" in line:
                continue
            text = " ".join(line)
            kinds = ("create", "delete", "docker run", "docker wait")
            found.append(next(kind for kind in kinds if kind in text))
        return found


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    program = tmp_path / "bin" / "gcloud"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GCLOUD", str(tmp_path))
    monkeypatch.setattr(cloud_tpu_up, "LOOK_SECONDS", 0.0)
    return Played(tmp_path)


def up(*flags: str) -> int:
    return cloud_tpu.main(["up", *LINE, "--execute", *flags, "train", "--gin_file=smoke.gin"])


def test_queued_then_done(gcloud: Played, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = ["CREATING", "WAITING_FOR_RESOURCES", "WAITING_FOR_RESOURCES", "PROVISIONING"]
    gcloud.plays([None, *waiting, "ACTIVE"])
    assert up() == 0
    assert gcloud.calls() == ["create", "docker run", "docker wait"]
    out = capsys.readouterr().out
    said = [line.split(": ")[1] for line in out.splitlines() if line.startswith("mine: ")]
    assert said[:5] == ["not requested yet", *dict.fromkeys(waiting), "ACTIVE"]
    assert "# watch:  gcloud" in out
    assert "# delete: gcloud compute tpus queued-resources delete mine" in out


def test_an_existing_request_is_used(gcloud: Played) -> None:
    gcloud.plays(["ACTIVE"])
    assert up() == 0
    assert gcloud.calls() == ["docker run", "docker wait"]


def test_preempted_while_it_ran(gcloud: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """The hosts are gone, so nothing answers; the request says SUSPENDED; a new one goes on."""
    states = ["ACTIVE", "SUSPENDING", "SUSPENDED", None, "WAITING_FOR_RESOURCES", "ACTIVE"]
    gcloud.plays(states, exits=[[], [0] * HOSTS])
    assert up("--capacity=spot") == 0
    assert gcloud.calls() == [
        *("docker run", "docker wait"),
        *("delete", "create"),
        *("docker run", "docker wait"),
    ]
    assert "the machines were taken back" in capsys.readouterr().out


def test_stopped_runs_start_again_on_the_same_machines(gcloud: Played) -> None:
    stopped = [75] * HOSTS
    killed = [4] * (HOSTS - 1) + [137]
    gcloud.plays(["ACTIVE"], exits=[stopped, killed, [0] * HOSTS])
    assert up() == 0
    assert gcloud.calls() == ["docker run", "docker wait"] * 3


@pytest.mark.parametrize("code", [2, 3])
def test_what_is_wrong_for_good_is_not_tried_again(gcloud: Played, code: int) -> None:
    gcloud.plays(["ACTIVE"], exits=[[code] * HOSTS])
    assert up() == code
    assert gcloud.calls() == ["docker run", "docker wait"]


def test_a_host_that_is_missing_is_not_done(gcloud: Played) -> None:
    gcloud.plays(["ACTIVE"], exits=[[0] * (HOSTS - 1), [0] * HOSTS])
    assert up() == 0
    assert gcloud.calls() == ["docker run", "docker wait"] * 2


def test_too_many_restarts(gcloud: Played, capsys: pytest.CaptureFixture[str]) -> None:
    gcloud.plays(["ACTIVE"], exits=[[75] * HOSTS], starts=[0, 1, 0])
    assert up("--max_restarts=2") == EXIT_BAD_INPUT
    assert gcloud.calls() == [
        "docker run",
        "docker wait",
        "docker run",
        "docker run",
        "docker wait",
    ]
    assert "was started 3 times and did not end" in capsys.readouterr().err


def test_a_failed_request_says_why(gcloud: Played, capsys: pytest.CaptureFixture[str]) -> None:
    gcloud.plays([None, "WAITING_FOR_RESOURCES", "FAILED"])
    assert up() == EXIT_BAD_INPUT
    assert gcloud.calls() == ["create"]
    (line,) = capsys.readouterr().err.splitlines()
    assert "no capacity of this kind" in line
    assert "ask for another size, zone or capacity" in line


def test_what_gcloud_refuses(gcloud: Played, capsys: pytest.CaptureFixture[str]) -> None:
    gcloud.plays(["DENIED"])
    assert up() == EXIT_BAD_INPUT
    assert "PERMISSION_DENIED: not allowed" in capsys.readouterr().err


def test_without_execute_nothing_is_asked(
    gcloud: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in ("up", "create", "run"):
        assert cloud_tpu.main([action, *LINE, "train"]) == 0
    for action in ("status", "logs", "delete"):
        assert cloud_tpu.main([action, "--name=mine", "--project=p", "--zone=z-a"]) == 0
    assert not (tmp_path / "calls").exists()
    assert "queued-resources create mine" in capsys.readouterr().out


def test_no_gcloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert up() == EXIT_BAD_INPUT
    assert "no program 'gcloud' on PATH; install" in capsys.readouterr().err


def test_what_a_host_runs_is_sound_shell(tmp_path: Path) -> None:
    """Run for real, with programs of the same names that only write down their words."""
    note = f'#!/bin/sh\nprintf "%s|" "$0" "$@" >> {tmp_path}/said\necho >> {tmp_path}/said\n'
    for name in ("gcloud", "docker", "gcsfuse", "mkdir", "mountpoint"):
        (tmp_path / name).write_text(note)
        (tmp_path / name).chmod(0o755)
    answers = "echo planted\n"  # what the fake Secret Manager holds
    (tmp_path / "gcloud").write_text(note + answers)
    sudo = '#!/bin/sh\nfor word; do case "$word" in --*) shift;; *) break;; esac; done\nexec "$@"\n'
    (tmp_path / "sudo").write_text(sudo)
    (tmp_path / "sudo").chmod(0o755)
    script = cloud_tpu.start_script(spec(secrets={"HF_TOKEN": "hub"}))
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "said").read_text()
    started = next(line for line in said.splitlines() if "/docker|run|" in line)
    assert "--env=HF_TOKEN|" in started
    assert "--gin.MODEL_DIR=/gcs/runs/a b|" in started
    assert started.endswith("--join_seconds=600|")
    assert "planted" not in said + script
