"""A full disk, on a small real file system: one clear error, the last good step intact."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.checkpoint.disk import bytes_on_disk, is_disk_full
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.errors import UserError
from tests.checkpoint.states import abstract_state, assert_bitwise_equal, device_state, host_state

SIZES = {"width": 256, "layers": 8}  # about 2.3 MB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """8 MB of tmpfs."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, leave: int) -> Path:
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(folder).free - leave))
    return ballast


def test_too_little_space_is_refused_before_anything_is_touched(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = small_disk / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(1, device_state(1, **SIZES))
        checkpoints.wait()
        ballast = fill(small_disk, leave=1_500_000)
        with pytest.raises(UserError) as caught:
            checkpoints.save(2, device_state(2, **SIZES))
        message = str(caught.value)
        assert "\n" not in message
        needed = bytes_on_disk(host_state(1, **SIZES))
        for part in ("disk full", str(directory), f"{needed / 1e6:.1f} MB", "1.5 MB is free"):
            assert part in message
        assert "step 1 is untouched" in message
        assert [p.name for p in directory.iterdir()] == ["1"]
        ballast.unlink()  # the very same object goes on once there is room
        checkpoints.save(2, device_state(2, **SIZES))
    assert [p.name for p in directory.iterdir()] == ["2"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at", ["wait", "save"])
def test_a_disk_that_fills_during_a_save(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], at: str
) -> None:
    """Another program takes the space after our check: Orbax fails in its own threads."""
    directory = small_disk / "checkpoints"
    checkpoints = Checkpoints(directory)
    checkpoints.save(1, device_state(1, **SIZES), metric=0.5)
    checkpoints.wait()
    fill(small_disk, leave=1_000_000)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, 1 << 40))
        checkpoints.save(2, device_state(2, **SIZES), metric=0.9)
    next_call = {
        "wait": checkpoints.wait,
        "save": lambda: checkpoints.save(3, device_state(3, **SIZES)),
    }[at]
    with pytest.raises(UserError) as caught:
        next_call()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("disk full", str(directory), "step 1 is untouched", "run the same command again"):
        assert part in message
    assert [p.name for p in directory.iterdir()] == ["1"]  # nothing half-written is left
    assert (checkpoints.newest(), checkpoints.best()) == (1, 1)
    assert_bitwise_equal(checkpoints.restore(abstract_state(**SIZES))[0], host_state(1, **SIZES))
    checkpoints.close()
    with Checkpoints(directory) as reopened:
        assert_bitwise_equal(reopened.restore(abstract_state(**SIZES))[0], host_state(1, **SIZES))
        (small_disk / "ballast").unlink()
        reopened.save(2, device_state(2, **SIZES), metric=0.9)
    assert [p.name for p in directory.iterdir()] == ["2"]
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_recognised_anywhere_in_the_chain() -> None:
    inner = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    outer = RuntimeError("save failed")
    outer.__cause__ = inner
    assert is_disk_full(outer)
    assert is_disk_full(ValueError("RESOURCE_EXHAUSTED: file 4: No space left on device [os 28]"))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(OSError(errno.EACCES, "denied"))
    assert not is_disk_full(ValueError("RESOURCE_EXHAUSTED: out of memory"))
