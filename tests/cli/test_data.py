"""`flan-t5x data`: what is there, fetching and verifying, as a user meets it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.cli.main import main
from tests.data.raw.site import Site, serve

BODY = b"one\ttwo\tthree\n" * 99

MANIFEST = """\
[[source]]
name = "toy"
about = "a toy"
use = "train"
licence = "CC0-1.0"
home = "https://example.org/toy"
kind = "files"
folder = "toy"
url = "{address}/{{file}}"
files = [
  {{ file = "a.tsv", size = {size}, sha256 = "{digest}" }},
  {{ file = "b.tsv" }},
]

[[source]]
name = "asked_for"
about = "a toy that one must ask for"
use = "evaluation"
licence = "by request"
home = "https://example.org/asked"
kind = "manual"
pattern = "asked/*.csv"
manual = "Write to them."
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLAN_T5X_DATA_DIR", str(tmp_path / "data"))
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve(files={"a.tsv": BODY, "b.tsv": b"b"}) as running:
        digest = hashlib.sha256(BODY).hexdigest()
        text = MANIFEST.format(address=running.address, size=len(BODY), digest=digest)
        (tmp_path / "own.toml").write_text(text)
        yield running


def run(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> tuple[str, str]:
    assert main(["data", *line, "--manifest=own.toml"]) == code
    out, err = capsys.readouterr()
    assert err.count("\n") == (code != 0)
    return out, err


def states(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> dict[str, str]:
    out, _ = run(capsys, *line, "--json", code=code)
    return {row["name"]: row["state"] for row in json.loads(out)["sources"]}


def test_list_fetch_verify(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert states(capsys, "list", "--only=toy", "--only=asked*") == {
        "toy": "missing",
        "asked_for": "missing",
    }
    out, _ = run(capsys, "fetch", "--only=toy", "--only=asked_for")
    assert out == (
        "2 files fetched, 0 sources prepared, 0 were there already\n"
        "  only by hand: asked_for (flan-t5x data list --only=asked_for)\n"
    )
    assert (tmp_path / "data/toy/a.tsv").read_bytes() == BODY
    (tmp_path / "data/asked").mkdir()
    (tmp_path / "data/asked/x.csv").write_text("x")
    out, _ = run(capsys, "verify", "--only=toy", "--only=asked_for")
    assert out == (
        "toy: present, 2 of 2 files\nasked_for: present, 1 files, 1 have no known checksum\n"
    )
    (tmp_path / "data/toy/a.tsv").write_bytes(BODY[::-1])
    assert states(capsys, "list", "--only=toy") == {"toy": "present"}  # by its size
    out, err = run(capsys, "verify", "--only=toy", code=2)
    assert out.startswith("toy: damaged, 1 of 2 files\n  damaged: toy/a.tsv (its sha256 is ")
    assert "`flan-t5x data fetch --only=toy` replaces what is damaged" in err
    out, _ = run(capsys, "fetch", "--only=toy", "--json")
    assert json.loads(out) == {
        "fetched": ["toy/a.tsv"],
        "kept": ["toy/b.tsv"],
        "prepared": [],
        "failed": {},
        "manual": [],
    }


def test_the_keys_of_json_are_documented_here(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, _ = run(capsys, "list", "--only=toy", "--json")
    assert json.loads(out) == {
        "data_dir": str(tmp_path / "data"),
        "sources": [
            {
                "name": "toy",
                "about": "a toy",
                "use": "train",
                "licence": "CC0-1.0",
                "home": "https://example.org/toy",
                "kind": "files",
                "where": "toy",
                "size": None,
                "state": "missing",
                "have": 0,
                "want": 2,
                "unchecked": 0,
                "problems": [],
                "how_to_get": "flan-t5x data fetch --only=toy",
            }
        ],
    }


def test_the_list_for_a_person(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "list")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "missing (by hand)" in lines["asked_for"]
    assert {"mmlu", "niv2", "p3", "flan_cot", "tfds_glue_mrpc"} <= set(lines)
    assert "tfds_newsroom" in lines
    assert "missing (by hand)" in lines["tfds_newsroom"]
    out, _ = run(capsys, "list", "--only=asked_for")
    assert "licence:   by request\n" in out
    assert "get it by: Write to them. Put the files where 'asked/*.csv' finds them.\n" in out


def test_without_a_data_folder_all_is_missing(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLAN_T5X_DATA_DIR")
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert set(states(capsys, "list").values()) == {"missing"}
    assert "no folder (FLAN_T5X_DATA_DIR is not set)" in run(capsys, "list")[0]
    _, err = run(capsys, "fetch", "--only=toy", code=2)
    assert "Set the environment variable FLAN_T5X_DATA_DIR" in err


def test_what_failed_is_told_and_the_rest_is_there(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del site.files["b.tsv"]
    out, err = run(capsys, "fetch", "--only=toy", code=2)
    assert out.startswith("1 files fetched")
    assert f"failed: toy/b.tsv: {site.url('b.tsv')}: the server answers 404 Not Found\n" in out
    assert "1 could not be fetched, the first: toy/b.tsv" in err
    assert (tmp_path / "data/toy/a.tsv").is_file()
    assert states(capsys, "list", "--only=toy") == {"toy": "partial"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["fetch"], "say what to fetch: --only=NAME"),
        (["fetch", "--all", "--only=toy"], "say what to fetch: --only=NAME"),
        (["fetch", "--only=tyo"], "no raw source named 'tyo': did you mean 'toy'?"),
        (["fetch", "--only=toy", "--workers=0"], "workers = 0: a whole number >= 1 is needed"),
        (["list", "--manifest=no.toml"], "cannot read the manifest 'no.toml'"),
    ],
)
def test_mistakes(
    line: list[str], expected: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in run(capsys, *line, code=2)[1]
