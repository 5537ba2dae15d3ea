"""What must be set before the first heavy import, so that users see our lines only."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flan_t5x.cli.compiled_programs import keep_compiled_programs

# Read by the C++ sides of TensorFlow, gRPC and jax when they load; a user's own value stays.
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "GRPC_VERBOSITY": "NONE",
}
# TensorFlow writes these to the stderr file descriptor before any of its settings apply.
_TENSORFLOW_NOISE = re.compile(
    rb"^(?:WARNING: All log messages before absl::InitializeLog\(\)|[IW]\d{4} \d\d:\d\d:\d\d).*\n",
    re.MULTILINE,
)
_ACCELERATORS = ("accel[0-9]*", "vfio/[0-9]*", "nvidia[0-9]*", "kfd", "dxg")


def prepare(*, verbose: bool) -> None:
    """Quiets third-party start-up noise, picks jax's platform and the folder of its compiled
    programs; imports nothing heavy.

    With ``verbose`` the noise stays, as someone looking for a cause wants to see it.
    """
    if "JAX_PLATFORMS" not in os.environ and not accelerator_visible():
        os.environ["JAX_PLATFORMS"] = "cpu"
    if "jax" not in sys.modules:  # it reads its variables once
        keep_compiled_programs(os.environ)
    if verbose:
        _loud()
        return
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore", DeprecationWarning)
    if not any(isinstance(finder, _QuietTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietTensorFlow())


def _loud() -> None:
    import absl.logging

    logging.basicConfig(level=logging.INFO)
    absl.logging.set_verbosity(absl.logging.INFO)


def accelerator_visible(devices: Path = Path("/dev")) -> bool:
    """Whether this machine may have a TPU or GPU, by its device files.

    Without one, jax would still probe for a TPU where ``libtpu`` is installed, with warnings
    and a delay. Where it cannot be told (not Linux), jax is left to decide.
    """
    if not sys.platform.startswith("linux"):
        return True
    return any(next(devices.glob(pattern), None) is not None for pattern in _ACCELERATORS)


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Finds TensorFlow like everybody else, and loads it without its start-up lines."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)  # once: the search below is the usual one
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        with _without_noise():
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and then passes on all but the noise."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, _TENSORFLOW_NOISE.sub(b"", held.read()))
