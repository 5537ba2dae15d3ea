"""A target appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flan_t5x.checkpoint.convert.whole import SUMS, whole_folder
from flan_t5x.errors import UserError


def make(target: Path, text: str = "a", *, overwrite: bool = False) -> None:
    with whole_folder(target, overwrite=overwrite, needed=1) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text(text)
        assert not (target / "sub").exists() or overwrite


def fail(target: Path, error: BaseException, *, overwrite: bool = False) -> None:
    """Stops half way."""
    with whole_folder(target, overwrite=overwrite, needed=1) as folder:
        (folder / "file").write_text("half")
        raise error


def test_it_takes_its_name_at_the_end_with_sums(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "out")
    digest = hashlib.sha256(b"a").hexdigest()
    assert (tmp_path / "deep" / "out" / SUMS).read_text() == f"{digest}  sub/file\n"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "out", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_refused_and_only_a_conversion_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with pytest.raises(UserError, match="exists already"):
        make(out, "b")
    make(out, "b", overwrite=True)
    assert (out / "sub" / "file").read_text() == "b"
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="not made by a conversion"):
        make(precious, overwrite=True)
    assert (precious / "thesis.tex").read_text() == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "out"]


def test_the_old_target_stays_where_the_new_one_fails(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with pytest.raises(UserError, match="damaged"):
        fail(out, UserError("damaged"), overwrite=True)
    assert (out / "sub" / "file").read_text() == "a"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_disk_that_is_too_small_is_seen_before_writing(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"disk full: .* needs 1000000000\.0 GB"),
        whole_folder(tmp_path / "out", overwrite=False, needed=10**18),
    ):
        pytest.fail("nothing must be written")
    assert list(tmp_path.iterdir()) == []


def test_left_overs_of_a_killed_conversion_go(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from flan_t5x.checkpoint.convert.whole import whole_folder\n"
        "with whole_folder(Path(sys.argv[1]), overwrite=False, needed=1) as folder:\n"
        "    (folder / 'file').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out = tmp_path / "out"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code, str(out)], check=False, env=env)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    make(out)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
