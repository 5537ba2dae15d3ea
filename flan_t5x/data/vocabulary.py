"""SentencePiece vocabularies with T5's sentinels, free of TensorFlow.

Same ids as `seqio.SentencePieceVocabulary(model_path, extra_ids=100)`, which costs a
TensorFlow import of about six seconds; `Vocabulary.to_seqio` gives that object on demand.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flan_t5x.errors import UserError

if TYPE_CHECKING:
    import seqio
    from sentencepiece import SentencePieceProcessor

PAD_ID, EOS_ID, UNK_ID = 0, 1, 2
MINI = "mini"

# sentencepiece_model.proto: ModelProto.pieces is field 1 (length-delimited); in a piece,
# text is field 1, score (float32) field 2, type (varint) field 3.
_USER_DEFINED = 4


def _sentinel_bytes(k: int) -> bytes:
    """`<extra_id_k>` as one serialized `ModelProto.pieces` entry."""
    text = f"▁<extra_id_{k}>".encode()
    piece = b"\x0a" + bytes([len(text)]) + text
    piece += b"\x15" + struct.pack("<f", 0.0) + b"\x18" + bytes([_USER_DEFINED])
    return b"\x0a" + bytes([len(piece)]) + piece


class Vocabulary:
    """A SentencePiece model plus sentinels; loads on first use, pickles as its path.

    Ids are T5's: pad 0, end of sequence 1, unknown 2, sentinels last and counted backwards
    (`<extra_id_0>` is the highest id).

    Args:
        model_path: the `.model` file.
        extra_ids: how many sentinels are added at the end.
    """

    pad_id = PAD_ID
    eos_id = EOS_ID
    unk_id = UNK_ID

    def __init__(self, model_path: str, extra_ids: int = 100) -> None:
        self.model_path = str(model_path)
        self.extra_ids = int(extra_ids)

    def __getstate__(self) -> dict[str, Any]:
        return {"model_path": self.model_path, "extra_ids": self.extra_ids}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"Vocabulary({self.model_path!r}, extra_ids={self.extra_ids})"

    @cached_property
    def _model_bytes(self) -> bytes:
        try:
            return Path(self.model_path).read_bytes()
        except OSError as error:
            raise UserError(
                f"cannot read the vocabulary {self.model_path!r}: {error.strerror}. "
                f"Give the path of a SentencePiece model, or {MINI!r} for the shipped one."
            ) from error

    @cached_property
    def _processor(self) -> SentencePieceProcessor:
        from sentencepiece import SentencePieceProcessor

        # Serialized protocol buffers concatenate: appended entries extend the repeated field.
        sentinels = b"".join(_sentinel_bytes(k) for k in reversed(range(self.extra_ids)))
        processor = SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(self._model_bytes + sentinels)
        except RuntimeError as error:
            raise UserError(
                f"{self.model_path!r} is not a SentencePiece model ({error}). "
                "Give a `.model` file written by sentencepiece."
            ) from error
        found = (processor.pad_id(), processor.eos_id(), processor.unk_id())
        if found != (PAD_ID, EOS_ID, UNK_ID):
            raise UserError(
                f"the vocabulary {self.model_path!r} has (pad, eos, unk) ids {found}; T5 needs "
                f"{(PAD_ID, EOS_ID, UNK_ID)}. Train it with --pad_id=0 --eos_id=1 --unk_id=2."
            )
        return processor

    @property
    def size(self) -> int:
        """Number of ids: pieces of the model plus sentinels."""
        return int(self._processor.GetPieceSize())

    def sentinel(self, k: int) -> int:
        """Id of `<extra_id_k>`. Raises ValueError where there are not that many."""
        if not 0 <= k < self.extra_ids:
            raise ValueError(f"<extra_id_{k}> does not exist: extra_ids={self.extra_ids}")
        return self.size - 1 - k

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end-of-sequence id."""
        return self._processor.EncodeAsIds(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without end-of-sequence ids; faster than one by one."""
        return self._processor.EncodeAsIds(list(texts), num_threads=1)

    def decode(self, ids: Iterable[int]) -> str:
        """Text up to the first end-of-sequence id; pads vanish, ids out of range are unknown."""
        size = self.size
        kept = []
        for i in ids:
            i = int(i)
            if i == EOS_ID:
                break
            if i != PAD_ID:
                kept.append(i if 0 <= i < size else UNK_ID)
        return self._processor.DecodeIds(kept)

    def fingerprint(self) -> str:
        """Hex digest of the model's bytes and the number of sentinels."""
        digest = hashlib.sha256(self._model_bytes)
        digest.update(f"extra_ids={self.extra_ids}".encode())
        return digest.hexdigest()

    def to_seqio(self) -> seqio.SentencePieceVocabulary:
        """The same vocabulary as a seqio object. Imports TensorFlow."""
        import seqio

        return seqio.SentencePieceVocabulary(self.model_path, extra_ids=self.extra_ids)


def default_vocabulary() -> Vocabulary:
    """The mini vocabulary that ships with the package."""
    # Located below the top package: importing flan_tasks.mini itself is not needed.
    path = resources.files("flan_tasks") / "mini" / "data" / "mini.model"
    return Vocabulary(str(path))


def resolve_vocabulary(path_or_name: str, *, extra_ids: int = 100) -> Vocabulary:
    """`"mini"` gives the shipped vocabulary, anything else is the path of a model file.

    Raises:
        UserError: where the file does not exist.
    """
    if path_or_name == MINI:
        return default_vocabulary()
    path = Path(path_or_name).expanduser()
    if not path.is_file():
        raise UserError(
            f"vocabulary {path_or_name!r} not found. "
            f"Give the path of a SentencePiece model, or {MINI!r} for the shipped one."
        )
    return Vocabulary(str(path), extra_ids=extra_ids)
