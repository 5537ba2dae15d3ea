"""Orbax's log lines stay off the terminal, everybody else's stay on it."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import absl.logging
import pytest

from flan_t5x.checkpoint import quiet


def record(path: str) -> logging.LogRecord:
    return logging.LogRecord("absl", logging.ERROR, path, 1, "text", None, None)


def test_only_orbax_records_are_dropped_and_only_by_default() -> None:
    quiet.silence_orbax()
    quiet.silence_orbax()
    logger = absl.logging.get_absl_logger()
    ours = [f for f in logger.filters if isinstance(f, quiet._OrbaxFilter)]
    assert len(ours) == 1
    orbax = record("/site-packages/orbax/checkpoint/checkpoint_manager.py")
    assert not logger.filter(orbax)
    assert logger.filter(record("/site-packages/grain/dataset.py"))
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.INFO)
    try:
        assert logger.filter(orbax)
    finally:
        absl.logging.set_verbosity(before)


def test_only_late_callbacks_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", passed.append)
    quiet.silence_orbax.__wrapped__()
    late = SimpleNamespace(exc_value=RuntimeError("Event loop is closed"))
    other = SimpleNamespace(exc_value=RuntimeError("something else"))
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert passed == [other]
    absl_logger = absl.logging.get_absl_logger()
    absl_logger.removeFilter(absl_logger.filters[-1])
