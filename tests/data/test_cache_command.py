"""`build_cache`: what `flan-t5x cache` runs."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from flan_t5x.data import build, registry
from flan_t5x.data.build import build_cache, describe
from flan_t5x.data.cache import CACHE_VARIABLE, Estimate
from flan_t5x.data.registry import WeightedTask
from flan_t5x.errors import UserError
from tests.data.cache_toys import make_vocabulary, toy_task

MIXTURES = {
    "train_mix": ("toy_a", "toy_b"),
    "eval_mix": ("toy_b", "toy_c"),
}
LENGTHS = {"inputs": 64, "targets": 8}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    def resolve(name: str, *, allow_missing: bool) -> list[WeightedTask]:
        return [WeightedTask(toy_task(task, salt=task), 0.5) for task in MIXTURES[name]]

    monkeypatch.setattr(build, "resolve", resolve)
    return make_vocabulary(tmp_path).model_path


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=200)


def text(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def test_several_mixtures_are_cached_once(model: str, tmp_path: Path) -> None:
    shown = console()
    cached = build_cache(
        mixture_or_task_name=("train_mix", "eval_mix"),
        cache_dir=str(tmp_path / "cache"),
        task_feature_lengths=LENGTHS,
        vocabulary=model,
        num_workers=1,
        console=shown,
    )
    assert {task for task, _ in cached} == {"toy_a", "toy_b", "toy_c"}
    lines = text(shown).splitlines()
    assert lines[0].startswith(f"caching 150 rows (6 splits of 3 tasks) in {tmp_path / 'cache'}: ")
    assert lines[1].startswith("cached 150 of 150 rows in 6 task splits")
    ready = f"150 examples in 6 task splits are ready in {tmp_path / 'cache'}"
    assert lines[2:] == [ready]
    again = console()
    build_cache(
        mixture_or_task_name="eval_mix",
        cache_dir=str(tmp_path / "cache"),
        task_feature_lengths=LENGTHS,
        vocabulary=model,
        splits=("validation",),
        console=again,
    )
    assert text(again) == f"20 examples in 2 task splits are ready in {tmp_path / 'cache'}\n"


def test_missing_data_is_left_out_when_that_is_allowed(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def resolve(name: str, *, allow_missing: bool) -> list[WeightedTask]:
        asked.append((name, allow_missing))
        return [WeightedTask(toy_task("toy_a"), 1.0)]

    monkeypatch.setattr(build, "resolve", resolve)
    monkeypatch.setattr(build, "missing_text", lambda name: f"{name}: 40.0% is left out")
    for allowed in (False, True):
        shown = console()
        build_cache(
            mixture_or_task_name="train_mix",
            cache_dir=str(tmp_path / "cache"),
            task_feature_lengths=LENGTHS,
            vocabulary=model,
            num_workers=1,
            allow_missing_tasks=allowed,
            console=shown,
        )
        assert ("train_mix: 40.0% is left out" in text(shown)) == allowed
    assert asked == [("train_mix", False), ("train_mix", True)]


@dataclass(frozen=True)
class Own:
    """What a run's `DataConfig` says of own data."""

    user_jsonl: Mapping[str, str]
    rendered: Mapping[str, str]
    modules: tuple[str, ...] = ()
    rendered_cap: int | None = None
    examples_per_task: int | None = 100
    rendered_where: Mapping[str, str] = field(default_factory=lambda: {"template_type": "zs"})


def test_a_runs_own_data_is_cached_as_well(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "notes"))
    rows = [
        {"inputs": f"red {i}", "targets": "blue", "task_name": f"n{i % 2}", "template_type": kind}
        for i in range(60)
        for kind in ("zs", "fs")
    ]
    dump, mine = tmp_path / "dump.jsonl", tmp_path / "mine.jsonl"
    dump.write_text("\n".join(map(json.dumps, rows)))
    mine.write_text("\n".join(json.dumps({k: r[k] for k in ("inputs", "targets")}) for r in rows))
    cached = build_cache(
        mixture_or_task_name="train_mix",
        cache_dir=str(tmp_path / "cache"),
        task_feature_lengths=LENGTHS,
        vocabulary=model,
        num_workers=1,
        own=Own({"mine": str(mine)}, {"dump": str(dump)}),
        console=console(),
    )
    counts = Counter[str]()
    for (task, _), split in cached.items():
        counts[task] += split.num_examples
    assert counts["mine"] == 100
    assert 20 < counts["dump_n0"] <= 30
    assert {"dump_n0", "dump_n1", "toy_a", "toy_b"} < set(counts)
    assert {split for task, split in cached if task in ("mine", "dump_n0")} == {"train"}


def test_a_missing_vocabulary_is_named(model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.model"):
        build_cache(
            mixture_or_task_name="train_mix",
            cache_dir=str(tmp_path / "cache"),
            task_feature_lengths=LENGTHS,
            vocabulary=str(tmp_path / "nowhere.model"),
        )


def test_estimates_read_well() -> None:
    missing = (("a", "train"), ("a", "test"), ("b", "train"))
    enough = Estimate(600.0, 3_000_000_000, missing, 12345, 10**12)
    assert describe(enough, "/c") == (
        "caching 12,345 rows (3 splits of 2 tasks) in /c: about 10 min and 3.0 GB"
    )
    short = Estimate(0.2, 5_000_000, missing, 10, 1_000_000)
    assert describe(short, "/c") == (
        "caching 10 rows (3 splits of 2 tasks) in /c: about 1 s and 5 MB; "
        "only 1 MB are free, this may not fit"
    )
