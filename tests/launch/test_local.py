"""The local launcher: the commands it builds (golden), and how it ends what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch import local

ROOT = Path(__file__).resolve().parents[2]
FLAG = "--xla_force_host_platform_device_count"


def spec(**changes: object) -> local.Spec:
    settings: dict[str, object] = {
        "processes": 2,
        "devices": 4,
        "port": 5555,
        "arguments": ["train", "--gin_file=smoke.gin", "--gin.MODEL_DIR=/tmp/a b"],
        "program": ("flan-t5x",),
    }
    return local.Spec(**(settings | changes))  # type: ignore[arg-type]


def test_two_processes() -> None:
    line = ("flan-t5x", "train", "--gin_file=smoke.gin", "--gin.MODEL_DIR=/tmp/a b")
    together = ("--coordinator_address=127.0.0.1:5555", "--process_count=2")
    env = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{FLAG}=4"}
    assert local.commands(spec()) == [
        local.Command((*line, *together, "--process_index=0"), env),
        local.Command((*line, *together, "--process_index=1"), env),
    ]


def test_one_process_needs_no_coordinator() -> None:
    (command,) = local.commands(spec(processes=1, devices=8, arguments=["eval"]))
    assert command.argv == ("flan-t5x", "eval")
    assert command.env["XLA_FLAGS"] == f"{FLAG}=8"


def test_other_xla_flags_are_kept() -> None:
    flags = f"--xla_a=1 {FLAG}=2 --xla_b=x"
    command = local.commands(spec(xla_flags=flags))[0]
    assert command.env["XLA_FLAGS"] == f"--xla_a=1 --xla_b=x {FLAG}=4"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"processes": 0}, "0 processes of 4 devices"),
        ({"devices": 0}, "2 processes of 0 devices"),
        ({"arguments": []}, "nothing to run"),
    ],
)
def test_what_cannot_be_started(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        local.commands(spec(**changes))


def test_print_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(local, "free_port", lambda: 7)
    options = ["--processes=2", "--devices=3", "--print_only"]
    assert local.main([*options, "train", "--dry_run", "--gin.A=b c"]) == 0
    setting = f"JAX_PLATFORMS=cpu XLA_FLAGS={FLAG}=3 {sys.executable} -m flan_t5x.cli.main"
    command = f"{setting} train --dry_run '--gin.A=b c'"
    command += " --coordinator_address=127.0.0.1:7 --process_count=2 --process_index="
    assert capsys.readouterr().out.splitlines() == [f"{command}0", f"{command}1"]


def test_bad_numbers_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        local.main(["--processes=0", "train"])
    assert caught.value.code == 2
    assert "both must be at least 1" in capsys.readouterr().err


def python(*programs: str) -> list[local.Command]:
    return [local.Command((sys.executable, "-c", program), {}) for program in programs]


def test_success_and_prefixed_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert local.run(python("print('zero')", "print('one')")) == 0
    out, err = capfd.readouterr()
    assert out == "zero\n"
    assert err == "[1] one\n"


def test_output_in_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert local.run(python("pass", "print('one')"), log_dir=tmp_path / "logs") == 0
    assert (tmp_path / "logs" / "process-1.log").read_text() == "one\n"
    assert capfd.readouterr() == ("", "")


def test_the_first_failure_ends_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Process 1 fails with 7; process 0 would sleep on, and so would a worker of its."""
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.3)
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"child = os.fork(); open({str(tmp_path)!r} + f'/{{os.getpid()}}', 'w'); time.sleep(60)"
    )
    failing = f"""
import os, time
while len(os.listdir({str(tmp_path)!r})) < 2:
    time.sleep(0.01)
os._exit(7)
"""
    began = time.monotonic()
    assert local.run(python(stubborn, failing)) == 7
    assert time.monotonic() - began < 20
    ids = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 5
    while any(running(number) for number in ids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(running(number) for number in ids)


def running(number: int) -> bool:
    """Whether a process exists and is not a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_signal_ends_like_in_a_shell() -> None:
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert local.run(python(killed)) == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_every_process(number: int, tmp_path: Path) -> None:
    heeding = f"""
import os, signal, sys, time
def stop(*_):
    open({str(tmp_path)!r} + "/" + sys.argv[-1] + ".stopped", "w")
    os._exit(75)
signal.signal({int(number)}, stop)
open({str(tmp_path)!r} + "/" + sys.argv[-1], "w")
time.sleep(60)
"""
    launcher = f"""
import sys
from launch import local
lines = [(sys.executable, "-c", {heeding!r}, name) for name in "ab"]
sys.exit(local.run([local.Command(line, {{}}) for line in lines]))
"""
    process = subprocess.Popen([sys.executable, "-c", launcher], cwd=ROOT)
    deadline = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, number)
    assert process.wait(timeout=20) == 75
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", "a.stopped", "b.stopped"}
