"""The bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import doctest
import io

from rich.console import Console

from flan_t5x.train import progress
from flan_t5x.train.progress import Progress


def shown(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140, color_system=None)
    return console, text


def test_plain_lines_are_rare_and_end_with_the_last_step() -> None:
    console, text = shown(terminal=False)
    now = [0.0]
    with Progress(
        100, start_step=10, console=console, plain_seconds=10, clock=lambda: now[0]
    ) as bar:
        for step in range(11, 101):
            bar.update(step, loss=1 / step, tokens_per_second=12345.6, real_tokens=0.987)
            now[0] += 2.0
            if step == 50:
                bar.say("evaluated step 50: 0.5 [not markup]")
    lines = text.getvalue().splitlines()
    steps = [int(line.split()[1].split("/")[0]) for line in lines if line.startswith("step")]
    assert steps == [*range(11, 100, 5), 100]
    assert lines[0] == "step 11/100  loss 0.0909  12,346 tokens/s  99% real"
    assert lines[1] == "step 16/100  loss 0.0625  12,346 tokens/s  99% real  2m 48s left"
    assert lines[-1] == "step 100/100  loss 0.0100  12,346 tokens/s  99% real"
    assert "evaluated step 50: 0.5 [not markup]" in lines
    assert "\x1b" not in text.getvalue()


def test_long_lines_are_not_broken() -> None:
    console, text = shown(terminal=False)
    with Progress(10, console=console) as bar:
        bar.say("x" * 500)
    assert text.getvalue() == "x" * 500 + "\n"


def test_a_terminal_gets_a_bar() -> None:
    console, text = shown(terminal=True)
    with Progress(100, console=console) as bar:
        bar.phase("evaluating [a/b]")
        bar.update(40, loss=float("nan"), tokens_per_second=100.0, real_tokens=1.0)
        bar.say("a line that stays")
        bar._bar.refresh()
    for part in ("evaluating [a/b]", "step 40/100", "loss nan", "100% real", "a line that stays"):
        assert part in text.getvalue()


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(progress).failed == 0
