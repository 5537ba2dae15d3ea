"""raw data: list what there is and what is missing, fetch it, verify it

Sources are named by a manifest that comes with the package; `--manifest` adds one of your own.

Keys of --json, which stay as they are:
list, verify  data_dir; sources: name, about, use ("train", "evaluation"), licence, home, kind,
              where, size, state ("present", "partial", "missing", "damaged"), have, want,
              unchecked, problems (path, state, detail), how_to_get
fetch         fetched, kept (paths); prepared, manual (source names); failed (path or name: why)
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from flan_t5x.cli.shared import use_data_dir
from flan_t5x.cli.tables import add_part, print_json, print_table
from flan_t5x.errors import UserError

if TYPE_CHECKING:
    from flan_t5x.data.raw.checks import SourceState
    from flan_t5x.data.raw.fetch import Outcome
    from flan_t5x.data.raw.manifest import RawSource

_MOST_LINES = 20  # of files that something is wrong with, per source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x data`` and of its parts."""
    parts = parser.add_subparsers(title="what to do", metavar="PART", required=True)
    listing = add_part(parts, "list", _list, "what there is, where it comes from, what is missing")
    fetching = add_part(parts, "fetch", _fetch, "download what is missing; run again to go on")
    fetching.add_argument("--all", action="store_true", help="every source that can be fetched")
    fetching.add_argument(
        "--workers", type=int, default=4, metavar="N", help="files fetched at the same time (4)"
    )
    verifying = add_part(parts, "verify", _verify, "read all files and compare their checksums")
    for part in (listing, fetching, verifying):
        part.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="NAME",
            help="this source, or a pattern such as 'tfds_glue*'; repeatable",
        )
        part.add_argument(
            "--manifest",
            action="append",
            default=[],
            metavar="FILE",
            help="a manifest (TOML) of your own besides the shipped one; repeatable",
        )
        part.add_argument(
            "--data_dir", metavar="DIR", help="folder of raw data (default: $FLAN_T5X_DATA_DIR)"
        )


def run(options: argparse.Namespace) -> int:
    """Does one part, and returns the exit code."""
    use_data_dir(options)
    options.part(options)
    return 0


def _sources(options: argparse.Namespace) -> list[RawSource]:
    from flan_t5x.data.raw.manifest import choose, load_manifests

    return choose(load_manifests(options.manifest), options.only)


def _list(options: argparse.Namespace) -> None:
    from flan_t5x.data.raw.checks import check_source
    from flan_t5x.data.sources.location import VARIABLE, chosen_data_dir

    root = chosen_data_dir()
    found = [(source, check_source(source, root)) for source in _sources(options)]
    if options.json:
        print_json({"data_dir": str(root or ""), "sources": [_row(s, c) for s, c in found]})
        return
    if len(found) == 1:
        _print_one(*found[0])
        return
    print_table(
        f"{len(found)} raw sources in {root or f'no folder ({VARIABLE} is not set)'}",
        ["source", "use", "state", "what", "licence", "files", "size"],
        [
            [s.name, s.use, _state(s, c), s.about, s.licence, _count(c), _bytes(s.size)]
            for s, c in found
        ],
        numbers=5,
    )
    print("One of them in detail: flan-t5x data list --only NAME")


def _state(source: RawSource, state: SourceState) -> str:
    by_hand = bool(source.manual) and state.state == "missing"
    return "missing (by hand)" if by_hand else state.state


def _count(state: SourceState) -> str:
    return f"{state.have:,}" if state.want is None else f"{state.have:,} of {state.want:,}"


def _bytes(size: int | None) -> str:
    if size is None:
        return "not known"
    return f"{size:,} B" if size < 10_000 else f"{size / 1e6:,.2f} MB"


def _row(source: RawSource, state: SourceState) -> dict[str, Any]:
    """A source as ``--json`` gives it."""
    return {
        "name": source.name,
        "about": source.about,
        "use": source.use,
        "licence": source.licence,
        "home": source.home,
        "kind": source.kind,
        "where": _where(source),
        "size": source.size,
        "state": state.state,
        "have": state.have,
        "want": state.want,
        "unchecked": state.unchecked,
        "problems": [
            {"path": p.path, "state": p.state, "detail": p.detail} for p in state.problems
        ],
        "how_to_get": _how(source),
    }


