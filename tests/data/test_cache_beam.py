"""Shards built by Apache Beam's DirectRunner, which has the interface of the clusters' runners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.cli.main import main
from flan_t5x.data import cache_worker
from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.cache_units import Unit, UnitResult
from flan_t5x.data.definitions import BadRow, Example
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from tests.data.cache_toys import ToySource, make_vocabulary, toy_spec, toy_task
from tests.data.test_cache_build import tree

pytest.importorskip("apache_beam", reason="the extra 'beam' is not installed")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flan_t5x.data.cache_plan.ROWS_PER_SHARD", 10)
    monkeypatch.setattr("flan_t5x.data.cache_split.ROWS_PER_SHARD", 10)


def by_beam(spec: CacheSpec, folder: Path, said: list[str] | None = None) -> None:
    from flan_t5x.data.cache_beam import beam_crew

    say = (said if said is not None else []).append
    ensure_cached(spec, folder, crew=beam_crew("DirectRunner"), say=say)


def starts(trace: Path) -> list[str]:
    """Which shards were read, as split and first row; then forgets them."""
    found = sorted(path.name.partition("-")[2] for path in trace.iterdir())
    for path in trace.iterdir():
        path.unlink()
    return found


def test_the_same_bytes_as_from_local_workers(vocabulary: Vocabulary, tmp_path: Path) -> None:
    tasks = [toy_task(f"toy_{i}", salt=str(i), bad_every=9) for i in range(3)]
    spec = toy_spec(vocabulary, *tasks)
    ensure_cached(spec, tmp_path / "local", num_workers=1)
    calls: list[tuple[int, int, str]] = []
    from flan_t5x.data.cache_beam import beam_crew

    ensure_cached(
        spec,
        tmp_path / "beam",
        crew=beam_crew("DirectRunner"),
        progress=lambda *call: calls.append(call),
    )
    assert tree(tmp_path / "beam") == tree(tmp_path / "local")
    assert calls[-1][:2] == (150, 150)


def test_the_function_is_the_local_workers_own(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    build = cache_worker.ShardBuilder.build

    def spied(self: cache_worker.ShardBuilder, unit: Unit) -> UnitResult:
        built.append(Path(unit.path).name)
        return build(self, unit)

    monkeypatch.setattr(cache_worker.ShardBuilder, "build", spied)
    by_beam(toy_spec(vocabulary, splits=("train",)), tmp_path)
    assert sorted(built) == [f"tokens-{i:05d}-of-00004.array_record" for i in range(4)]


class BreaksOnce(ToySource):
    """Row 25 cannot be read while a file says so."""

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        if start <= 25 < stop and (Path(self.trace).parent / "broken").exists():
            raise UserError("the disk with row 25 is not mounted")
        return super().read(split, start, stop)


@pytest.mark.parametrize("first", ["beam", "local"])
@pytest.mark.parametrize("then", ["beam", "local"])
def test_what_was_interrupted_goes_on_at_the_shard(
    first: str, then: str, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    trace.mkdir()
    (tmp_path / "broken").touch()
    source = BreaksOnce(rows=(("train", 40),), trace=str(trace))
    spec = toy_spec(vocabulary, type(toy_task())("toy_last", source, toy_task().templates))

    def build(how: str) -> list[str]:
        said: list[str] = []
        if how == "beam":
            by_beam(spec, tmp_path / "cache", said)
        else:
            ensure_cached(spec, tmp_path / "cache", num_workers=1, say=said.append)
        return said

    with pytest.raises(UserError, match="row 25 is not mounted"):
        build(first)
    done = starts(trace)
    assert done == (["train-0", "train-10"] + ["train-30"] * (first == "beam"))
    (tmp_path / "broken").unlink()
    said = build(then)
    assert f"toy_last train: {len(done)} of 4 shards are there already" in said
    assert set(starts(trace)) == {"train-0", "train-10", "train-20", "train-30"} - set(done)
    ensure_cached(spec, tmp_path / "whole", num_workers=1)
    assert tree(tmp_path / "cache") == tree(tmp_path / "whole")


def test_an_unknown_runner_is_named() -> None:
    from flan_t5x.data.cache_beam import beam_crew

    with pytest.raises(UserError, match="--runner=DirektRunner"):
        beam_crew("DirektRunner")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "cache",
        "--gin_file=smoke.gin",
        f"--gin.CACHE_DIR={tmp_path}",
        "--gin.build.build_cache.mixture_or_task_name=mini_opposite_zs",
        "--gin.build.build_cache.max_examples=30",
        "--gin.build.build_cache.splits=['train']",
    ]
    assert main([*arguments, "--runner=DirectRunner"]) == 0
    assert "30 examples in 1 task splits are ready" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*/*/train/manifest.json"))) == 1
