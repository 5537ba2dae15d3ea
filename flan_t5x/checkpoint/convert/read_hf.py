"""Reads Hugging Face folders: ``config.json`` beside safetensors or PyTorch weights.

PyTorch files are pickles; they are opened with weights-only loading, which builds tensors and
runs nothing, and refused where they hold anything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from flan_t5x.checkpoint.convert.source import Kind, Leaf, Source, spiece_fingerprint
from flan_t5x.errors import UserError

CONFIG = "config.json"
SAFETENSORS = "model.safetensors"
PYTORCH = "pytorch_model.bin"
SPIECE = "spiece.model"

_SAME_ARCHITECTURE = ("t5", "mt5")
_REFUSED = {
    "umt5": "every layer of it has its own relative position bias, T5's layers share one",
    "switch_transformers": "its layers have experts",
    "longt5": "its attention is local",
}
_FIELDS = {
    "vocab_size": "vocab_size",
    "d_model": "emb_dim",
    "num_heads": "num_heads",
    "d_kv": "head_dim",
    "d_ff": "mlp_dim",
    "num_layers": "num_encoder_layers",
    "num_decoder_layers": "num_decoder_layers",
    "relative_attention_num_buckets": "relpos_num_buckets",
    "relative_attention_max_distance": "relpos_max_distance",
    "layer_norm_epsilon": "layer_norm_epsilon",
    "dropout_rate": "dropout_rate",
}
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "relu": ("relu",),
    "gelu_new": ("gelu",),
    "silu": ("silu",),
    "gated-gelu": ("gelu", "linear"),  # transformers takes the tanh approximation for this one
    "gated-gelu_new": ("gelu", "linear"),
    "gated-relu": ("relu", "linear"),
    "gated-silu": ("silu", "linear"),
}
"""transformers' ``feed_forward_proj`` -> `T5Config.mlp_activations`."""

# T5 1.0 was published with a table that its decoder does not use.
_UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_EMBEDDING, _HEAD = "shared.weight", "lm_head.weight"


def read_safetensors(path: str) -> Source:
    """Opens a folder with ``model.safetensors`` or its shards.

    Raises:
        UserError: a file is missing or damaged, or the model is not a T5.
    """
    folder = _folder(path)
    return _source("safetensors", folder, _shards(folder, SAFETENSORS), safetensors_leaves)


def read_pytorch(path: str) -> Source:
    """Opens a folder with ``pytorch_model.bin`` or its shards, weights only.

    Raises:
        UserError: as `read_safetensors`; also where PyTorch is not installed, or a file holds
            more than tensors.
    """
    folder = _folder(path)
    return _source("pytorch", folder, _shards(folder, PYTORCH), _pytorch_leaves)


def _folder(path: str) -> Path:
    found = Path(path).expanduser().absolute()
    return found if found.is_dir() else found.parent


def _shards(folder: Path, name: str) -> list[Path]:
    """The weight files of a folder.

    Raises:
        UserError: one is missing, or the index is damaged.
    """
    index = folder / f"{name}.index.json"
    if not index.is_file():
        if not (folder / name).is_file():
            raise UserError(f"{folder} has neither {name} nor {index.name}; check the path")
        return [folder / name]
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{index} is damaged ({error!r}); copy it again") from error
    missing = [shard for shard in names if not (folder / shard).is_file()]
    if missing:
        raise UserError(
            f"{folder}: of {len(names)} shards {len(missing)} are missing: {', '.join(missing)}; "
            "copy them beside the index"
        )
    return [folder / shard for shard in names]


