"""What launchers render, frozen: argv and manifests per accelerator x capacity x slices.

After a change on purpose: ``REGENERATE_GOLDEN=1 pytest tests/launch/test_golden.py``, and read the
difference before committing it. A file has the first combination's manifest in full, and of the
others the lines in which they differ from it.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from launch import cloud_tpu, gke
from launch.commands import Argv
from launch.jobset import jobset_yaml
from launch.spec import CAPACITIES, LaunchSpec
from tests.launch.specs import ACCELERATORS, spec

GOLDEN = Path(__file__).parent / "golden"
SECRET = "hf_planted_value_that_must_not_appear"
SLICES = (1, 2)


def cloud_commands(one: LaunchSpec) -> list[Argv]:
    """All commands of `launch.cloud_tpu`."""
    functions = (
        cloud_tpu.create,
        cloud_tpu.state,
        cloud_tpu.details,
        cloud_tpu.start,
        cloud_tpu.ended,
        cloud_tpu.logs,
        cloud_tpu.delete,
    )
    return [function(one) for function in functions]


def gke_commands(one: LaunchSpec) -> list[Argv]:
    """All commands of `launch.gke`."""
    return [
        gke.apply(),
        gke.status(one),
        gke.logs(one),
        gke.delete(one),
        *gke.create_pools(one, "cluster-1"),
        *gke.delete_pools(one, "cluster-1"),
    ]


def rendered(accelerator: str) -> Iterator[str]:
    first: list[str] = []
    for capacity, slices in itertools.product(CAPACITIES, SLICES):
        one = spec(accelerator, capacity, slices)
        yield f"=== {accelerator}, {capacity}, slices {slices}"
        try:
            commands = cloud_commands(one)
        except UserError as error:
            yield f"cloud_tpu: {error}"
        else:
            shown = commands if not first else commands[:1]  # only the first one depends on it
            yield from (repr(list(argv)) for argv in shown)
        both = gke_commands(one)
        yield from (repr(list(argv)) for argv in (both if not first else both[4:]))
        manifest = jobset_yaml(one, queue="queue-1").splitlines()
        if first:
            lines = difflib.unified_diff(first, manifest, "manifest", "manifest", "", "", 0, "")
            yield from (line for line in lines if line[:3] not in ("---", "+++"))
        else:
            first = manifest
            yield from manifest


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_golden(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    text = "\n".join(rendered(accelerator)) + "\n"
    assert SECRET not in text
    golden = GOLDEN / f"{accelerator}.txt"
    if "REGENERATE_GOLDEN" in os.environ:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_golden_files_belong_to_accelerators() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(ACCELERATORS)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("slices", SLICES)
def test_every_word_is_a_string(capacity: str, slices: int) -> None:
    one = spec("v6e-64", capacity, slices)
    for argv in [*cloud_commands(one), *gke_commands(one)]:
        assert argv
        assert all(type(word) is str and word for word in argv)
