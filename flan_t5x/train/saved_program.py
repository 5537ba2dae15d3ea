"""A compiled training step in a file: compiled where the accelerator is not, loaded where it is.

`flan-t5x plan --save_program=FILE` compiles a recipe's step for a TPU slice and keeps it;
`train.compiled_program = FILE` takes it instead of compiling. A file is one line of JSON, then what
jax makes of the program. Loading can run code, as jax says of its format: take your own files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from flan_t5x.errors import UserError

_FORMAT = "flan_t5x compiled step 1"
_LONGEST_HEADER = 4096

Say = Callable[[str], None]


def save_program(path: Path, lowered: jax.stages.Lowered, compiled: jax.stages.Compiled) -> int:
    """Writes a compiled step; returns the bytes.

    Raises:
        UserError: the file cannot be written, or this compiler's programs cannot be kept.
    """
    from jax.experimental import serialize_executable

    try:
        program, _, _ = serialize_executable.serialize(compiled)
    except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
        raise UserError(f"{path}: this program cannot be kept: {error}") from error
    header = {"format": _FORMAT, "fingerprint": fingerprint(lowered), "jax": jax.__version__}
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(json.dumps(header).encode() + b"\n")
            file.write(program)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path.stat().st_size


def require_program(path: str) -> None:
    """Raises UserError where there is no file of `save_program`."""
    _header(Path(path).expanduser())


def load_program(
    path: str, lowered: jax.stages.Lowered, *, devices: Sequence[jax.Device], say: Say
) -> jax.stages.Compiled | None:
    """The program of a file, ready to run; None where it is not this one, which is said.

    Args:
        path: written by `save_program`.
        lowered: the step that is wanted.
        devices: that it runs on.
        say: takes a line for the user.

    Raises:
        UserError: no such file, or another kind of file.
    """
    from jax.experimental import serialize_executable

    place = Path(path).expanduser()
    header, program = _header(place), place.read_bytes().partition(b"\n")[2]
    if header.get("fingerprint") != fingerprint(lowered):
        made = f"of jax {header.get('jax')}, this is {jax.__version__}"
        say(f"{place} holds another program ({made}, or the recipe or mesh differs): compiling")
        return None
    try:
        return serialize_executable.deserialize_and_load(
            program,
            lowered.in_tree,
            lowered.out_tree,
            backend=devices[0].client,
            execution_devices=devices,
        )
    except Exception as error:  # jax and the runtime have kinds of their own
        line = (str(error) or type(error).__name__).splitlines()[0]
        say(f"{place} is not taken by this runtime ({line}): compiling")
        return None


def fingerprint(lowered: jax.stages.Lowered) -> str:
    """Of the program before compilation and the version that compiles it."""
    text = f"jax {jax.__version__}\n{lowered.as_text()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(_LONGEST_HEADER))
    except OSError as error:
        raise UserError(f"compiled_program {path}: {error.strerror or error}") from error
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise UserError(
            f"compiled_program {path} is no file of `flan-t5x plan --save_program`; make it anew, "
            "or leave compiled_program out"
        )
    return header