def _source(
    kind: Kind, folder: Path, shards: list[Path], read: Callable[[Path], dict[str, Leaf]]
) -> Source:
    config = _config(folder)
    leaves: dict[str, Leaf] = {}
    for shard in shards:
        leaves |= read(shard)
    notes = _settle_copies(leaves, str(folder))
    declared = _declared(config, folder / CONFIG)
    scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings") is not False)
    declared["logits_via_embedding"] = _settle_head(leaves, bool(scaled), folder, notes)
    spiece = folder / SPIECE
    known = spiece.is_file() and config["model_type"] == "t5"  # mT5's has its sentinels inside
    return Source(
        kind=kind,
        path=str(folder),
        layout="hf",
        leaves=leaves,
        declared=declared,
        spiece=spiece if known else None,
        vocabulary=spiece_fingerprint(spiece) if known else None,
        notes=tuple(notes),
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
        model_type = config["model_type"]
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no {CONFIG}: the weights alone do not tell it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or no model's ({error!r}); copy it again") from error
    if model_type not in _SAME_ARCHITECTURE:
        why = _REFUSED.get(model_type, "its architecture is another one")
        raise UserError(
            f"{path}: model_type {model_type!r} is not supported: {why}. T5 1.0, T5 1.1, Flan-T5 "
            "and mT5 are"
        )
    return dict(config)


def _declared(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    declared = {
        ours: config[theirs] for theirs, ours in _FIELDS.items() if config.get(theirs) is not None
    }
    declared.setdefault("num_decoder_layers", declared.get("num_encoder_layers"))
    projection = config.get("feed_forward_proj", "relu")
    if projection not in ACTIVATIONS:
        raise UserError(
            f"{path}: feed_forward_proj {projection!r} is not supported; it may be one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    declared["mlp_activations"] = ACTIVATIONS[projection]
    return {name: value for name, value in declared.items() if value is not None}


def _settle_copies(leaves: dict[str, Leaf], path: str) -> list[str]:
    """Takes out of `leaves` what is stored twice or not used; returns what to say about it."""
    for name in _COPIES:
        copy = leaves.pop(name, None)
        if copy is None:
            continue
        if _EMBEDDING not in leaves:
            leaves[_EMBEDDING] = Leaf(_EMBEDDING, copy.shape, copy.dtype, copy.load)
        elif not np.array_equal(copy.load(), leaves[_EMBEDDING].load()):
            raise UserError(
                f"{path}: {name} differs from {_EMBEDDING}; T5 shares one embedding, a model "
                "with two cannot be converted"
            )
    if leaves.pop(_UNUSED, None) is not None:
        return [f"{_UNUSED} is left out: T5 does not use it"]
    return []


def _settle_head(leaves: dict[str, Leaf], scaled: bool, folder: Path, notes: list[str]) -> bool:
    """Whether the head is T5 1.0's (the embedding, its input scaled); settles odd cases.

    transformers 5 sets tie_word_embeddings to true in every T5 that it saves; whether there is
    a head of its own is seen by its weights, and the scaling by scale_decoder_outputs.
    """
    head, embedding = leaves.get(_HEAD), leaves.get(_EMBEDDING)
    if head is None and embedding is not None and not scaled:
        leaves[_HEAD] = Leaf(_HEAD, embedding.shape, embedding.dtype, embedding.load)
        notes.append(f"{_HEAD} is a copy of {_EMBEDDING}: the head is tied, but not scaled")
        return False
    if head is None or not scaled:
        return head is None
    if embedding is not None and np.array_equal(head.load(), embedding.load()):
        del leaves[_HEAD]
        return True
    raise UserError(
        f"{folder}: {CONFIG} says that the head is tied (tie_word_embeddings), but {_HEAD} differs "
        f"from {_EMBEDDING}; set tie_word_embeddings to false if this is a T5 1.1 or Flan-T5"
    )


def safetensors_leaves(path: Path) -> dict[str, Leaf]:
    """The tensors of one file, not read yet.

    Raises:
        UserError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):  # checks the header against the file's size
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or not safetensors ({error}); copy it again") from error
    header.pop("__metadata__", None)
    return {name: _stored(path, name, 8 + length, entry) for name, entry in header.items()}


def _stored(path: Path, name: str, data: int, entry: Mapping[str, Any]) -> Leaf:
    """A tensor of a safetensors file whose arrays start at byte `data`.

    It is read, not memory-mapped: mapped pages stay in a process's resident memory, until all
    of a model is there.
    """
    code, shape = str(entry["dtype"]), tuple(entry["shape"])
    dtypes = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
    dtype = dtypes.get(code, code.lower())
    begin, end = entry["data_offsets"]

    def load() -> np.ndarray:
        values = np.fromfile(path, np.uint8, count=end - begin, offset=data + begin)
        if len(values) < end - begin:
            raise UserError(f"{path} became shorter while it was read; {name} is not whole")
        known = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
        return values.view(known).reshape(shape)

    return Leaf(name, shape, dtype, load)


def _pytorch_leaves(path: Path) -> dict[str, Leaf]:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path} is a PyTorch file and PyTorch is not installed; `pip install torch`, or take "
            "the checkpoint's safetensors"
        ) from error
    tensors: Any
    try:
        try:  # memory-mapped where the file's format allows it (PyTorch 1.6 and later)
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and zip errors of many kinds
        text = str(error).splitlines()[0] if str(error) else repr(error)
        raise UserError(
            f"{path} is damaged or holds more than weights ({text[:200]}); it was not run. Take "
            "the checkpoint's safetensors"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(t, torch.Tensor) for t in tensors.values()
    ):
        raise UserError(f"{path} is not a dictionary of tensors; take pytorch_model.bin itself")

    def leaf(name: str) -> Leaf:
        tensor = tensors[name]
        dtype = str(tensor.dtype).removeprefix("torch.")
        return Leaf(name, tuple(tensor.shape), dtype, lambda: _numpy(tensor))

    return {name: leaf(name) for name in tensors}


def _numpy(tensor: Any) -> np.ndarray:
    import torch

    if tensor.dtype == torch.bfloat16:  # NumPy has no such dtype: take the bits
        bits = tensor.contiguous().view(torch.uint16).numpy()
        return np.asarray(bits.view(np.dtype(ml_dtypes.bfloat16)))
    return np.asarray(tensor.numpy())