def _where(source: RawSource) -> str:
    if source.kind == "tfds":
        return f"tfds/{source.builder.replace(':', '/')}"
    return source.folder or source.pattern


def _how(source: RawSource) -> str:
    """The step that brings a source, for a person."""
    command = f"flan-t5x data fetch --only={source.name}"
    if source.kind == "manual":
        return f"{source.manual} Put the files where {source.pattern!r} finds them."
    return f"{source.manual} Then: {command}" if source.manual else command


def _print_one(source: RawSource, state: SourceState) -> None:
    unchecked = f", {state.unchecked:,} without a known checksum" if state.unchecked else ""
    for key, value in (
        ("source", source.name),
        ("what", source.about),
        ("use", source.use),
        ("licence", source.licence),
        ("from", source.home),
        ("where", f"{_where(source)} below the data folder"),
        ("size", _bytes(source.size)),
        ("state", f"{state.state}, {_count(state)} files{unchecked}"),
        ("get it by", _how(source)),
    ):
        print(f"{key + ':':11s}{value}")
    _print_problems(state)


def _print_problems(state: SourceState) -> None:
    for problem in state.problems[:_MOST_LINES]:
        detail = f" ({problem.detail})" if problem.detail else ""
        print(f"  {problem.state}: {problem.path}{detail}")
    if len(state.problems) > _MOST_LINES:
        print(f"  and {len(state.problems) - _MOST_LINES:,} more; --json shows all")


def _fetch(options: argparse.Namespace) -> None:
    from rich.console import Console

    from flan_t5x.data.raw.fetch import fetch
    from flan_t5x.data.row_progress import RowProgress
    from flan_t5x.data.sources.location import data_dir

    if bool(options.only) == options.all:
        raise UserError(
            "say what to fetch: --only=NAME (repeatable; `flan-t5x data list` shows the names), "
            "or --all for everything, hundreds of gigabytes"
        )
    with RowProgress("fetching", "fetched", "kB", console=Console(stderr=True)) as shown:
        outcome = fetch(
            _sources(options),
            data_dir(),
            workers=options.workers,
            progress=lambda done, total, current: shown.update(
                done // 1000, max(1, total // 1000), current
            ),
        )
    _report(outcome, options)


def _report(outcome: Outcome, options: argparse.Namespace) -> None:
    """Prints what came; raises UserError where something did not."""
    if options.json:
        print_json(
            {
                "fetched": outcome.fetched,
                "kept": outcome.kept,
                "prepared": outcome.prepared,
                "failed": outcome.failed,
                "manual": outcome.manual,
            }
        )
    else:
        print(
            f"{len(outcome.fetched):,} files fetched, {len(outcome.prepared):,} sources prepared, "
            f"{len(outcome.kept):,} were there already"
        )
        for name in outcome.manual:
            print(f"  only by hand: {name} (flan-t5x data list --only={name})")
        for path, why in list(outcome.failed.items())[:_MOST_LINES]:
            print(f"  failed: {path}: {why}")
    if outcome.failed:
        path, why = next(iter(outcome.failed.items()))
        raise UserError(
            f"{len(outcome.failed):,} could not be fetched, the first: {path}: {why}. "
            "Run the same command again to go on where it stopped."
        )


def _verify(options: argparse.Namespace) -> None:
    from flan_t5x.data.raw.checks import Record, check_source
    from flan_t5x.data.sources.location import data_dir

    root = data_dir()
    record = Record(root)
    found = [(s, check_source(s, root, deep=True, record=record)) for s in _sources(options)]
    if options.json:
        print_json({"data_dir": str(root), "sources": [_row(s, c) for s, c in found]})
    else:
        for source, state in found:
            if state.state == "missing" and not options.only:
                continue
            unchecked = f", {state.unchecked:,} have no known checksum" if state.unchecked else ""
            print(f"{source.name}: {state.state}, {_count(state)} files{unchecked}")
            _print_problems(state)
    bad = [source.name for source, state in found if state.state == "damaged"]
    if bad:
        raise UserError(
            f"damaged: {', '.join(bad)}. `flan-t5x data fetch --only={bad[0]}` replaces "
            "what is damaged."
        )
