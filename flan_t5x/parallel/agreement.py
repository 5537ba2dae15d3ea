"""Do all processes run the same? Configuration, code and libraries are compared at the start.

Processes that differ would not fail: they would train on something that nobody configured, or
wait for each other for ever. So each puts down what it runs, as named facts, and a difference is
an error that names the fact, its values, and the processes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flan_t5x.errors import UserError

LIBRARIES = ("jax", "jaxlib", "libtpu", "flax", "optax", "orbax-checkpoint", "numpy", "grain")
"""Whose versions decide what is computed, or how it is read and saved."""

_MOST_NAMED = 3
_MOST_LETTERS = 80
_WAIT_SECONDS = 50
_FACTS = "flan_t5x/facts"


def code_facts(folders: Mapping[str, Path]) -> dict[str, str]:
    """Versions of Python and libraries, and a digest of every source file of ours.

    Args:
        folders: name -> folder of a package; its ``*.py`` files are named below that name.
    """
    facts = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    for name, folder in folders.items():
        for file in sorted(folder.rglob("*.py")):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            facts[f"{name}/{file.relative_to(folder).as_posix()}"] = digest[:12]
    return facts


def require_same(facts: Mapping[str, str]) -> None:
    """Compares with the other processes; all of them must call it. Nothing for a single one.

    Args:
        facts: name -> value of everything that must be the same.

    Raises:
        UserError: on every process alike, where one of them differs from process 0.
    """
    from jax._src import distributed

    state = distributed.global_state
    if state.client is None or state.num_processes == 1:
        return
    report = differences(_exchange(state.client, state.process_id, facts))
    if report is not None:
        raise UserError(report)


def _exchange(client: Any, process: int, facts: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """The facts of every process; processes with the same facts share one dictionary.

    Whole facts are read once for each distinct digest: thousands of processes cost as many
    digests, not as many configurations.
    """
    text = json.dumps(dict(facts), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    client.key_value_set(f"{_FACTS}/text/{process}", text)
    client.key_value_set(f"{_FACTS}/digest/{process}", digest)
    client.wait_at_barrier(f"{_FACTS}/all", _WAIT_SECONDS * 1000)
    read: dict[str, dict[str, str]] = {}
    found = {}
    for key, digest in client.key_value_dir_get(f"{_FACTS}/digest"):
        other = int(key.rsplit("/", 1)[-1])
        if digest not in read:
            text = client.blocking_key_value_get(f"{_FACTS}/text/{other}", _WAIT_SECONDS * 1000)
            read[digest] = json.loads(text)
        found[other] = read[digest]
    return found


def differences(facts: Mapping[int, Mapping[str, str]]) -> str | None:
    """A sentence about what differs; None where all are the same.

    Args:
        facts: process -> its facts; process 0 is what the others are compared with.

    Example:
        >>> differences({0: {"SEED": "0"}, 1: {"SEED": "1"}, 2: {"SEED": "1"}})[:81]
        'the processes do not run the same: SEED is 0 on process 0 and 1 on processes 1, 2'
    """
    reference = facts[0]
    names = {name for other in facts.values() for name in other}
    differing = [
        name
        for name in sorted(names, key=lambda name: ("/" in name, name))
        if any(other.get(name) != reference.get(name) for other in facts.values())
    ]
    if not differing:
        return None
    parts = [_difference(name, facts) for name in differing[:_MOST_NAMED]]
    more = len(differing) - len(parts)
    return (
        f"the processes do not run the same: {'; '.join(parts)}"
        f"{f' (and {more} more)' if more else ''}; start all of them with the same command, and "
        "install the same version on every host"
    )


def _difference(name: str, facts: Mapping[int, Mapping[str, str]]) -> str:
    holders: dict[str | None, list[int]] = {}
    for process in sorted(facts):
        holders.setdefault(facts[process].get(name), []).append(process)
    if name.endswith(".py"):  # digests tell nobody anything
        groups = " from ".join(_processes(group) for group in holders.values())
        return f"the file {name} of {groups} differs"
    values = " and ".join(f"{_short(value)} on {_processes(g)}" for value, g in holders.items())
    return f"{name} is {values}"


def _short(value: str | None) -> str:
    if value is None:
        return "not set"
    return value if len(value) <= _MOST_LETTERS else f"{value[:_MOST_LETTERS]}..."


def _processes(group: Iterable[int]) -> str:
    numbers = list(group)
    listed = ", ".join(map(str, numbers[:8])) + (" ..." if len(numbers) > 8 else "")
    return f"process {listed}" if len(numbers) == 1 else f"processes {listed}"
