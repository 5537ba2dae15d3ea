"""Which kind of checkpoint lies at a path.

Looked for in this order:
1. ``hf://org/name`` (with ``@revision``): fetched by huggingface_hub, then as a local folder;
2. another URL (``gs://...``): T5X, legacy or Orbax;
3. a file: ``.npz`` is a base of this project; ``.safetensors`` or ``.bin`` stands for its folder;
   so does a name in `base.SHIPPED`, without a file of that name;
4. a folder with ``config.json`` and weights: Hugging Face, safetensors before PyTorch;
5. a folder with ``adapter_config.json``: LoRA adapters of PEFT;
6. a folder with ``checkpoint``: T5X, legacy;
7. a folder with ``_METADATA``, or ``state/_METADATA``: Orbax, ours where our manifest is in it;
8. a folder with one folder ``checkpoint_<step>``: that one;
9. a run or a folder of steps of this project.
"""

from __future__ import annotations

from pathlib import Path

from flan_t5x.checkpoint.base import SHIPPED, shipped_file
from flan_t5x.checkpoint.completeness import MANIFEST
from flan_t5x.checkpoint.convert import read_hf, read_ours, read_peft, read_t5x
from flan_t5x.checkpoint.convert.hub import HUB, download
from flan_t5x.checkpoint.convert.source import KINDS, Kind, Source
from flan_t5x.checkpoint.convert.stores import read_file, store_spec
from flan_t5x.errors import UserError, nearest

READERS = {
    "flan_t5x": read_ours.read_step,
    "base": read_ours.read_base,
    "t5x": read_t5x.read_legacy,
    "t5x_orbax": read_t5x.read_orbax,
    "safetensors": read_hf.read_safetensors,
    "pytorch": read_hf.read_pytorch,
    "peft": read_peft.read_peft,
}
_TF_MAGIC = b"model_checkpoint_path"
_OTHER_WEIGHTS = {
    "tf_model.h5": "TensorFlow weights",
    "flax_model.msgpack": "transformers' Flax weights",
    "model.ckpt.index": "a TensorFlow checkpoint",
}


def open_source(path: str, kind: Kind | None = None) -> Source:
    """Opens a checkpoint of any kind; nothing but names and shapes is read.

    Args:
        path: local path, ``hf://org/name`` or ``gs://bucket/path``.
        kind: forces how it is read; None finds out.

    Raises:
        UserError: nothing known is there, or it is damaged.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(
            f"there is no kind of checkpoint {kind!r}: "
            f"{nearest(kind, KINDS) or 'the kinds are ' + ', '.join(KINDS)}"
        )
    if path.startswith(HUB):
        path = str(download(path))
    if path in SHIPPED:
        path = str(shipped_file(path))
    try:
        found = kind or sniff(path)
        return READERS[found](_one_step(path) if found.startswith("t5x") else path)
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def is_foreign(path: str) -> bool:
    """Whether a path is a URL, or a folder or file in which another system's checkpoint lies.

    False for all else: this project's own reader then says what is wrong with it.
    """
    if "://" in path:
        return True
    target = Path(path).expanduser()
    try:
        if target.is_dir():
            return _sniff_folder(target) not in (None, "flan_t5x")
        return target.is_file() and _sniff_file(target) != "base"
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def sniff(path: str) -> Kind:
    """The kind of a checkpoint.

    Raises:
        UserError: none that is known, with what was found instead.
    """
    if "://" in path:
        return _sniff_url(path)
    target = Path(path).expanduser()
    if not target.exists():
        raise UserError(f"no checkpoint at {path}; check the path")
    if target.is_file():
        return _sniff_file(target)
    list(target.iterdir())  # raises where the folder may not be read
    kind = _sniff_folder(target)
    if kind is None:
        raise UserError(_nothing_known(target))
    return kind


def _sniff_url(path: str) -> Kind:
    base = store_spec(path)
    if read_file(base, "checkpoint", source=path) is not None:
        return "t5x"
    for name in ("_METADATA", "state/_METADATA"):
        if read_file(base, name, source=path) is not None:
            return "t5x_orbax"
    raise UserError(
        f"{path} is no T5X checkpoint (neither 'checkpoint' nor '_METADATA' is there); over "
        "the network only T5X checkpoints are read, copy others to a local folder"
    )


def _sniff_file(target: Path) -> Kind:
    by_suffix: dict[str, Kind] = {
        ".npz": "base",
        ".safetensors": "safetensors",
        ".bin": "pytorch",
    }
    kind = by_suffix.get(target.suffix)
    if kind is None:
        raise UserError(
            f"{target} is a file of no known kind; give the checkpoint's folder, or a .npz base"
        )
    return kind


def _sniff_folder(target: Path) -> Kind | None:
    def has(name: str) -> bool:
        return (target / name).is_file()

    if has(read_hf.SAFETENSORS) or has(f"{read_hf.SAFETENSORS}.index.json"):
        return "safetensors"
    if has(read_hf.PYTORCH) or has(f"{read_hf.PYTORCH}.index.json"):
        return "pytorch"
    if has(read_peft.CONFIG):
        return "peft"
    if has("checkpoint"):
        with (target / "checkpoint").open("rb") as file:
            if file.read(len(_TF_MAGIC)) == _TF_MAGIC:
                raise UserError(
                    f"{target} is a TensorFlow (Mesh TensorFlow) checkpoint; take the T5X or "
                    "Hugging Face version of the model"
                )
        return "t5x"
    if has(str(MANIFEST)):
        return "flan_t5x"
    if has("_METADATA") or has("state/_METADATA"):
        return "t5x_orbax"
    if _t5x_steps(target):
        return sniff(_one_step(str(target)))
    steps = target / "checkpoints" if (target / "checkpoints").is_dir() else target
    if any(p.name.isdecimal() and p.is_dir() for p in steps.iterdir()):
        return "flan_t5x"
    return None


def _t5x_steps(folder: Path) -> list[Path]:
    return sorted(
        (p for p in folder.glob("checkpoint_*") if p.name[11:].isdecimal() and p.is_dir()),
        key=lambda p: int(p.name[11:]),
    )


def _one_step(path: str) -> str:
    """A T5X model_dir's only checkpoint, or the path itself."""
    folder = Path(path).expanduser()
    if "://" in path or not folder.is_dir() or (folder / "checkpoint").is_file():
        return path
    steps = _t5x_steps(folder)
    if len(steps) > 1:
        names = ", ".join(step.name for step in steps)
        raise UserError(f"{path} holds several checkpoints ({names}); name the one you want")
    return str(steps[0]) if steps else path


def _nothing_known(target: Path) -> str:
    for name, what in _OTHER_WEIGHTS.items():
        if (target / name).is_file():
            return f"{target} holds {what} ({name}); take the model's safetensors or T5X files"
    names = sorted(p.name for p in target.iterdir())[:5]
    return (
        f"{target} is no checkpoint of a known kind (Orbax of flan_t5x, T5X, Hugging Face); it "
        f"holds {', '.join(names) or 'nothing'}"
    )
