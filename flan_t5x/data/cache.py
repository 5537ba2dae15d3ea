"""The token cache: every task split rendered and tokenized once, then read at random.

    {cache_dir}/{task}/{fingerprint[:16]}/{split}/
        tokens-00000-of-000NN.array_record   see `cache_records`
        lengths.npy                          int32 [examples, 2]: inputs, targets
        report.json                          rows kept, altered and rejected, by reason
        manifest.json                        see `cache_manifest`; written last

`ensure_cached` opens what is there and whole, and builds the rest: what is missing, stale
(made from other data, templates or code) or damaged. A cache folder may be shared by any
number of runs and processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from flan_t5x.data.cache_build import Progress, Say, build_missing
from flan_t5x.data.cache_estimate import Estimate, measure
from flan_t5x.data.cache_open import Key, looks_missing, open_entries, reasons, reopened
from flan_t5x.data.cache_plan import CacheSpec, plan
from flan_t5x.data.cache_records import CachedSplit, TokenExample
from flan_t5x.data.cache_workers import Crew
from flan_t5x.files import CACHE_VARIABLE, default_cache_dir

__all__ = [
    "CACHE_VARIABLE",
    "CacheSpec",
    "CachedSplit",
    "Estimate",
    "TokenExample",
    "default_cache_dir",
    "ensure_cached",
    "estimate",
]

_log = logging.getLogger(__name__)


def ensure_cached(
    spec: CacheSpec,
    cache_dir: str | Path,
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
    say: Say = _log.info,
    crew: Crew | None = None,
) -> dict[Key, CachedSplit]:
    """Opens the cached splits of a request, after building those that are not usable.

    Args:
        spec: tasks, splits and what their tokens depend on.
        cache_dir: created where it does not exist; only read where nothing is missing.
        num_workers: processes that render; None takes one per core. The files are the same,
            byte for byte, for any number.
        progress: told (rows done, rows in all, task and split in work) while building.
        say: told in a sentence what is built and why, what it waits for, and what came out.
        crew: who builds instead of local processes, e.g. `cache_beam.beam_crew`.

    Returns:
        ``(task name, split) -> CachedSplit``, in the order of the request.

    Raises:
        UserError: no or too many unusable rows, an unknown split, a folder that cannot be
            written, a full disk. Splits that were finished by then are kept.
    """
    entries = plan(spec, cache_dir)
    found, damage = open_entries(entries)
    missing = [entry for entry in entries if entry.key not in found]
    if missing:
        for message in reasons(missing, damage):
            say(message)
        began = time.monotonic()
        built = build_missing(
            missing,
            spec,
            num_workers=num_workers,
            reopen=reopened,
            progress=progress,
            say=say,
            crew=crew,
        )
        say(_summary(built.values(), time.monotonic() - began))
        found |= built
    return {entry.key: found[entry.key] for entry in entries}


def estimate(spec: CacheSpec, cache_dir: str | Path, *, num_workers: int | None = None) -> Estimate:
    """What `ensure_cached` would take, from a timed sample of the rows that are missing.

    Takes about a tenth of a second for each of up to eight samples. Damage that only
    checksums reveal is not foreseen.

    Args:
        spec: as for `ensure_cached`, as are the others.

    Raises:
        UserError: an unknown or empty split, a source that cannot be read.
    """
    missing = looks_missing(plan(spec, cache_dir))
    return measure(missing, spec, cache_dir, num_workers=num_workers)


def _summary(splits: Iterable[CachedSplit], seconds: float) -> str:
    """One sentence on what was built, with rows that were rejected or altered by reason."""
    splits = list(splits)
    counts: dict[str, int] = {}
    where: dict[str, CachedSplit] = {}
    for split in splits:
        report = split.report()
        for kind in ("rejected", "altered"):
            for reason, row in report[kind].items():
                counts[f"{kind}: {reason}"] = counts.get(f"{kind}: {reason}", 0) + row["count"]
                where.setdefault(f"{kind}: {reason}", split)
    kept = sum(split.num_examples for split in splits)
    rows = sum(split.manifest.num_rows for split in splits)
    size = sum(split.manifest.num_bytes for split in splits)
    text = (
        f"cached {kept:,} of {rows:,} rows in {len(splits)} task splits: "
        f"{size / 1e6:.1f} MB in {seconds:.1f} s"
    )
    for reason, count in sorted(counts.items(), key=lambda item: -item[1]):
        text += f"; {count:,} {reason} (e.g. {where[reason].directory}/report.json)"
    return text
