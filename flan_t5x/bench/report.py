"""Figures as a table for people; ``--json`` prints them as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Line = tuple[str, str]


def train_lines(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Label and text of each line of ``bench train``."""
    yield "tokens per second", f"{figures['tokens_per_second']:,.0f}"
    yield (
        "step",
        f"{_seconds(figures['step_seconds_median'])} median of {figures['rounds']} rounds "
        f"({_seconds(figures['step_seconds_min'])} to {_seconds(figures['step_seconds_max'])})",
    )
    yield (
        "model FLOPs utilisation",
        f"{figures['mfu']:.3f} ({figures['model_flops'] / 1e9:,.0f} GFLOP a step; matrix products "
        f"here: {figures['matmul_flops_per_second'] / 1e9:,.0f} GFLOP/s)",
    )
    yield "compile", _seconds(figures["compile_seconds"])
    yield "peak memory", f"{figures['peak_rss_bytes'] / 2**30:.2f} GiB"
    if "peer" in figures:
        peer = figures["peer"]
        yield (
            peer["name"],
            f"{peer['tokens_per_second']:,.0f} tokens/s, utilisation {peer['mfu']:.3f}, step "
            f"{_seconds(peer['step_seconds_median'])}",
        )
        yield "its step time over ours", _ratio(peer)


def decode_lines(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Label and text of each line of ``bench decode``."""
    for name in ("greedy", "sample", "beam4"):
        of = figures[name]
        text = (
            f"{of['tokens_per_second']:,.0f} tokens/s; a call {_seconds(of['seconds_median'])} "
            f"({_seconds(of['seconds_min'])} to {_seconds(of['seconds_max'])})"
        )
        if "peer" in of:
            peer = of["peer"]
            text += f"; {peer['name']}: {peer['tokens_per_second']:,.0f}, {_ratio(peer)} as long"
        yield name, text
    floor = figures["floor_seconds"]
    share = floor / figures["greedy"]["seconds_median"]
    yield "floor of a greedy call", f"{_seconds(floor)}: {share:.0%} of what it takes"
    yield "peak memory", f"{figures['peak_rss_bytes'] / 2**30:.2f} GiB"


def input_lines(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Label and text of each line of ``bench input``."""
    yield (
        "real tokens per second",
        f"{figures['tokens_per_second']:,.0f} on one core "
        f"({figures['tokens_per_second_min']:,.0f} to {figures['tokens_per_second_max']:,.0f})",
    )
    yield "examples per second", f"{figures['examples_per_second']:,.0f}"
    yield "packing", f"{figures['packing_efficiency']:.4f} of the bound; fill {figures['fill']:.4f}"
    yield "planning", f"{figures['plan_us_per_example']:.1f} us an example"
    yield "peak memory", f"{figures['peak_rss_bytes'] / 2**30:.2f} GiB"


def table(lines: Iterator[Line]) -> str:
    """Labels to the left of their texts."""
    found = list(lines)
    width = max(len(label) for label, _ in found)
    return "\n".join(f"{label:{width}s}  {text}" for label, text in found)


def _ratio(peer: Mapping[str, Any]) -> str:
    return f"{peer['ratio_median']:.2f} ({peer['ratio_min']:.2f} to {peer['ratio_max']:.2f})"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.0f} ms"
