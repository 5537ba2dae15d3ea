"""Fetching raw data from a server on this machine that breaks off, lies and refuses."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.raw import fetch as fetching
from flan_t5x.data.raw import prepare, transfer
from flan_t5x.data.raw.checks import RECORD, Record, check_source
from flan_t5x.data.raw.fetch import Outcome, fetch
from flan_t5x.data.raw.manifest import RawFile, RawSource
from flan_t5x.data.raw.transfer import Policy, TransferError
from flan_t5x.errors import UserError
from tests.data.raw.site import Site, serve

QUICK = Policy(attempts=3, timeout=5.0, backoff=0.001)
BODY = bytes(range(256)) * 4000  # about 1 MB: several reads


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(*files: RawFile, name: str = "toy", **more: Any) -> RawSource:
    kind = more.pop("kind", "files")
    return RawSource(name, "a toy", "train", "none", "here", kind, "toy", files, **more)


def raw(site: Site, path: str = "a.bin", *, known: bool = True, **more: Any) -> RawFile:
    content = site.files.get(path, b"")
    about: dict[str, Any] = {"size": len(content), "digest": ("sha256", sha256(content))}
    return RawFile(f"toy/{path}", (site.url(path),), **{**(about if known else {}), **more})


def get(root: Path, *files: RawFile, workers: int = 2) -> Outcome:
    return fetch([source(*files)], root, workers=workers, policy=QUICK)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(files={"a.bin": BODY}) as running:
        yield running


def left_over(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if ".part" in p.name)


def test_files_are_fetched_once_and_put_into_their_places(tmp_path: Path) -> None:
    contents = {f"f{i}.bin": BODY[: 1000 * i] for i in range(7)}  # f0 is empty
    with serve(files=contents) as site:
        files = [raw(site, name) for name in contents]
        outcome = get(tmp_path, *files, workers=3)
        assert sorted(outcome.fetched) == sorted(file.path for file in files)
        assert not outcome.failed
        for name, content in contents.items():
            assert (tmp_path / "toy" / name).read_bytes() == content
        assert left_over(tmp_path) == []
        requests = len(site.seen)
        again = get(tmp_path, *files)
        assert (again.fetched, len(again.kept), len(site.seen)) == ([], 7, requests)


def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path: Path, site: Site) -> None:
    site.break_after = [300_000, 200_000]
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY
    assert [wanted for _, wanted in site.seen] == ["", "bytes=300000-", "bytes=500000-"]


def test_another_process_goes_on_where_the_first_was_killed(tmp_path: Path, site: Site) -> None:
    part = tmp_path / "toy" / "a.bin.part"
    part.parent.mkdir()
    part.write_bytes(BODY[:123_456])
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    assert site.seen == [("a.bin", "bytes=123456-")]
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY
    assert left_over(tmp_path) == []


def test_a_part_that_nothing_vouches_for_is_not_built_upon(tmp_path: Path, site: Site) -> None:
    part = tmp_path / "toy" / "a.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"of another version")
    assert get(tmp_path, raw(site, known=False)).fetched == ["toy/a.bin"]
    assert site.seen == [("a.bin", "")]
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY


@pytest.mark.parametrize("changed", [False, True])
def test_without_a_checksum_the_servers_version_decides(
    changed: bool, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.etags["a.bin"] = '"one"'
    site.break_after = [400_000]
    monkeypatch.setattr(transfer.Transfer, "_request", once(transfer.Transfer._request))
    assert get(tmp_path, raw(site, known=False)).failed  # gave up after the first answer
    monkeypatch.undo()
    assert (tmp_path / "toy/a.bin.part").stat().st_size == 400_000
    now = BODY[::-1] if changed else BODY
    site.files["a.bin"] = now
    site.etags["a.bin"] = '"two"' if changed else '"one"'
    assert get(tmp_path, raw(site, known=False)).fetched == ["toy/a.bin"]
    assert (tmp_path / "toy/a.bin").read_bytes() == now
    assert site.seen[-1] == ("a.bin", "bytes=400000-")


def once(request: Any) -> Any:
    """A request method that works one time, then gives up."""
    calls: list[None] = []

    def limited(self: Any, url: str) -> None:
        if calls:
            raise TransferError("enough")
        calls.append(None)
        request(self, url)

    return limited


def test_a_server_without_ranges_is_asked_for_all_again(tmp_path: Path, site: Site) -> None:
    site.ranges = False
    site.break_after = [300_000]
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY


def test_a_server_that_tells_no_length(tmp_path: Path, site: Site) -> None:
    site.lengths = False
    site.break_after = [300_000]  # looks like the end of the file
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY


def test_corrupted_bytes_are_fetched_again_once(tmp_path: Path, site: Site) -> None:
    site.corrupt = 1
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY
    assert len(site.seen) == 2


def test_a_wrong_checksum_leaves_nothing_that_looks_whole(tmp_path: Path, site: Site) -> None:
    wrong = raw(site, digest=("sha256", "0" * 64))
    failed = get(tmp_path, wrong).failed["toy/a.bin"]
    assert f"the sha256 of what came is {sha256(BODY)}, {'0' * 64} expected" in failed
    assert not (tmp_path / "toy/a.bin").exists()
    assert left_over(tmp_path) == []


def test_a_wrong_size_is_seen_before_anything_is_fetched(tmp_path: Path, site: Site) -> None:
    failed = get(tmp_path, raw(site, size=5)).failed["toy/a.bin"]
    assert failed.endswith("it has 1,024,000 bytes there, 5 expected")
    assert len(site.seen) == 1


def test_the_checksum_that_git_uses(tmp_path: Path) -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    blob = ("git_blob", "ce013625030ba8dba906f756967f9e9ca394464a")
    with serve(files={"a.bin": b"hello\n", "b.bin": b"hallo\n"}) as site:
        good, bad = (RawFile(f"toy/{n}.bin", (site.url(f"{n}.bin"),), digest=blob) for n in "ab")
        outcome = get(tmp_path, good, bad)
    assert outcome.fetched == ["toy/a.bin"]
    assert list(outcome.failed) == ["toy/b.bin"]


def test_a_missing_file_does_not_keep_the_others_back(tmp_path: Path, site: Site) -> None:
    outcome = get(tmp_path, RawFile("toy/no.bin", (site.url("no.bin"),)), raw(site))
    assert outcome.fetched == ["toy/a.bin"]
    assert outcome.failed == {
        "toy/no.bin": f"{site.url('no.bin')}: the server answers 404 Not Found"
    }
    assert [path for path, _ in site.seen].count("no.bin") == 1  # no is no


def test_mirrors_are_tried_in_turn(tmp_path: Path, site: Site) -> None:
    with socket.socket() as nobody:  # a port on which nobody answers
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}/a.bin"
        urls = (site.url("no.bin"), dead, site.url("a.bin"))
        assert get(tmp_path, RawFile("toy/a.bin", urls)).fetched
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY


def test_a_busy_server_is_asked_again(tmp_path: Path, site: Site) -> None:
    site.statuses = [503, 429, 0]
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    site.statuses = [503] * 9
    failed = get(tmp_path / "other", raw(site)).failed["toy/a.bin"]
    assert failed.endswith("the server answers 503 Service Unavailable")
    assert len(site.seen) == 3 + QUICK.attempts


def test_a_server_says_how_long_to_wait(tmp_path: Path, site: Site) -> None:
    site.statuses, site.retry_after = [429], "7"
    waits: list[float] = []
    transfer.Transfer(raw(site), tmp_path / "a.bin", QUICK, waits.append).run()
    assert [seconds for seconds in waits if seconds] == [7.0]


def test_progress_counts_only_bytes_that_are_kept(tmp_path: Path, site: Site) -> None:
    site.break_after, site.corrupt = [300_000], 0
    site.ranges = False
    counts: list[int] = []
    transfer.Transfer(
        raw(site), tmp_path / "a.bin", QUICK, lambda seconds: None, counts.append
    ).run()
    assert sum(counts) == len(BODY)
    assert min(counts) == -300_000


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.address)
    file = RawFile("toy/a.bin", ("http://data.invalid/a.bin",), digest=("sha256", sha256(BODY)))
    assert get(tmp_path, file).fetched == ["toy/a.bin"]
    assert site.seen == [("a.bin", "")]


def test_a_full_disk_stops_the_command_and_keeps_what_came(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, block: Any) -> int:
            if self.tell() + len(block) > 500_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(block)

    def opened(self: Path, mode: str = "r", *args: Any, **keywords: Any) -> Any:
        return Full(self, mode) if mode in ("ab", "wb") else plain(self, mode, *args, **keywords)

    plain = Path.open
    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(UserError, match=r"no space is left on the disk of .*Free some, and run"):
        get(tmp_path, raw(site))
    monkeypatch.undo()
    kept = (tmp_path / "toy/a.bin.part").stat().st_size
    assert 0 < kept <= 500_000
    assert not (tmp_path / "toy/a.bin").exists()
    assert get(tmp_path, raw(site)).fetched == ["toy/a.bin"]
    assert site.seen[-1] == ("a.bin", f"bytes={kept}-")
    assert (tmp_path / "toy/a.bin").read_bytes() == BODY


def test_too_small_a_disk_is_seen_before_anything_is_fetched(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 0, 10))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"need 1,024,000 bytes and .* has 10 free"):
        get(tmp_path, raw(site))
    assert site.seen == []


def test_ctrl_c_ends_the_transfers_and_keeps_what_came(tmp_path: Path, site: Site) -> None:
    site.break_after = [600_000] + [0] * 1000  # after that no byte comes

    def interrupted(done: int, total: int, current: str) -> None:
        if done >= 600_000:
            raise KeyboardInterrupt

    patient = Policy(attempts=10_000, timeout=5.0, backoff=0.05)
    with pytest.raises(KeyboardInterrupt):
        fetch([source(raw(site))], tmp_path, policy=patient, progress=interrupted)
    assert (tmp_path / "toy/a.bin.part").stat().st_size == 600_000
    assert not [t for t in threading.enumerate() if t.name.startswith("fetch")]


def test_one_fetch_at_a_time_in_a_folder(tmp_path: Path, site: Site) -> None:
    with fetching._alone(tmp_path), pytest.raises(UserError, match="another `flan-t5x data fetch`"):
        get(tmp_path, raw(site))
    assert get(tmp_path, raw(site)).fetched


def test_damage_is_found_and_repaired(tmp_path: Path, site: Site) -> None:
    toy = source(raw(site))
    fetch([toy], tmp_path, policy=QUICK)
    assert check_source(toy, tmp_path, deep=True).state == "present"
    path = tmp_path / "toy/a.bin"
    path.write_bytes(BODY[:-1] + b"x")  # as long as before: only the checksum tells
    assert check_source(toy, tmp_path).state == "present"
    (problem,) = check_source(toy, tmp_path, deep=True).problems
    assert problem.state == "damaged"
    assert problem.detail == (f"its sha256 is {sha256(BODY[:-1] + b'x')}, {sha256(BODY)} expected")
    assert fetch([toy], tmp_path, policy=QUICK).fetched == ["toy/a.bin"]
    assert path.read_bytes() == BODY


def test_a_file_of_unknown_checksum_is_checked_against_its_own_fetch(
    tmp_path: Path, site: Site
) -> None:
    toy = source(raw(site, known=False))
    fetch([toy], tmp_path, policy=QUICK)
    assert check_source(toy, tmp_path, deep=True).unchecked == 0
    (tmp_path / "toy/a.bin").write_bytes(BODY[:-1] + b"x")
    assert check_source(toy, tmp_path, deep=True).state == "damaged"
    with (tmp_path / RECORD).open("a") as record:
        record.write('{"path": "toy/a.b')  # a kill in the middle of a line
    assert Record(tmp_path).get("toy/a.bin") == (len(BODY), sha256(BODY))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    cuts=st.lists(st.integers(0, len(BODY)), max_size=6),
    ranges=st.booleans(),
    lengths=st.booleans(),
    corrupt=st.integers(0, 1),
)
def test_whatever_breaks_the_file_is_right_or_absent(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    ranges: bool,
    lengths: bool,
    corrupt: int,
) -> None:
    root = tmp_path_factory.mktemp("any")
    with serve(
        files={"a.bin": BODY},
        break_after=list(cuts),
        ranges=ranges,
        lengths=lengths,
        corrupt=corrupt,
    ) as site:
        outcome = get(root, raw(site))
    target = root / "toy/a.bin"
    assert bool(outcome.fetched) == target.exists()
    assert bool(outcome.fetched) != bool(outcome.failed)
    if target.exists():
        assert target.read_bytes() == BODY


def tar(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/") + ".json")
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_remembered(tmp_path: Path) -> None:
    content = tar(repo__tasks__task1=b"{}", repo__tasks__task2=b"[1]", repo__other__task3=b"no")
    with serve(files={"all.tar.gz": content}) as site:
        toy = source(kind="archive", url=site.url("all.tar.gz"), members="*/tasks/task*.json")
        assert check_source(toy, tmp_path).state == "missing"
        assert fetch([toy], tmp_path, policy=QUICK).prepared == ["toy"]
        assert sorted(p.name for p in (tmp_path / "toy").iterdir()) == ["task1.json", "task2.json"]
        assert check_source(toy, tmp_path, deep=True).have == 2
        assert fetch([toy], tmp_path, policy=QUICK).kept == ["toy"]
        assert len(site.seen) == 1
        (tmp_path / "toy/task2.json").write_bytes(b"[2]")
        assert check_source(toy, tmp_path, deep=True).state == "damaged"
        assert fetch([toy], tmp_path, policy=QUICK).prepared == ["toy"]
        assert (tmp_path / "toy/task2.json").read_bytes() == b"[1]"


def test_a_member_cannot_leave_its_folder(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        info = tarfile.TarInfo("../../task_evil.json")
        info.size = 2
        out.addfile(info, io.BytesIO(b"{}"))
    with serve(files={"all.tar": buffer.getvalue()}) as site:
        toy = source(kind="archive", url=site.url("all.tar"), members="*task*.json")
        fetch([toy], tmp_path / "data", policy=QUICK)
    assert [p.name for p in tmp_path.rglob("task_evil.json")] == ["task_evil.json"]
    assert (tmp_path / "data/toy/task_evil.json").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a tar file", "is not a whole tar file"),
        (tar(repo__task1=b"{}" * 5000)[:60], "is not a whole tar file"),
        (tar(repo__readme=b"{}"), "has no files '*/task*.json'"),
    ],
    ids=["no tar", "cut off", "other files"],  # the bytes hold the time, and differ between workers
)
def test_bad_archives(content: bytes, message: str, tmp_path: Path) -> None:
    with serve(files={"all.tar": content}) as site:
        toy = source(kind="archive", url=site.url("all.tar"), members="*/task*.json")
        outcome = fetch([toy], tmp_path, policy=QUICK)
    assert list(outcome.failed) == ["toy"]
    assert message in outcome.failed["toy"]
    assert not list(tmp_path.glob("*.tar"))


def test_tensorflow_datasets_prepares_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call itself is tried with a real builder in `tests.data.raw.test_prepare`."""
    asked: list[tuple[str, Path]] = []

    def prepared(source: RawSource, root: Path) -> None:
        asked.append((source.builder, root))
        if "bad" in source.builder:
            raise TransferError("no")

    monkeypatch.setattr(fetching, "prepare_tfds", prepared)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    good = source(kind="tfds", name="good", builder="good:1.0.0")
    bad = source(kind="tfds", name="bad", builder="bad:1.0.0")
    manual = source(kind="manual", name="by_hand", pattern="x/*", manual="ask them")
    outcome = fetch([good, bad, manual], tmp_path, policy=QUICK)
    assert asked == [("good:1.0.0", tmp_path), ("bad:1.0.0", tmp_path)]
    assert (outcome.prepared, outcome.failed, outcome.manual) == (
        ["good"],
        {"bad": "no"},
        ["by_hand"],
    )
    assert prepare.prepare_tfds is not prepared
