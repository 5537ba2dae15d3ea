"""The wheel: what is in it, and that it works where there is no checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

pytest.importorskip("pip", reason="wheels are built and installed by pip")

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("flan_t5x", "tasks", "gin", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean_environment(), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def clean_environment() -> dict[str, str]:
    """The environment without what would lead back to the checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools leaves folders in the tree that it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source, copy = ROOT / name, folder / "source" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(source, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*pip, "--wheel-dir", folder, folder / "source"], cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of a new environment with the wheel in it.

    Dependencies are those of the running environment, put on the path by a ``.pth`` file:
    such a file's folders are searched, but the editable install in them is not switched on.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel], cwd=folder
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


def test_contents(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
    # `tasks` or `gin` at the top would take over names that are not ours.
    assert {name.split("/")[0] for name in names} == {"flan_t5x", "flan_tasks", metadata}
    expected = set()
    for folder, inside in (
        ("flan_t5x", "flan_t5x"),
        ("tasks", "flan_tasks"),
        ("gin", "flan_t5x/gin"),
    ):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                expected.add(f"{inside}/{file.relative_to(ROOT / folder).as_posix()}")
    assert {name for name in names if not name.startswith(metadata)} == expected
    assert f"{metadata}/licenses/LICENSE" in names


def test_the_installed_command(installed: Path, tmp_path: Path) -> None:
    assert "tasks" in run([installed / "flan-t5x", "--help"], cwd=tmp_path).stdout
    listed = run([installed / "flan-t5x", "tasks", "list", "--json"], cwd=tmp_path)
    names = [mixture["name"] for mixture in json.loads(listed.stdout)["mixtures"]]
    assert "mini_flan" in names
    assert listed.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_what_the_installed_package_imports_and_finds(installed: Path, tmp_path: Path) -> None:
    code = (
        "import flan_t5x, flan_tasks, gin, json, importlib.util as u; "
        "from flan_t5x.cli.gin_files import find, search_folders; "
        "print(json.dumps([flan_t5x.__file__, flan_tasks.__file__, gin.__file__, "
        "str(find('smoke.gin', search_folders([]))), u.find_spec('tasks') is None]))"
    )
    done = run([installed / "python", "-c", code], cwd=tmp_path)
    engine, tasks, gin, smoke, no_tasks = json.loads(done.stdout)
    inside = str(installed.parent)
    assert engine.startswith(inside)
    assert tasks.startswith(inside)
    assert not gin.startswith(inside)  # the library, not our folder of recipes
    assert smoke == str(Path(engine).parent / "gin" / "smoke.gin")
    assert no_tasks


@pytest.mark.slow
def test_the_smoke_run_from_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Installs the wheel with its dependencies (network) and runs the main job; about 8 minutes."""
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    bin_folder = tmp_path / "venv" / "bin"
    run([bin_folder / "pip", "install", "--quiet", wheel], cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run(
        [bin_folder / "flan-t5x", "train", "--gin_file=smoke.gin", "--gin.MODEL_DIR=runs/smoke"],
        cwd=empty,
        env={"FLAN_T5X_CACHE_DIR": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"},
    )
    assert done.stderr == ""
    assert [path.name for path in empty.iterdir()] == ["runs"]
    folder = empty / "runs" / "smoke"
    best = json.loads((folder / "best.json").read_text())
    assert set(best) == {"step", "metric", "value", "values"}
    assert {"config.gin", "mixture.txt", "metrics.jsonl"} <= {p.name for p in folder.iterdir()}
