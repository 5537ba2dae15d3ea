"""Brings a run on Cloud TPU to its end: queue, start, wait, and again after a preemption."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from flan_t5x.errors import EXIT_BAD_INPUT, EXIT_NON_FINITE, UserError
from launch import cloud_tpu
from launch.commands import must, run
from launch.spec import LaunchSpec

LOOK_SECONDS = 30.0
"""How often the state of the request is asked for."""

COMING = ("", "CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING")
ACTIVE = "ACTIVE"
GOING = ("SUSPENDING", "DELETING")
GONE = "SUSPENDED"
FAILED = "FAILED"

FOR_GOOD = (EXIT_BAD_INPUT, EXIT_NON_FINITE)
"""Exit codes of the command that another start would only meet again."""

_NOT_THERE = ("NOT_FOUND", "not found", "was not found")


def up(
    spec: LaunchSpec,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Runs the command until it has ended on all hosts; the exit code.

    Args:
        spec: the run. Where the request exists already, it is used as it is.
        say: told what goes on.
        sleep: waits so many seconds, for tests.

    Raises:
        UserError: `gcloud` refuses, the request fails, or there were too many restarts.
    """
    restarts = 0
    while True:
        if not _wait_until_active(spec, say=say, sleep=sleep):
            say(f"{spec.name}: the machines were taken back")
            must(cloud_tpu.delete(spec))
            why = "preempted"
        else:
            code, why = _run_once(spec, say=say)
            if code is not None:
                return code
        if restarts == spec.max_restarts:
            raise UserError(
                f"{spec.name} was started {restarts + 1} times and did not end (last: {why}); look "
                "at its output, or raise --max_restarts"
            )
        restarts += 1
        say(f"{spec.name}: start again ({why}; restart {restarts} of {spec.max_restarts})")


def current_state(spec: LaunchSpec) -> str | None:
    """The request's state; None where there is no such request."""
    argv = cloud_tpu.state(spec)
    done = run(argv)
    if done.code == 0:
        return done.out.strip()
    if any(word in done.err for word in _NOT_THERE):
        return None
    must(argv)  # says what is wrong, or it was a passing trouble
    return ""


def _wait_until_active(
    spec: LaunchSpec, *, say: Callable[[str], None], sleep: Callable[[float], None]
) -> bool:
    """Asks for the machines where nobody did, and waits; False where they were taken back."""
    said: str | None = ""
    while True:
        state = current_state(spec)
        if state != said:
            say(f"{spec.name}: {state or 'not requested yet'}")
            said = state
        if state is None:
            must(cloud_tpu.create(spec))
        elif state == ACTIVE:
            return True
        elif state == GONE:
            return False
        elif state == FAILED:
            reason = " ".join(run(cloud_tpu.details(spec)).out.split())
            raise UserError(
                f"the request {spec.name} failed: {reason}. Delete it (`python -m launch.cloud_tpu "
                "delete ...`), then ask for another size, zone or capacity"
            )
        elif state not in COMING and state not in GOING:
            raise UserError(f"the request {spec.name} has the unknown state {state!r}")
        sleep(LOOK_SECONDS)


def _run_once(spec: LaunchSpec, *, say: Callable[[str], None]) -> tuple[int | None, str]:
    """Starts the command and waits; its exit code where it has ended for good, and why not."""
    say(f"{spec.name}: starting on {spec.processes} hosts")
    started = run(cloud_tpu.start(spec))
    if started.code != 0:
        return None, f"not all hosts could start: {_last_line(started.err)}"
    done = run(cloud_tpu.ended(spec))
    codes = [int(code) for code in re.findall(r"exit=(\d+)", done.out)]
    final = next((code for code in FOR_GOOD if code in codes), None)
    if final is not None:
        say(f"{spec.name}: ended with exit code {final}, which is not tried again; see its output")
        return final, ""
    if len(codes) == spec.processes and not any(codes):
        say(f"{spec.name}: done")
        return 0, ""
    return None, f"exit codes {codes}" if codes else "the hosts cannot be reached"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
