"""What is cached, when it is rebuilt, and what is said about it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data import cache_manifest
from flan_t5x.data.cache import CacheSpec, ensure_cached, estimate
from flan_t5x.data.cache_plan import Entry, plan
from flan_t5x.data.definitions import Example, TaskDefinition, Template
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from tests.data.cache_toys import ToySource, make_vocabulary, toy_spec, toy_task


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows to a shard, and any work is enough for several processes."""
    monkeypatch.setattr("flan_t5x.data.cache_plan.ROWS_PER_SHARD", 7)
    monkeypatch.setattr("flan_t5x.data.cache_split.ROWS_PER_SHARD", 7)
    monkeypatch.setattr("flan_t5x.data.cache_workers.SMALL_ROWS", 0)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but the locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def few_shot(name: str = "toy_shots", **source: object) -> TaskDefinition:
    return dataclasses.replace(toy_task(name, **source), format="fs")


@pytest.mark.parametrize("kind", ["zs", "fs"])
def test_tokens_are_those_of_the_renderer(
    kind: str, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    task = dataclasses.replace(toy_task(), format=kind)
    cached = ensure_cached(toy_spec(vocabulary, task), tmp_path, num_workers=1)
    assert list(cached) == [("toy_last", "train"), ("toy_last", "validation")]
    pool = ExemplarPool.for_task(task)
    for split, rows in task.source.rows:  # type: ignore[attr-defined]
        examples = cached["toy_last", split].read(range(rows))
        for i, example in enumerate(examples):
            row = task.source.row(split, i)  # type: ignore[attr-defined]
            made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=64)
            assert example.inputs.tolist() == [*vocabulary.encode(made.inputs), 1]
            assert example.targets.tolist() == [*vocabulary.encode(made.targets), 1]
            if split == "train":
                assert example.info is None
            else:
                assert example.info is not None
                assert example.info["id"] == row.id
                assert example.info["inputs"] == made.inputs
                assert example.info["targets"] == made.targets
                assert example.info["answer"] == row.answer
                assert tuple(example.info["exemplar_ids"]) == made.exemplar_ids


