"""Compiled programs outlive their command, and what a kill left half written does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flan_t5x.cli.compiled_programs import keep_compiled_programs, remove_halves

PROGRAM = """
from flan_t5x.cli import environment
environment.prepare(verbose=False)
import jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8)))
print(sum(name == "/jax/compilation_cache/cache_hits" for name in hits))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAN_T5X_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_a_second_command_finds_the_programs_of_the_first(cache: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if "COMPILATION_CACHE" not in k}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert not done.stderr
        found.append(int(done.stdout))
    assert found[0] == 0
    assert found[1] > 0
    assert list(cache.glob("compiled/*/*-cache"))


def test_a_users_own_settings_stay(cache: Path) -> None:
    environment = {"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}
    keep_compiled_programs(environment)
    assert environment == {"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}
    environment = {"JAX_COMPILATION_CACHE_MAX_SIZE": "7"}
    keep_compiled_programs(environment)
    assert environment["JAX_COMPILATION_CACHE_MAX_SIZE"] == "7"


def test_without_a_folder_to_write_to_nothing_is_set(cache: Path) -> None:
    (cache / "compiled").write_text("a file where the folder would be")
    environment: dict[str, str] = {}
    keep_compiled_programs(environment)
    assert not environment


def test_halves_are_removed_unless_somebody_may_be_writing_them(tmp_path: Path) -> None:
    for name in ("whole", "half", "writing", "torn"):
        (tmp_path / f"{name}-cache").write_bytes(b"program")
    (tmp_path / "whole-atime").write_bytes(b"12345678")
    (tmp_path / "torn-atime").write_bytes(b"")
    hour_ago = time.time() - 3600
    for name in ("whole", "half", "torn"):
        os.utime(tmp_path / f"{name}-cache", (hour_ago, hour_ago))
    remove_halves(tmp_path)
    assert {p.name for p in tmp_path.glob("*-cache")} == {"whole-cache", "writing-cache"}
