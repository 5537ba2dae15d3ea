"""A step that is not whole is noticed, named, set aside, and an older one is used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from flan_t5x.checkpoint import completeness
from flan_t5x.checkpoint.manager import Checkpoints, find_step, read_params
from flan_t5x.errors import UserError
from tests.checkpoint.states import (
    abstract_state,
    assert_bitwise_equal,
    device_state,
    files_of,
    host_state,
)

SMALL = {"width": 16, "layers": 1}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps 1 (the best) and 2 (the newest)."""
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(1, device_state(1, **SMALL), metric=0.9, extra={"step": 1})
        checkpoints.save(2, device_state(2, **SMALL), metric=0.1, extra={"step": 2})
    return directory


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def test_every_file_of_a_step_matters(copy: Path) -> None:
    """Each file removed, cut by one byte, and with one bit turned, is noticed and named."""
    folder = copy / "2"
    assert completeness.find_problem(folder) is None
    checked = 0
    for file in files_of(folder):
        data, name = file.read_bytes(), str(file.relative_to(folder))
        file.unlink()
        metric = name == str(completeness.METRIC_FILE)
        assert metric == (completeness.find_problem(folder) is None), name
        if name != "_CHECKPOINT_METADATA":
            file.write_bytes(data[:-1])
            assert name in str(completeness.find_problem(folder))
            middle = len(data) // 2
            flipped = bytes([data[middle] ^ 0x80])
            file.write_bytes(data[:middle] + flipped + data[middle + 1 :])
            assert name in str(completeness.find_problem(folder))
        file.write_bytes(data)
        assert completeness.find_problem(folder) is None
        checked += 1
    assert checked >= 8


def _lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _cut_biggest(folder: Path) -> None:
    file = files_of(folder)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no manifest": (_lose("state/manifest.json"), "state/manifest.json is missing"),
    "cut manifest": (
        lambda folder: (folder / "state/manifest.json").write_text('{"format": 1, "fi'),
        "state/manifest.json is damaged",
    ),
    "other format": (
        lambda folder: (folder / "state/manifest.json").write_text('{"format": 9, "files": {}}'),
        "its manifest has format 9",
    ),
    "half a file": (_cut_biggest, "bytes instead of"),
    "no state": (lambda folder: shutil.rmtree(folder / "state"), "manifest.json is missing"),
    "no index": (_lose("state/manifest.ocdbt"), "state/manifest.ocdbt is missing"),
    "empty folder": (
        lambda folder: [shutil.rmtree(p) if p.is_dir() else p.unlink() for p in folder.iterdir()],
        "manifest.json is missing",
    ),
    "bad metric": (
        lambda folder: (folder / "metrics/metrics").write_text("{"),
        "metrics/metrics is damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_step_is_set_aside_and_named(copy: Path, damage: str) -> None:
    harm, problem = DAMAGES[damage]
    harm(copy / "2")
    before = sorted(p.relative_to(copy / "2") for p in (copy / "2").rglob("*"))
    notices: list[str] = []
    with Checkpoints(copy, say=notices.append) as checkpoints:
        assert (checkpoints.newest(), checkpoints.best()) == (1, 1)
        state, extra = checkpoints.restore(abstract_state(**SMALL))
        assert_bitwise_equal(state, host_state(1, **SMALL))
        assert extra == {"step": 1}
        # The run goes on from step 1 and reaches step 2 again; nothing good is deleted.
        checkpoints.save(2, device_state(2, **SMALL), metric=0.1, extra={"step": 2})
        checkpoints.wait()
        assert checkpoints.steps() == [1, 2]
    assert len(notices) == 1
    for part in (str(copy / "2"), problem, "2.damaged", "using step 1 instead"):
        assert part in notices[0]
    aside = copy / "2.damaged"
    assert sorted(p.relative_to(aside) for p in aside.rglob("*")) == before
    with Checkpoints(copy, say=notices.append):
        assert len(notices) == 1  # named once, not at every start


def test_a_second_damaged_copy_gets_its_own_name(copy: Path) -> None:
    for _ in range(2):
        (copy / "2" / completeness.MANIFEST).unlink()
        with Checkpoints(copy, say=lambda _: None) as checkpoints:
            checkpoints.save(2, device_state(2, **SMALL))
    assert {p.name for p in copy.iterdir()} == {"1", "2", "2.damaged", "2.damaged-2"}


def test_nothing_whole_is_left(copy: Path) -> None:
    notices: list[str] = []
    for step in ("1", "2"):
        (copy / step / "state/manifest.ocdbt").unlink()
    with Checkpoints(copy, say=notices.append) as checkpoints:
        assert checkpoints.newest() is None
    assert "there is no older step" in notices[0]
    assert len(notices) == 2


def test_readers_pass_over_a_damaged_step_and_change_nothing(copy: Path) -> None:
    _cut_biggest(copy / "1")
    notices: list[str] = []
    assert find_step(copy, say=notices.append) == copy / "2"
    assert len(notices) == 1
    assert f"checkpoint {copy / '1'} is not whole" in notices[0]
    assert {p.name for p in copy.iterdir()} == {"1", "2"}
    for place, step in ((copy, 1), (copy / "1", None)):
        with pytest.raises(UserError, match=r"1 is not whole: .* bytes instead of"):
            read_params(place, step)


def test_damage_that_only_reading_finds(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Big states have no checksums: TensorStore finds the damage, and an older step is used."""
    monkeypatch.setattr(completeness, "CHECKSUM_BYTES", 0)
    with Checkpoints(copy, keep_newest=2) as checkpoints:
        checkpoints.save(3, device_state(3, **SMALL))
    for file in (copy / "3" / "state").rglob("d/*"):
        data = file.read_bytes()
        file.write_bytes(bytes(255 - byte for byte in data))
    notices: list[str] = []
    with Checkpoints(copy, say=notices.append, keep_newest=2) as checkpoints:
        assert checkpoints.newest() == 3
        with pytest.raises(UserError, match="3 cannot be restored"):
            checkpoints.restore(abstract_state(**SMALL), 3)
        state, _ = checkpoints.restore(abstract_state(**SMALL))
        assert_bitwise_equal(state, host_state(2, **SMALL))
        assert (checkpoints.newest(), checkpoints.best()) == (2, 1)
    assert len(notices) == 1
    assert "using step 2 instead" in notices[0]


def test_left_overs_are_cleared_at_the_start(copy: Path) -> None:
    for name in ("3.orbax-checkpoint-tmp", "4.orbax-checkpoint-tmp-1699", ".removed"):
        (copy / name / "state").mkdir(parents=True)
        (copy / name / "state" / "x").write_bytes(b"x" * 1000)
    notices: list[str] = []
    with Checkpoints(copy, say=notices.append) as checkpoints:
        assert checkpoints.steps() == [1, 2]
        assert {p.name for p in copy.iterdir()} == {"1", "2"}
    assert notices == []


def test_the_manifest_lists_what_is_there(saved: Path) -> None:
    leaves = completeness.read_leaves(saved / "2")
    assert str(leaves["params/head"]) == "bfloat16[16, 96]"
    assert str(leaves["step"]) == "int"
    assert len(leaves) == len(jax.tree.leaves(host_state(2)))
