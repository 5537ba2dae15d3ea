"""Starts one `flan-t5x` command as several processes with simulated devices on this machine.

    python -m launch.local --processes 2 --devices 4 train --gin_file=smoke.gin

runs two processes of four CPU devices each, which find each other on 127.0.0.1: what a pod
does, at the size of a desk. Everything from the command's name on is passed through.

Process 0 has the terminal. What the others print gets their number in front, or goes to files
in ``--log_dir``. SIGTERM and SIGINT are passed on to all. When one process fails, the others
get `GRACE_SECONDS` to fail by themselves and are ended then. The exit code is that of the
process that failed first, else 0.

It runs at once, unlike launchers of machines that cost money, which only print unless told to
execute: here nothing is rented and Ctrl-C ends it. ``--print_only`` prints the commands.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

GRACE_SECONDS = 10.0
"""How long processes may go on after another one failed, and again after SIGTERM."""

PASSED_ON = (signal.SIGTERM, signal.SIGINT)
PROGRAM = (sys.executable, "-m", "flan_t5x.cli.main")
_DEVICE_COUNT = "--xla_force_host_platform_device_count"
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What to start.

    Attributes:
        processes: how many, at least 1.
        devices: simulated CPU devices of each, at least 1.
        port: of process 0's coordinator on 127.0.0.1; not used by a single process.
        arguments: the command line after ``flan-t5x``.
        program: what runs it; this Python's own by default, so no PATH is searched.
        xla_flags: the caller's XLA_FLAGS, which are kept but for the device count.
    """

    processes: int
    devices: int
    port: int
    arguments: Sequence[str]
    program: Sequence[str] = PROGRAM
    xla_flags: str = ""


@dataclasses.dataclass(frozen=True)
class Command:
    """One process: its command line, and what is set in its environment besides ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


def commands(spec: Spec) -> list[Command]:
    """The command of each process, in order of process index.

    Raises:
        ValueError: fewer than one process or device, or nothing to run.
    """
    if spec.processes < 1 or spec.devices < 1:
        raise ValueError(
            f"{spec.processes} processes of {spec.devices} devices: both must be at least 1"
        )
    if not spec.arguments:
        raise ValueError("nothing to run: add a command, e.g. `train --gin_file=smoke.gin`")
    kept = [flag for flag in spec.xla_flags.split() if not flag.startswith(_DEVICE_COUNT)]
    env = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": " ".join([*kept, f"{_DEVICE_COUNT}={spec.devices}"]),
    }
    line = (*spec.program, *spec.arguments)
    if spec.processes == 1:
        return [Command(line, env)]
    together = (
        f"--coordinator_address=127.0.0.1:{spec.port}",
        f"--process_count={spec.processes}",
    )
    return [
        Command((*line, *together, f"--process_index={index}"), env)
        for index in range(spec.processes)
    ]


def run(started: Sequence[Command], *, log_dir: Path | None = None) -> int:
    """Runs the commands together until all have ended; the exit code as in the module's text.

    Args:
        started: what `commands` gave.
        log_dir: processes after the first write ``process-<index>.log`` there.
    """
    group = _Group()
    previous = {number: signal.signal(number, group.pass_on) for number in PASSED_ON}
    try:
        for index, command in enumerate(started):
            group.start(index, command, log_dir)
        return group.wait()
    finally:
        group.end()
        for number, handler in previous.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Group:
    """The running processes. Each leads a session of its own, so that the terminal's Ctrl-C
    reaches them once, through us, and so that ending one ends its workers too."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []

    def start(self, index: int, command: Command, log_dir: Path | None) -> None:
        output: int | IO[bytes] | None = None
        if index > 0 and log_dir is not None:
            log_dir.mkdir(parents=True, exist_ok=True)
            output = (log_dir / f"process-{index}.log").open("wb")
        elif index > 0:
            output = subprocess.PIPE
        process = subprocess.Popen(
            command.argv,
            env={**os.environ, **command.env},
            stdin=subprocess.DEVNULL if index else None,
            stdout=output,
            stderr=subprocess.STDOUT if index else None,
            start_new_session=True,
        )
        self._processes.append(process)
        if process.stdout is not None:
            reader = threading.Thread(target=_prefix, args=(process.stdout, index), daemon=True)
            reader.start()
            self._readers.append(reader)
        elif not isinstance(output, int | None):
            output.close()  # the process has its own

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Handler: the same signal to every process, not to its workers."""
        for process in self._processes:
            process.send_signal(number)  # does nothing where it has ended

    def wait(self) -> int:
        """Until all have ended, or one has failed; that one's exit code, else 0."""
        while True:
            codes = [process.poll() for process in self._processes]
            failed = [code for code in codes if code]
            if failed:
                self._until_all_ended(GRACE_SECONDS)
                return _exit_code(failed[0])
            if all(code == 0 for code in codes):
                return 0
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """SIGTERM to what still runs, SIGKILL to what does not heed it, workers included."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        if not self._until_all_ended(GRACE_SECONDS):
            for process in self._processes:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        for reader in self._readers:
            reader.join(timeout=GRACE_SECONDS)

    def _until_all_ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in self._processes):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _prefix(stream: IO[bytes], index: int) -> None:
    """Passes lines on to stderr with the process's number in front."""
    with stream:
        for line in stream:
            sys.stderr.write(f"[{index}] {line.decode(errors='replace')}")
            sys.stderr.flush()


def _exit_code(code: int) -> int:
    """What a shell would give: 128 + n for a process that signal n ended."""
    return 128 - code if code < 0 else code


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.local", description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default 2")
    parser.add_argument(
        "--devices", type=int, default=1, metavar="M", help="CPU devices of each, default 1"
    )
    parser.add_argument("--log_dir", type=Path, metavar="DIR", help="output of processes 1, 2, ...")
    parser.add_argument("--print_only", action="store_true", help="print the commands, run nothing")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="as after `flan-t5x`"
    )
    options = parser.parse_args(arguments)
    spec = Spec(
        processes=options.processes,
        devices=options.devices,
        port=free_port(),
        arguments=options.arguments,
        xla_flags=os.environ.get("XLA_FLAGS", ""),
    )
    try:
        planned = commands(spec)
    except ValueError as error:
        parser.error(str(error))
    if options.print_only:
        for command in planned:
            settings = [f"{name}={shlex.quote(value)}" for name, value in command.env.items()]
            print(" ".join([*settings, shlex.join(command.argv)]))
        return 0
    return run(planned, log_dir=options.log_dir)


if __name__ == "__main__":
    sys.exit(main())
