"""The collections as wholes: shares as published, names that exist, the page that is current."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from flan_tasks import collection, cot, mixtures, muffin
from flan_tasks.collection import table

from flan_t5x.cli.gin_config import load
from flan_t5x.cli.gin_files import packaged_gin_dir
from flan_t5x.cli.gin_flags import parse_bindings
from flan_t5x.data import registry
from flan_t5x.data.sources import location

ROOT = Path(__file__).resolve().parents[3]
SUBMIXTURES = (
    *(f"{p}_{k}" for p in ("flan", "t0") for k in ("zsopt", "fsopt", "zsnoopt", "fsnoopt")),
    *(f"{p}_{k}" for p in ("cot", "dialog", "niv2") for k in ("zsopt", "fsopt")),
)


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch) -> None:
    """An empty data folder: all counts are published ones, wherever this runs."""
    monkeypatch.setattr(location, "_chosen", tmp_path)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def described(name: str) -> list[registry.MixtureRow]:
    return registry.describe_mixture(name, published_counts=True)


def parts(name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in described(name):
        found[row.part] = found.get(row.part, 0.0) + row.share
    return found


def test_the_fourteen_submixtures():
    assert len(SUBMIXTURES) == 14
    for name in SUBMIXTURES:
        rows = described(name)
        assert sum(row.share for row in rows) == pytest.approx(1)
        assert all(row.counted == "published" and row.share > 0 for row in rows), name


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("flan2022_a", mixtures.PROPORTION_A),
        ("flan2022_b", mixtures.PROPORTION_B),
        ("flan2022_collection", mixtures.COLLECTION),
    ],
)
def test_shares_are_the_published_ones(name, published):
    found = list(parts(name).values())
    assert [100 * share for share in found] == pytest.approx(list(published.values()), abs=0.1)
    assert sum(found) == pytest.approx(1)


def test_formats_are_equal_and_inversions_stand_at_their_rate():
    assert parts("flan2022_t0_sf") == pytest.approx(
        dict.fromkeys(("t0_zsopt", "t0_fsopt", "t0_zsnoopt", "t0_fsnoopt"), 0.25)
    )
    assert parts("flan2022_niv2") == pytest.approx(dict.fromkeys(("niv2_zsopt", "niv2_fsopt"), 0.5))
    for prefix in ("flan", "cot", "dialog"):
        for kind in ("zsopt", "fsopt"):
            forward, inverted = parts(f"{prefix}_{kind}").values()
            assert inverted / forward == pytest.approx(mixtures.INVERTED_RATE)
    assert [r.task for r in described("flan_zsnoopt") if "_inv_" in r.task] == []


def test_caps_bound_weights():
    for name, cap in (
        ("flan_zsnoopt", 30_000),
        ("t0_zsopt", 20_000),
        ("niv2_fsopt", 5_000),
        ("flan2021", 3_000),
    ):
        rows = described(name)
        assert {row.cap for row in rows} == {cap}
        assert all(row.rate == min(row.examples, cap) for row in rows)


def test_few_shot_chain_of_thought_reasons():
    tasks = {row.task for row in described("cot_fsopt") if "_inv_" not in row.task}
    assert tasks == {f"cot_{name}_fs_cot" for name in cot.DATASETS}


def test_the_ladder_grows():
    counts = []
    for name in ("cot", "muffin", "t0_sf", "niv2"):
        counts.append(len({r.task for r in described(f"flan2022_ladder_{name}")}))
    assert counts == sorted(set(counts))
    assert parts("flan2022_ladder_niv2") == parts("flan2022_a")
    assert parts("flan2022_ladder_muffin") == pytest.approx(
        {"flan2022_cot": 3 / 55, "flan2022_muffin_and_dialog": 52 / 55}
    )


def test_the_ablation():
    everything = {row.task for row in described("flan2022_all")}
    without = {row.task for row in described("flan2022_without_cot")}
    only = {row.task for row in described("flan2022_cot_only")}
    assert without | only == everything
    assert not without & only
    assert all(name.startswith("cot_") for name in only)


def test_flan_2021_holds_clusters_out():
    clusters = collection.flan_2021_clusters()
    assert sum(map(len, clusters.values())) == 69
    assert {row.task for row in described("flan2021")} == {
        f"flan_{key}_zsopt" for keys in clusters.values() for key in keys
    }
    for cluster, keys in clusters.items():
        tasks = {row.task for row in described(f"flan2021_without_{cluster}")}
        gone = {
            *keys,
            *(k for c in mixtures.HELD_OUT_TOGETHER.get(cluster, ()) for k in clusters[c]),
        }
        assert len(tasks) == 69 - len(gone)
        assert not tasks & {f"flan_{key}_zsopt" for key in gone}
    assert set(mixtures.HELD_OUT_TOGETHER) <= set(clusters)
    assert set(muffin.FLAN_2022_ONLY) <= set(muffin.KEYS)


def test_the_page_is_current():
    """``python -m flan_tasks.collection.table > tasks/COLLECTION.md`` renews it."""
    assert (ROOT / "tasks" / "COLLECTION.md").read_text("utf-8") == table.page()


def test_the_page_does_not_depend_on_the_data(tmp_path):
    before = table.page()
    folder = tmp_path / "flan_cot"
    folder.mkdir()
    (folder / "gsm8k_train.tsv").write_text("q\t1\tr\n")
    assert table.page() == before


def test_listing_everything_is_quick():
    """After import: names of the whole collection, and then every definition."""
    code = (
        "import time; from flan_t5x.data import registry; start = time.process_time();"
        "names = registry.task_names(); mixtures = registry.mixture_names();"
        "built = len(registry._registry.tasks); tasks = [registry.get_task(n) for n in names];"
        "print(len(names), built, time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names, built, seconds = done.stdout.split()
    assert int(names) > 4_000
    assert int(built) < 500  # mini-Flan's and the chain-of-thought tasks, which are few
    assert float(seconds) < 2


def test_ten_tasks_do_not_build_the_others(monkeypatch):
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    for key in list(muffin.KEYS)[:10]:
        registry.get_task(f"flan_{key}_zsopt")
    assert len(registry._registry.tasks) == 10
    assert registry._registry.loaded == {"flan_tasks.muffin"}


@pytest.mark.parametrize("file", sorted((packaged_gin_dir() / "mixtures").glob("*.gin")))
def test_gin_files(file, tmp_path):
    run = ["models/t5_1_1_small.gin", "runs/finetune.gin", f"mixtures/{file.name}"]
    bindings = {
        "MODEL_DIR": str(tmp_path),
        "VOCABULARY": "mini",
        "EVAL_MIXTURE": "mini_heldout",
        "TRAIN_STEPS": 1,
        "INITIAL_CHECKPOINT_PATH": None,
    }
    given = parse_bindings([f"{name}={value!r}" for name, value in bindings.items()])
    made = load("train", gin_files=run, bindings=given, given=["dry_run", "operative_config"])
    data = made.arguments()["data"]
    assert data.mixture_or_task_name == file.stem
    assert not data.allow_missing_tasks
    registry.get_mixture(file.stem)
    assert f"mixtures/{file.name}" in file.read_text("utf-8")


def test_describing_the_whole_mixture_is_quick():
    registry.get_mixture("flan2022_b")
    start = time.process_time()
    described("flan2022_b")
    assert time.process_time() - start < 2