@pytest.mark.usefixtures("small_shards")
def test_same_bytes_for_any_number_of_workers(vocabulary: Vocabulary, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.mkdir()
    trees, processes = [], []
    for workers in (1, 2, 3):
        for old in trace.iterdir():
            old.unlink()
        tasks = (
            toy_task("toy_a", trace=str(trace), bad_every=9),
            few_shot("toy_b", salt="b", rows=(("train", 33), ("validation", 5))),
        )
        spec = toy_spec(vocabulary, *tasks)
        ensure_cached(spec, tmp_path / str(workers), num_workers=workers)
        trees.append(tree(tmp_path / str(workers)))
        processes.append({path.name.split("-")[0] for path in trace.iterdir()})
        if workers > 1:
            modules = set().union(*(path.read_text().split() for path in trace.iterdir()))
            assert "sentencepiece" in modules
            assert not modules & {"jax", "jaxlib", "tensorflow", "seqio", "grain", "flax"}
    assert trees[0] == trees[1] == trees[2]
    assert any("tokens-00005-of-00006.array_record" in name for name in trees[0])
    assert not processes[0] & processes[1], "two workers are not the caller"


def test_importing_the_cache_is_light() -> None:
    code = (
        "import sys, flan_t5x.data.cache, flan_t5x.data.build;"
        "print({m.split('.')[0] for m in sys.modules} & {'jax', 'tensorflow', 'seqio', 'grain'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_second_call_reads_only(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec, said = toy_spec(vocabulary), []
    ensure_cached(spec, tmp_path, num_workers=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = ensure_cached(spec, tmp_path, num_workers=1, say=said.append)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    assert said == []
    assert again["toy_last", "train"].num_examples == 40


def test_rows_are_counted_by_reason(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = {"rows": (("train", 100),), "bad_every": 20, "empty_every": 25, "long_every": 30}
    said: list[str] = []
    cached = ensure_cached(
        toy_spec(vocabulary, toy_task(**source)), tmp_path, num_workers=1, say=said.append
    )
    split = cached["toy_last", "train"]
    report = split.report()
    assert {reason: found["count"] for reason, found in report["rejected"].items()} == {
        "missing column": 5,
        "empty answer": 4,
    }
    assert report["rejected"]["missing column"]["first"][0] == {
        "id": "train-1",
        "detail": "line 1 has 1 column",
    }
    assert report["altered"]["truncated inputs"]["count"] == 4
    assert (report["rows"], report["kept"], split.num_examples) == (100, 91, 91)
    longest = split.read([int(np.argmax(split.lengths[:, 0]))])[0].inputs
    assert len(longest) == 64
    assert longest[-1] == vocabulary.eos_id
    assert "cached 91 of 100 rows" in said[-1]
    assert "5 rejected: missing column" in said[-1]


def test_targets_beyond_their_length_are_rejected(vocabulary: Vocabulary, tmp_path: Path) -> None:
    task = dataclasses.replace(
        toy_task(rows=(("train", 60),)), templates=(Template("{text}", "{text}"),)
    )
    words = [len(vocabulary.encode(task.source.row("train", i).fields["text"])) for i in range(60)]
    spec = dataclasses.replace(
        toy_spec(vocabulary, task),
        feature_lengths={"inputs": 64, "targets": 6},
    )
    split = ensure_cached(spec, tmp_path, num_workers=1)["toy_last", "train"]
    fits = [count for count in words if count + 1 <= 6]
    assert split.lengths[:, 1].tolist() == [count + 1 for count in fits]
    found = split.report()["rejected"]["target longer than its length"]
    assert found["count"] == 60 - len(fits) > spec.max_reject_share * 60, "counted, but no error"
    assert len(found["first"]) == min(20, found["count"])
    assert found["first"][0]["detail"].endswith("6 allowed")


def test_long_targets_of_other_splits_are_cut_not_lost(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """A benchmark keeps all its rows, and their texts whole: that is what is scored."""
    task = dataclasses.replace(
        toy_task(rows=(("validation", 60),)), templates=(Template("{text}", "{text}"),)
    )
    spec = dataclasses.replace(
        toy_spec(vocabulary, task),
        feature_lengths={"inputs": 64, "targets": 4},
        splits=("validation",),
    )
    split = ensure_cached(spec, tmp_path, num_workers=1)["toy_last", "validation"]
    assert split.num_examples == 60
    report = split.report()
    assert "target longer than its length" not in report["rejected"]
    examples = split.read(range(60))
    whole = [vocabulary.encode(str(example.info["targets"])) for example in examples]
    cut = report["altered"]["truncated targets"]["count"]
    assert cut == sum(len(ids) + 1 > 4 for ids in whole) > 0
    for example, ids in zip(examples, whole, strict=True):
        assert example.targets.tolist() == [*ids[:3], vocabulary.eos_id]


def test_too_many_rejected_rows_are_an_error(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec = toy_spec(vocabulary, toy_task(rows=(("train", 40),), bad_every=4))
    with pytest.raises(UserError) as caught:
        ensure_cached(spec, tmp_path, num_workers=1)
    message = str(caught.value)
    assert "'toy_last': 10 of 40 rows of split 'train'" in message
    assert "max_reject_share=0.2" in message
    assert "'missing column' (10 rows; first: row 'train-1': line 1 has 1 column)" in message
    refused = tmp_path / "toy_last" / "refused-train.json"
    assert json.loads(refused.read_text())["rejected"]["missing column"]["count"] == 10
    assert set(tree(tmp_path)) == {"toy_last/refused-train.json"}, "nothing looks complete"
    ensure_cached(dataclasses.replace(spec, max_reject_share=0.25), tmp_path, num_workers=1)
    assert not refused.exists()


def test_no_usable_row_is_an_error(vocabulary: Vocabulary, tmp_path: Path) -> None:
    task = dataclasses.replace(toy_task(), source=EmptyAnswers((("train", 8),)))
    spec = toy_spec(vocabulary, task, max_reject_share=1.0)
    with pytest.raises(UserError, match=r"8 of 8 rows .* cannot be used\. .*'empty answer'"):
        ensure_cached(spec, tmp_path, num_workers=1)


class EmptyAnswers(ToySource):
    """No row of it has an answer."""

    def row(self, split: str, i: int) -> Example:
        return Example(f"{split}-{i}", {"text": "red"}, " ")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tasks": ()}, "no tasks"),
        ({"tasks": (toy_task(), toy_task())}, "asked for twice"),
        ({"splits": ("trian",)}, "no split 'trian'; it has train, validation. did you mean"),
        ({"tasks": (toy_task(rows=(("train", 0),)),)}, "no rows in split 'train'"),
        ({"tasks": (toy_task("../up"),)}, "cannot name a cache folder"),
        ({"feature_lengths": {"inputs": 64}}, "feature length 'targets' is None"),
        ({"feature_lengths": {"inputs": 64, "targets": 1}}, "at least 2"),
        ({"feature_lengths": {"inputs": 9, "targets": 9, "x": 1}}, "'x' names no feature"),
        ({"max_examples": 0}, "max_examples is 0"),
    ],
)
def test_bad_requests(spec: dict, message: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        ensure_cached(dataclasses.replace(toy_spec(vocabulary), **spec), tmp_path)
    assert not list(tmp_path.iterdir())


def test_all_splits_are_those_with_examples(vocabulary: Vocabulary, tmp_path: Path) -> None:
    rows = (("exemplars", 5), ("test", 6), ("validation", 7))
    spec = toy_spec(vocabulary, toy_task(rows=rows))
    assert [entry.split for entry in plan(spec, tmp_path)] == ["test", "validation"]
    named = dataclasses.replace(spec, splits=("exemplars", "test", "test"))
    assert [entry.split for entry in plan(named, tmp_path)] == ["exemplars", "test"]
    with pytest.raises(UserError, match="no splits to cache"):
        plan(toy_spec(vocabulary, toy_task(rows=())), tmp_path)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("harm", [_flip, _truncate, Path.unlink])
@pytest.mark.parametrize(
    "name", ["tokens-00000-of-00001.array_record", "lengths.npy", "report.json", "manifest.json"]
)
def test_damage_is_named_and_rebuilt(
    harm: object, name: str, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    spec = toy_spec(vocabulary)
    before = ensure_cached(spec, tmp_path, num_workers=1)
    whole = tree(tmp_path)
    harm(before["toy_last", "train"].directory / name)  # type: ignore[operator]
    said: list[str] = []
    after = ensure_cached(spec, tmp_path, num_workers=1, say=said.append)
    assert said[0].startswith("task toy_last: the cache of split train is damaged (" + name)
    assert tree(tmp_path) == whole
    assert after["toy_last", "train"].read([3])[0].inputs.tolist() == (
        before["toy_last", "train"].read([3])[0].inputs.tolist()
    )


@pytest.mark.parametrize(("place", "seen"), [("edge", True), ("middle", False)])
def test_big_splits_are_checked_at_their_edges(
    place: str,
    seen: bool,
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_manifest, "THOROUGH_BYTES", 0)
    monkeypatch.setattr(cache_manifest, "_EDGE", 1000)
    spec = toy_spec(vocabulary)
    split = ensure_cached(spec, tmp_path, num_workers=1)["toy_last", "train"]
    path = split.directory / split.manifest.shards[0].name
    content = bytearray(path.read_bytes())
    content[-500 if place == "edge" else len(content) // 2] ^= 1
    path.write_bytes(content)
    said: list[str] = []
    ensure_cached(spec, tmp_path, num_workers=1, say=said.append)
    assert bool(said) == seen


def test_damage_noted_while_reading_is_rebuilt(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec = toy_spec(vocabulary)
    split = ensure_cached(spec, tmp_path, num_workers=1)["toy_last", "train"]
    cache_manifest.mark_damaged(split.directory, "a record does not fit")
    said: list[str] = []
    ensure_cached(spec, tmp_path, num_workers=1, say=said.append)
    assert "damaged (a record does not fit), rebuilding it" in said[0]
    assert not (split.directory / "damaged.txt").exists()


def _changes() -> list:
    task = toy_task()
    templates = (*task.templates[:1], Template("Last of {text} ?"))
    stale = "the cache is stale ({} changed), rebuilding it"
    other = "cached with other settings before ({}), caching it with these as well"
    replace = dataclasses.replace
    return [
        ({"tasks": (replace(task, templates=templates),)}, stale.format("templates")),
        ({"tasks": (toy_task(salt="new"),)}, stale.format("source")),
        ({"tasks": (replace(task, seed=3),)}, stale.format("task seed 0 -> 3")),
        ({"tasks": (replace(task, format="fs"),)}, stale.format("format zs -> fs")),
        (
            {"tasks": (replace(task, option_styles=("dash",)),)},
            stale.format("option styles dash,letter_paren,number_dot,comma_or -> dash"),
        ),
        (
            {"feature_lengths": {"inputs": 32, "targets": 8}},
            other.format("feature lengths 64/8 -> 32/8"),
        ),
    ]


@pytest.mark.parametrize(("change", "message"), _changes())
def test_stale_caches_are_named(
    change: dict, message: str, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    spec = toy_spec(vocabulary)
    ensure_cached(spec, tmp_path, num_workers=1)
    said: list[str] = []
    changed = dataclasses.replace(spec, **change)
    ensure_cached(changed, tmp_path, num_workers=1, say=said.append)
    assert said[0] == f"task toy_last: {message}"
    said.clear()
    ensure_cached(spec, tmp_path, num_workers=1, say=said.append)
    ensure_cached(changed, tmp_path, num_workers=1, say=said.append)
    assert said == [], "both stay cached"


def test_renderer_version_is_part_of_the_fingerprint(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before, _) = plan(toy_spec(vocabulary), tmp_path)
    monkeypatch.setattr("flan_t5x.data.cache_plan.RENDERER_VERSION", 999)
    (after, _) = plan(toy_spec(vocabulary), tmp_path)
    assert before.directory != after.directory


def test_stale_tasks_share_a_message(vocabulary: Vocabulary, tmp_path: Path) -> None:
    names = [f"toy_{i}" for i in range(7)]
    ensure_cached(toy_spec(vocabulary, *map(toy_task, names)), tmp_path, num_workers=1)
    new = [toy_task(name, salt="new") for name in names]
    said: list[str] = []
    ensure_cached(toy_spec(vocabulary, *new), tmp_path, num_workers=1, say=said.append)
    assert said[0] == (
        "7 tasks (toy_0, toy_1, toy_2, toy_3, toy_4, ...): "
        "the cache is stale (source changed), rebuilding it"
    )


@settings(deadline=None)
@given(rows=st.integers(2, 5000), limit=st.integers(1, 5000), seed=st.integers(0, 5))
def test_chosen_rows_are_spread_evenly(rows: int, limit: int, seed: int) -> None:
    limit = min(limit, rows - 1)
    entry = Entry(toy_task(), "train", rows, limit, seed, {}, Path())
    chosen = entry.chosen_rows()
    assert chosen is not None
    edges = [k * rows // limit for k in range(limit + 1)]
    assert len(chosen) == limit
    assert all(a <= row < b for a, row, b in zip(edges, chosen, edges[1:], strict=False))


@pytest.mark.usefixtures("small_shards")
def test_max_examples_bounds_the_rows(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec = dataclasses.replace(toy_spec(vocabulary), max_examples=16)
    cached = ensure_cached(spec, tmp_path, num_workers=1)
    (entry, _) = plan(spec, tmp_path)
    full = ensure_cached(toy_spec(vocabulary), tmp_path / "full", num_workers=1)
    chosen = entry.chosen_rows()
    assert chosen is not None
    wanted = full["toy_last", "train"].read(chosen)
    got = cached["toy_last", "train"].read(range(16))
    assert [e.inputs.tolist() for e in got] == [e.inputs.tolist() for e in wanted]
    assert cached["toy_last", "train"].manifest.num_rows == 16
    small = cached["toy_last", "validation"]
    assert small.num_examples == 10
    unlimited = full["toy_last", "validation"].manifest.fingerprint
    assert small.manifest.fingerprint == unlimited, "a limit that does not bind changes nothing"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("small_shards")
def test_progress_counts_every_row_once(
    workers: int, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    calls: list[tuple[int, int, str]] = []
    spec = toy_spec(vocabulary, toy_task("toy_a"), toy_task("toy_b", salt="b"))
    ensure_cached(spec, tmp_path, num_workers=workers, progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done[-1] == 100
    assert {total for _, total, _ in calls} == {100}
    assert {current for *_, current in calls} <= {
        f"toy_{t} {s}" for t in "ab" for s in ("train", "validation")
    }


def test_estimate_foresees_rows_bytes_and_time(vocabulary: Vocabulary, tmp_path: Path) -> None:
    spec: CacheSpec = toy_spec(vocabulary, toy_task(rows=(("train", 9000), ("test", 100))))
    expected = estimate(spec, tmp_path / "cache", num_workers=1)
    assert not (tmp_path / "cache").exists()
    assert expected.missing == (("toy_last", "train"), ("toy_last", "test"))
    assert expected.rows == 9100
    assert expected.free_bytes > 0
    cached = ensure_cached(spec, tmp_path / "cache", num_workers=1)
    size = sum(split.manifest.num_bytes for split in cached.values())
    assert size / 2 < expected.bytes < size * 2
    assert 0.05 < expected.seconds < 20
    nothing = estimate(spec, tmp_path / "cache")
    assert (nothing.seconds, nothing.bytes, nothing.missing, nothing.rows) == (0.0, 0, (), 0)


def test_lone_surrogates_are_rejected_not_fatal(vocabulary: Vocabulary, tmp_path: Path) -> None:
    task = dataclasses.replace(toy_task(), source=HalfPairs((("train", 20),)))
    split = ensure_cached(toy_spec(vocabulary, task), tmp_path, num_workers=1)["toy_last", "train"]
    assert split.report()["rejected"] == {
        "text is not valid Unicode": {
            "count": 1,
            "first": [{"id": "train-4", "detail": "'\\ud83d'"}],
        }
    }


class HalfPairs(ToySource):
    """Row 4 has half of a surrogate pair, as JSON can write it."""

    def row(self, split: str, i: int) -> Example:
        return Example(f"{split}-{i}", {"text": "red \ud83d" if i == 4 else "red"}, "red")
