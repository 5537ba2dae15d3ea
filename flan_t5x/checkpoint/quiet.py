"""Keeps Orbax's own log lines and stray tracebacks off the user's terminal.

Orbax logs through absl at every level, and prints whole tracebacks for errors that it also
raises (a full disk gives some 200 lines). We catch and word those errors ourselves. Raising
absl's verbosity to INFO, as ``--verbose`` does, brings everything back.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import absl.logging


class _OrbaxFilter(logging.Filter):
    """Drops records that were written by a file of Orbax."""

    def filter(self, record: logging.LogRecord) -> bool:
        if absl.logging.get_verbosity() >= absl.logging.INFO:
            return True
        return "/orbax/" not in record.pathname.replace("\\", "/")


@functools.cache
def silence_orbax() -> None:
    """Installs the filters once per process. Other libraries' records pass untouched."""
    absl.logging.get_absl_logger().addFilter(_OrbaxFilter())
    # After one failed read or write, TensorStore's C++ threads report the other pending ones to
    # an event loop that Orbax has closed by then; each prints a traceback.
    sys.unraisablehook = functools.partial(_without_late_callbacks, sys.unraisablehook)


def _without_late_callbacks(
    previous: Callable[[Any], object], unraisable: sys.UnraisableHookArgs
) -> None:
    error = unraisable.exc_value
    if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
        previous(unraisable)


def print_to_stderr(text: str) -> None:
    """Where notices go unless the caller says otherwise."""
    print(text, file=sys.stderr, flush=True)
