"""SIGTERM and SIGINT become a flag; a second Ctrl-C is not swallowed."""

from __future__ import annotations

import doctest
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from flan_t5x.train import signals
from flan_t5x.train.signals import SIGNALS, StopRequest


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    before = [signal.getsignal(s) for s in SIGNALS]
    with StopRequest() as stop:
        assert (stop.requested, stop.name, stop.agreed(0)) == (False, "", False)
        os.kill(os.getpid(), number)
        assert (stop.requested, stop.name, stop.agreed(0)) == (True, number.name, True)
    assert [signal.getsignal(s) for s in SIGNALS] == before


@pytest.fixture(autouse=True)
def ctrl_c_raises() -> Iterator[None]:
    """Python's handler, also where the tests run in the background and a shell took it away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_sigterm_may_come_twice_but_a_second_ctrl_c_ends_it() -> None:
    with StopRequest() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert stop.name == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # still caught


def test_handlers_come_back_after_an_error() -> None:
    before = [signal.getsignal(s) for s in SIGNALS]
    with pytest.raises(RuntimeError, match="inside"), StopRequest():
        raise RuntimeError("inside")
    assert [signal.getsignal(s) for s in SIGNALS] == before


def test_outside_the_main_thread_nothing_is_caught() -> None:
    seen: list[bool] = []

    def work() -> None:
        with StopRequest() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(signals).failed == 0
