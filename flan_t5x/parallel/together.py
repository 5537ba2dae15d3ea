"""Processes of one run end together: who fails tells the others why.

A process that fails alone leaves the others waiting in a collective, for minutes or for ever. So
a failing process writes its message into the store of jax's coordination service, before it does
anything else; a thread of every other process looks there each second, prints the message with
the name of the process, and ends with the same exit code. Process 0 hosts the service and leaves
last. What cannot speak (kill -9, a lost machine) is noticed by the collective that breaks, or by
jax's heartbeats.

Nothing of this exists in a run of one process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from flan_t5x.errors import EXIT_STALLED, DisconnectedError, UserError, exit_code

LOOK_SECONDS = 1.0
"""How often a process looks whether another one failed."""

GRACE_SECONDS = 1.5
"""What another process's failure leaves this one to say the same with its own words."""

LEAVE_SECONDS = 20.0
"""A process that failed ends after so long, even where its own clean-up hangs."""

_FAILED, _LEFT = "flan_t5x/failed", "flan_t5x/left"
# Words of gloo, gRPC and jax where another process is gone.
_LOST = (
    "Gloo",
    "Connection closed by peer",
    "Connection reset by peer",
    "coordination service",
    "heartbeat",
    "The following tasks are unhealthy",
)


@dataclasses.dataclass(frozen=True)
class Failure:
    """What a failed process left for the others.

    Attributes:
        process: its index.
        host: its machine's name.
        message: one line.
        code: its exit code.
    """

    process: int
    host: str
    message: str
    code: int

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}: {self.message}"


class Watch:
    """Looks for failures of the others, from a thread of its own.

    Args:
        client: of jax's coordination service.
        process: this process's index.
        count: how many there are.
    """

    def __init__(self, client: Any, *, process: int, count: int) -> None:
        self._client = client
        self._process = process
        self._count = count
        self._speaks = threading.Lock()  # taken once, by whoever prints the last line
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="failure-watch", daemon=True)
        self._thread.start()

    def announce(self, error: BaseException) -> bool:
        """Tells the others, once. This process ends within `LEAVE_SECONDS` from now.

        Returns:
            Whether this is the failure that ends the process; False after another one.
        """
        if not self._speaks.acquire(blocking=False):
            return False
        line = summary(error)
        failure = Failure(self._process, socket.gethostname(), line, exit_code(error))
        with contextlib.suppress(Exception):  # another one was first, or the service is gone
            self._client.key_value_set(
                f"{_FAILED}/{self._process}", json.dumps(dataclasses.asdict(failure))
            )
        late = threading.Timer(LEAVE_SECONDS, self._leave_late, args=(line, failure.code))
        late.daemon = True
        late.start()
        return True

    def failure(self) -> Failure | None:
        """The first failure of another process that is known."""
        try:
            found = self._client.key_value_dir_get(_FAILED)
        except Exception:  # the service is gone: jax notices as well
            return None
        failures = [Failure(**json.loads(text)) for _, text in sorted(found)]
        return next((f for f in failures if f.process != self._process), None)

    def leave(self, code: int) -> None:
        """Ends this process; process 0 lets the others go first, whom it serves."""
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(Exception):
            self._client.key_value_set(f"{_LEFT}/{self._process}", "")
        if self._process == 0:
            deadline = time.monotonic() + LOOK_SECONDS + GRACE_SECONDS + 5.0
            while time.monotonic() < deadline and self._left() < self._count:
                time.sleep(0.1)
        os._exit(code)

    def stop(self) -> None:
        """Ends the thread, before the service is shut down."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            failure = self.failure()
            if failure is not None:
                break
        else:
            return
        # Where all fail alike (a bad configuration), each says it itself.
        if self._stop.wait(GRACE_SECONDS) or not self._speaks.acquire(blocking=False):
            return
        if failure.code == EXIT_STALLED:
            dump_stacks()
        print_error(str(failure))
        self.leave(failure.code)

    def _leave_late(self, line: str, code: int) -> None:
        print_error(line)
        self.leave(code)

    def _left(self) -> int:
        with contextlib.suppress(Exception):
            return len(self._client.key_value_dir_get(_LEFT))
        return self._count


_watch: Watch | None = None


def watch() -> None:
    """Starts to look for failures of the others; called once they are joined."""
    global _watch
    import atexit

    from jax._src import distributed

    state = distributed.global_state
    if _watch is None and state.client is not None and state.num_processes > 1:
        _watch = Watch(state.client, process=state.process_id, count=state.num_processes)
        # Registered after jax's own, so it runs before jax lets go of the service.
        atexit.register(_watch.stop)


def several() -> bool:
    """Whether this process has joined others."""
    return _watch is not None


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """What fails in here is told to the other processes at once, before any clean-up.

    Raises:
        DisconnectedError: instead of what a broken collective raised, as another process is gone.
    """
    try:
        yield
    except Exception as error:
        if _watch is None:
            raise
        if _is_loss(error):
            time.sleep(LOOK_SECONDS + GRACE_SECONDS + 0.5)  # it may have said why: then we end
            lost = DisconnectedError(
                "another process of the run went away (killed, out of memory, or its machine was "
                "lost): see its output; run the same command again on all of them"
            )
            _watch.announce(lost)
            raise lost from error
        _watch.announce(error)
        raise


def leave(code: int) -> int:
    """Ends a failed process without waiting for others in jax's shutdown; alone, gives `code`."""
    if _watch is not None:
        _watch.leave(code)
    return code


def end_now(error: BaseException) -> None:
    """From a thread, where the main one hangs: tells the others, prints the line, ends."""
    if _watch is not None and not _watch.announce(error):
        return  # it is ending already
    print_error(summary(error))
    os._exit(leave(exit_code(error)))


def dump_stacks() -> None:
    """Prints where every thread is."""
    import faulthandler

    sys.stderr.flush()
    faulthandler.dump_traceback(all_threads=True)


def print_error(line: str) -> None:
    """The command's one line of an error."""
    print(f"flan-t5x: error: {line}", file=sys.stderr, flush=True)


def summary(error: BaseException) -> str:
    """An error's message in one line, with its kind where it is not meant for users."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _is_loss(error: BaseException) -> bool:
    """Whether an error says that another process is gone, itself or as its cause (a save that
    failed for it)."""
    if isinstance(error, DisconnectedError):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if any(word in str(cause) for word in _LOST):
            return True
        cause = cause.__cause__
    return False
