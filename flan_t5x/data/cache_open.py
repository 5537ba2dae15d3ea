"""Which cached splits are there and whole, and what is to be said about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from flan_t5x.data.cache_manifest import MANIFEST, CacheDamage, Manifest, verify_files, what_changed
from flan_t5x.data.cache_plan import Entry
from flan_t5x.data.cache_records import CachedSplit
from flan_t5x.data.cache_workers import default_workers

Key = tuple[str, str]

_NAMED = 5  # tasks named in one message
_ABSENT = (FileNotFoundError, NotADirectoryError)


def looks_missing(entries: Sequence[Entry]) -> list[Entry]:
    """What has to be built, as far as names, manifests and file sizes tell."""
    missing = []
    for entry in entries:
        try:
            verify_files(entry.directory, _manifest(entry), thorough=False)
        except (*_ABSENT, CacheDamage):
            missing.append(entry)
    return missing


def open_entries(entries: Sequence[Entry]) -> tuple[dict[Key, CachedSplit], dict[Key, str]]:
    """The entries that are there and whole, and what is wrong with the damaged ones."""
    found: dict[Key, CachedSplit] = {}
    damage: dict[Key, str] = {}

    def try_open(entry: Entry) -> CachedSplit | str | None:
        try:
            return _open(entry)
        except CacheDamage as error:
            return str(error)

    # Hashing releases the interpreter lock.
    with ThreadPoolExecutor(default_workers()) as threads:
        for entry, opened in zip(entries, threads.map(try_open, entries), strict=True):
            if isinstance(opened, str):
                damage[entry.key] = opened
            elif opened is not None:
                found[entry.key] = opened
    return found, damage


def _open(entry: Entry) -> CachedSplit | None:
    """A verified split, None where there is none. Raises CacheDamage."""
    try:
        manifest = _manifest(entry)
    except _ABSENT as error:
        if entry.directory.is_dir():
            raise CacheDamage(f"{MANIFEST} is missing") from error
        return None
    verify_files(entry.directory, manifest)
    return CachedSplit(entry.directory, manifest)


def _manifest(entry: Entry) -> Manifest:
    manifest = Manifest.read(entry.directory)
    if manifest.fingerprint != entry.fingerprint:
        raise CacheDamage("its manifest has the fingerprint of something else")
    return manifest


def reopened(entry: Entry) -> CachedSplit | None:
    """What another process may have finished while this one waited for the lock."""
    try:
        return _open(entry)
    except CacheDamage:
        return None


def reasons(missing: Sequence[Entry], damage: Mapping[Key, str]) -> list[str]:
    """Why each missing split is built, in as few sentences as possible."""
    messages = []
    stale: dict[str, list[str]] = {}
    for entry in missing:
        task, split = entry.key
        if entry.key in damage:
            what = damage[entry.key]
            messages.append(
                f"task {task}: the cache of split {split} is damaged ({what}), rebuilding it"
            )
            continue
        because = _why_stale(entry)
        if because and task not in stale.setdefault(because, []):
            stale[because].append(task)
    for because, tasks in stale.items():
        names = ", ".join(tasks[:_NAMED]) + (", ..." if len(tasks) > _NAMED else "")
        which = f"task {names}" if len(tasks) == 1 else f"{len(tasks)} tasks ({names})"
        messages.append(f"{which}: {because}")
    return messages


def _why_stale(entry: Entry) -> str:
    """How the newest other cache of the same task split differs; empty where there is none."""
    others = entry.task_directory.glob(f"*/{entry.split}/manifest.json")
    for path in sorted(others, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            before = Manifest.read(path.parent).components
        except (CacheDamage, FileNotFoundError):
            continue
        phrases, chosen = what_changed(before, entry.components)
        differs = ", ".join(phrases)
        if chosen:
            return f"cached with other settings before ({differs}), caching it with these as well"
        return f"the cache is stale ({differs} changed), rebuilding it"
    return ""
