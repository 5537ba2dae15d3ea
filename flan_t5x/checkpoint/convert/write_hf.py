"""Writes a Hugging Face folder: configuration, safetensors with index, tokenizer, model card.

The safetensors package writes a file from arrays that are all in memory. The format is a
length, a JSON header and the arrays' bytes, so here the header is written first and every
array goes to its place as it comes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flan_t5x.checkpoint.convert.card import model_card
from flan_t5x.checkpoint.convert.plan import Plan, stream
from flan_t5x.checkpoint.convert.read_hf import ACTIVATIONS, CONFIG, SAFETENSORS, SPIECE
from flan_t5x.checkpoint.convert.source import EXTRA_IDS
from flan_t5x.checkpoint.convert.target import Dtype, cast, goal, target_dtype
from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config

SHARD_BYTES = 5 * 10**9
_CODES = {"float32": "F32", "bfloat16": "BF16"}


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """On disk."""
        return int(np.prod(self.shape, dtype=np.int64)) * (2 if self.dtype == "bfloat16" else 4)


def write_hf(
    folder: Path,
    plan: Plan,
    *,
    dtype: Dtype | None,
    spiece: Path | None,
    name: str,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a folder that transformers loads without code of ours.

    Args:
        folder: an empty folder.
        plan: what to write.
        dtype: of the weights; None keeps the source's.
        spiece: SentencePiece model for the tokenizer files; None leaves them out.
        name: what the model card calls the model.
        shard_bytes: most bytes of arrays in one file.

    Raises:
        UserError: an activation that transformers has no name for, a full disk, or a damaged
            source.
    """
    stored = {target_dtype(part, dtype) for part in plan.parts}
    config = hf_config(plan.config, dtype="float32" if "float32" in stored else "bfloat16")
    _write_json(folder / CONFIG, config)
    _write_json(folder / "generation_config.json", _generation_config())
    _write_weights(folder, plan, dtype, shard_bytes)
    if spiece is not None:
        shutil.copyfile(spiece, folder / SPIECE)
        _write_tokenizer(folder)
    (folder / "README.md").write_text(model_card(plan, name=name), encoding="utf-8")


def hf_config(config: T5Config, *, dtype: str) -> dict[str, Any]:
    """transformers' T5Config for ours.

    tie_word_embeddings also says whether the decoder's output is scaled before the head; a
    head of its own is found in the weights.

    Raises:
        UserError: activations that transformers has no name for.
    """
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    projection = names.get(config.mlp_activations)
    if projection is None:
        raise UserError(
            f"T5Config.mlp_activations = {config.mlp_activations!r} has no name in transformers; "
            f"it knows {', '.join(map(str, names))}"
        )
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": config.vocab_size,
        "d_model": config.emb_dim,
        "d_kv": config.head_dim,
        "d_ff": config.mlp_dim,
        "num_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "num_heads": config.num_heads,
        "relative_attention_num_buckets": config.relpos_num_buckets,
        "relative_attention_max_distance": config.relpos_max_distance,
        "dropout_rate": config.dropout_rate,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "initializer_factor": 1.0,
        "feed_forward_proj": projection,
        "is_encoder_decoder": True,
        "use_cache": True,
        "tie_word_embeddings": config.logits_via_embedding,
        "torch_dtype": dtype,
        **_generation_config(),
    }


def _generation_config() -> dict[str, int]:
    return {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}


def _write_weights(folder: Path, plan: Plan, dtype: Dtype | None, shard_bytes: int) -> None:
    tensors = []
    for part in plan.parts:
        to = goal(part, plan, "hf")
        tensors.append(_Tensor(to.name, to.shape, target_dtype(part, dtype)))
    shards = _shards(sorted(tensors, key=lambda t: t.name), shard_bytes)
    names = [SAFETENSORS]
    if len(shards) > 1:
        stem = SAFETENSORS.removesuffix(".safetensors")
        count = len(shards)
        names = [f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
        index = {
            "metadata": {"total_size": sum(t.bytes for t in tensors)},
            "weight_map": {t.name: n for n, s in zip(names, shards, strict=True) for t in s},
        }
        _write_json(folder / f"{SAFETENSORS}.index.json", index)
    places: dict[str, tuple[BinaryIO, int]] = {}
    files: list[BinaryIO] = [(folder / name).open("wb") for name in names]
    try:
        for file, shard in zip(files, shards, strict=True):
            places |= {name: (file, at) for name, at in _write_header(file, shard).items()}
        for part, values in stream(plan.parts):
            to = goal(part, plan, "hf")
            values = cast(values, target_dtype(part, dtype))
            file, at = places[to.name]
            file.seek(at)
            array = np.ascontiguousarray(values.T if part.row.hf_transposed else values)
            file.write(array.reshape(-1).view(np.uint8).data)
    finally:
        for file in files:
            file.close()


def _shards(tensors: list[_Tensor], shard_bytes: int) -> list[list[_Tensor]]:
    shards: list[list[_Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        if shards[-1] and size + tensor.bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.bytes
    return shards


def _write_header(file: BinaryIO, tensors: list[_Tensor]) -> dict[str, int]:
    """Writes a safetensors header; returns where each array starts in the file."""
    # "pt" tells transformers that the names and orientations are PyTorch's.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    starts, at = {}, 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.bytes],
        }
        starts[tensor.name] = at
        at += tensor.bytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # so that arrays are aligned
    file.write(len(encoded).to_bytes(8, "little") + encoded)
    return {name: 8 + len(encoded) + start for name, start in starts.items()}


def _write_tokenizer(folder: Path) -> None:
    sentinels = [f"<extra_id_{i}>" for i in range(EXTRA_IDS)]
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "T5Tokenizer",
            "extra_ids": EXTRA_IDS,
            "additional_special_tokens": sentinels,
            "model_max_length": 512,
            "legacy": False,
            **special,
        },
    )
    _write_json(
        folder / "special_tokens_map.json", {"additional_special_tokens": sentinels, **special}
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
