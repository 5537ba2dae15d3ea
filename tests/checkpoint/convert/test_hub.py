"""``hf://``: huggingface_hub against a server on this machine, then from its cache alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.checkpoint.base import save_base
from flan_t5x.checkpoint.convert.hub import download
from flan_t5x.errors import UserError

from .made import TINY, read, require_equal, stacked, to, values

COMMIT = "a" * 40


@dataclass
class Hub:
    """What the server has and what it was asked for."""

    folder: Path
    asked: list[str] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    """The few addresses of the Hub that a download uses."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        files = {p.name: p.read_bytes() for p in self.hub.folder.iterdir()}
        if path.startswith("/api/models/toys/t5/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                for n, d in files.items()
            ]
            self.reply(json.dumps(tree).encode(), body=body)
        elif path in (f"/api/models/toys/t5/revision/{r}" for r in ("main", "v1", COMMIT)):
            siblings = [{"rfilename": name} for name in files]
            info = {"id": "toys/t5", "sha": COMMIT, "siblings": siblings}
            self.reply(json.dumps(info).encode(), body=body)
        elif path.startswith(f"/toys/t5/resolve/{COMMIT}/"):
            name = path.rsplit("/", 1)[1]
            self.hub.asked.append(f"{self.command} {name}")
            self.reply(files[name], body=body, etag=hashlib.sha1(files[name]).hexdigest())
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def reply(self, data: bytes, *, body: bool, etag: str = "x") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (extra 'hub')")
    save_base(tmp_path / "base.npz", stacked(values(TINY), TINY), {})
    served = Hub(to(tmp_path / "base.npz", tmp_path / "served", "hf"))
    (served.folder / "flax_model.msgpack").write_bytes(b"not wanted")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": served}))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def convert(url: str, target: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    kept = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, "-m", "flan_t5x.cli.main", "convert", url, str(target)],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )


def test_a_model_is_fetched_once_and_converted(hub: Hub, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = convert("hf://toys/t5@v1", tmp_path / "ours", HF_ENDPOINT=hub.url, HF_HOME=home)
    assert done.returncode == 0, done.stderr
    require_equal(read(tmp_path / "ours"), values(TINY))
    fetched = {line.split()[1] for line in hub.asked if line.startswith("GET")}
    assert {"config.json", "model.safetensors"} <= fetched
    assert not fetched & {"flax_model.msgpack", "README.md"}
    offline = convert("hf://toys/t5@v1", tmp_path / "offline", HF_HUB_OFFLINE="1", HF_HOME=home)
    assert offline.returncode == 0, offline.stderr
    require_equal(read(tmp_path / "offline"), values(TINY))


def test_a_model_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = convert("hf://toys/none", tmp_path / "ours", HF_ENDPOINT=hub.url, HF_HOME=home)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "flan-t5x: error: hf://toys/none cannot be fetched: " in done.stderr
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("url", ["hf://t5", "hf://a/b/c", "hf:///t5", "hf://a/"])
def test_names_that_cannot_be(url: str) -> None:
    with pytest.raises(UserError, match="write hf://organisation/model"):
        download(url)


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'flan-t5x\[hub\]'"):
        download("hf://toys/t5")
