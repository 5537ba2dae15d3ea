"""The one error a user is meant to see: it names the thing and says the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

EXIT_BAD_INPUT = 2
EXIT_PREEMPTED = 75  # EX_TEMPFAIL: stopped by a signal after a save; run the same command again
EXIT_NON_FINITE = 3  # the loss stopped being a number; running again would only meet it again
EXIT_DISCONNECTED = 4  # other processes of the run were not reached, or went away; run it again
EXIT_STALLED = 5  # the watchdog: no step was completed in time, stacks were printed; run it again


class UserError(Exception):
    """Bad input (configuration, data, checkpoint, topology): one clear message, exit code 2.

    The command prints the message alone; the traceback appears with ``--verbose``.
    """


class NonFiniteLossError(UserError):
    """The loss or a gradient stopped being finite; the message names step, rows and tasks."""


class DisconnectedError(UserError):
    """Other processes of the run were not reached, or went away: no fault of this one."""


class StalledError(UserError):
    """Nothing moved for longer than the watchdog allows."""


def exit_code(error: BaseException) -> int:
    """What the command ends with after an error; 1 for one that is not the user's, a bug."""
    if isinstance(error, NonFiniteLossError):
        return EXIT_NON_FINITE
    if isinstance(error, DisconnectedError):
        return EXIT_DISCONNECTED
    if isinstance(error, StalledError):
        return EXIT_STALLED
    missing_file = isinstance(error, OSError) and error.filename is not None
    return EXIT_BAD_INPUT if missing_file or isinstance(error, UserError) else 1


def nearest(name: str, choices: Iterable[str], *, most: int = 3) -> str:
    """A phrase such as ``did you mean 'a' or 'b'?``; empty where nothing is near.

    Args:
        name: what the user wrote.
        choices: the valid names.
        most: how many near names to give at the most.
    """
    names = list(dict.fromkeys(choices))
    near = difflib.get_close_matches(name, names, n=most, cutoff=0.6)
    if not near:
        tail = name.rsplit(".", 1)[-1].lower()
        near = [c for c in names if len(tail) > 2 and tail in c.lower()][:most]
    return f"did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def require_count(name: str, value: Any, *, at_least: int = 1) -> None:
    """Raises UserError unless `value` is a whole number that is large enough."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise UserError(f"{name} = {value!r}: a whole number >= {at_least} is needed")
