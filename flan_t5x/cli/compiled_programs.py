"""Where compiled programs are kept between commands, so that a second start does not compile.

jax looks programs up by what they compute, its version and its flags. It does not tell apart
the processors of machines that share a home folder, so each kind of processor has its own folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import MutableMapping
from pathlib import Path

from flan_t5x.files import default_cache_dir

MAX_BYTES = 4 * 2**30
"""Least recently used programs beyond this go."""
MIN_COMPILE_SECONDS = 0.2
"""What compiles faster than this is not worth a file."""
_WRITING_SECONDS = 600.0
_PROGRAM, _LAST_USE = "-cache", "-atime"  # jax's names: the second is written after the first


def keep_compiled_programs(environment: MutableMapping[str, str]) -> None:
    """Sets jax's variables, unless the user has set or switched off the cache (JAX_COMPILATION_
    CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE). Must run before jax is imported.

    A folder that cannot be written means no cache: programs are then compiled, as ever.
    """
    if "JAX_COMPILATION_CACHE_DIR" in environment:
        return
    folder = Path(default_cache_dir(), "compiled", _processor())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_halves(folder)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    environment["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    environment.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(MAX_BYTES))
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(MIN_COMPILE_SECONDS))


def remove_halves(folder: Path) -> None:
    """Removes what a killed process or a full disk left half written.

    jax writes a program, then the time of its last use, neither of them at once; it would never
    replace a half, nor get over a missing time when it makes room. Raises OSError.
    """
    long_ago = time.time() - _WRITING_SECONDS
    for path in folder.glob(f"*{_PROGRAM}"):
        last_use = path.with_name(path.name.removesuffix(_PROGRAM) + _LAST_USE)
        whole = last_use.is_file() and last_use.stat().st_size
        if not whole and path.stat().st_mtime < long_ago:
            path.unlink(missing_ok=True)


def _processor() -> str:
    """A name for this kind of processor: its architecture and a digest of what it can do."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = platform.processor()
    first = text.split("\n\n")[0].splitlines()
    kind = [line for line in first if line.startswith(("model name", "flags", "Features"))]
    digest = hashlib.sha256("\n".join(kind).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
