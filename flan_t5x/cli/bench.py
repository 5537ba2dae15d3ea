"""measure this machine: the training step, decoding, the input pipeline

Without a recipe, the shapes are T5 1.1 small's: 8 rows of 512/128 tokens, float32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from flan_t5x.cli.shared import add_run_flags, use_tasks
from flan_t5x.errors import UserError, require_count

if TYPE_CHECKING:
    from flan_t5x.bench.peer import Peer
    from flan_t5x.bench.workload import Workload

_PARTS = {
    "train": "a training step on packed rows: tokens/s, FLOPs utilisation, compile time, memory",
    "decode": "greedy, sampling, 4 beams: new tokens/s",
    "input": "planning and reading packed rows from the token cache, on one core: tokens/s",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x bench`` and of its three parts."""
    parts = parser.add_subparsers(title="what to measure", metavar="PART", required=True)
    for name, summary in _PARTS.items():
        part = parts.add_parser(name, help=summary, description=summary)
        part.set_defaults(part=name)
        part.add_argument("--json", action="store_true", help="one JSON object instead of a table")
        part.add_argument(
            "--rounds", type=int, default=6, metavar="N", help="timed rounds (default 6)"
        )
        if name != "input":
            part.add_argument(
                "--size",
                choices=("small", "tiny"),
                default="small",
                help="T5 1.1 small, or a tiny body with the same 32k vocabulary (default small)",
            )
            part.add_argument(
                "--batch_size", type=int, default=8, metavar="ROWS", help="rows (default 8)"
            )
            part.add_argument(
                "--peer", choices=("hf",), help="measure transformers + torch beside it, in turn"
            )
        if name == "decode":
            part.add_argument(
                "--max_decode_length", type=int, default=64, metavar="N", help="new tokens (64)"
            )
        add_run_flags(part)


def run(options: argparse.Namespace) -> int:
    """Measures one part, prints it, and returns the exit code."""
    require_count("--rounds", options.rounds)
    use_tasks(options)
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # compile_seconds are of compiling
    figures, lines = _MEASURE[options.part](options)
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    from flan_t5x.bench.report import table

    if "workload" in figures:
        print(figures["workload"])
    print(table(lines(figures)))
    return 0


def _train(options: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    from flan_t5x.bench.report import train_lines
    from flan_t5x.bench.train import bench_train

    peer = _peer(options)
    figures = bench_train(_workload(options), rounds=options.rounds, peer=peer)
    return figures, train_lines


def _decode(options: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    from flan_t5x.bench.decode import bench_decode
    from flan_t5x.bench.report import decode_lines

    require_count("--max_decode_length", options.max_decode_length)
    peer = _peer(options)
    figures = bench_decode(
        _workload(options),
        rounds=options.rounds,
        max_length=options.max_decode_length,
        peer=peer,
    )
    return figures, decode_lines


def _input(options: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    from flan_t5x.bench.input import bench_input, default_data, open_stream
    from flan_t5x.bench.report import input_lines

    arguments = _recipe(options)
    stream = open_stream(
        arguments["data"] if arguments else default_data(),
        batch_size=arguments["batch_size"] if arguments else 64,
        say=lambda text: print(text, file=sys.stderr),
    )
    return bench_input(stream, rounds=options.rounds), input_lines


def _peer(options: argparse.Namespace) -> Peer | None:
    if options.peer is None:
        return None
    from flan_t5x.bench.peer import HuggingFace

    return HuggingFace()


def _workload(options: argparse.Namespace) -> Workload:
    from flan_t5x.bench.workload import named_workload, recipe_workload

    require_count("--batch_size", options.batch_size)
    arguments = _recipe(options)
    if arguments:
        return recipe_workload(arguments, name=", ".join(options.gin_file))
    return named_workload(options.size, batch=options.batch_size)


def _recipe(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `train` that gin configures; empty without a gin file."""
    from flan_t5x.cli.gin_config import load
    from flan_t5x.cli.gin_flags import parse_bindings

    if not options.gin_file:
        if options.gin_bindings:
            raise UserError("--gin... changes a recipe; name one with --gin_file")
        return {}
    configuration = load(
        "train",
        gin_files=options.gin_file,
        bindings=parse_bindings(options.gin_bindings),
        search_paths=options.gin_search_paths,
    )
    return configuration.arguments()


_MEASURE = {"train": _train, "decode": _decode, "input": _input}
