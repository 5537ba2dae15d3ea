"""Commands as lists of words: printed for people, run as they are, never through a shell."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
from collections.abc import Sequence

from flan_t5x.errors import UserError

Argv = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
        code: its exit code.
        out: its standard output; empty where it went to the terminal.
        err: its standard error; likewise.
    """

    code: int
    out: str = ""
    err: str = ""


def shown(argv: Argv) -> str:
    """The command as one types it."""
    return shlex.join(argv)


def run(argv: Argv, *, stdin: str | None = None, capture: bool = True) -> Done:
    """Runs a command to its end.

    Args:
        argv: the program and its words.
        stdin: what it reads.
        capture: keep its output instead of passing it on to the terminal.

    Raises:
        UserError: there is no such program.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=capture, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(
            f"there is no program {argv[0]!r} on PATH; install the Google Cloud CLI "
            "(cloud.google.com/sdk), with `gcloud components install kubectl` for GKE"
        ) from error
    return Done(done.returncode, done.stdout or "", done.stderr or "")


def must(argv: Argv, *, stdin: str | None = None) -> Done:
    """`run`, where a failure is the user's to mend.

    Raises:
        UserError: the last line that the command said.
    """
    done = run(argv, stdin=stdin)
    if done.code != 0:
        said: Sequence[str] = [line for line in done.err.splitlines() if line.strip()] or [
            "nothing"
        ]
        raise UserError(f"`{shown(argv)}` failed with exit code {done.code}: {said[-1].strip()}")
    return done
