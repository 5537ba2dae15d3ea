"""What a run must share with its checkpoint to go on exactly: data, held-out set, vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from flan_t5x.checkpoint.adapter import ADAPTER, AdapterRecord
from flan_t5x.checkpoint.initial import VOCABULARY
from flan_t5x.data.cache import CachedSplit
from flan_t5x.data.pipeline import Stream
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.heldout import HeldOut
from flan_t5x.train.config import AVERAGE


@dataclass(frozen=True)
class Identity:
    """Fingerprints that are saved with every checkpoint.

    Attributes:
        mixture: of the stream's order and of every token it can hold.
        held_out: of the examples that select, and of the metric; empty without selection.
        vocabulary: of the SentencePiece model.
        adapter: adapters and their base; None where all parameters are trained.
    """

    mixture: str
    held_out: str
    vocabulary: str
    adapter: AdapterRecord | None = None

    @classmethod
    def of(
        cls,
        stream: Stream,
        splits: Sequence[CachedSplit],
        heldout: HeldOut | None,
        vocabulary: Vocabulary,
        *,
        metric: str = AVERAGE,
        adapter: AdapterRecord | None = None,
    ) -> Identity:
        """The identity of a run that is about to start."""
        tokens = [split.manifest.fingerprint for split in splits]
        digest = blake2b(repr((stream.fingerprint(), tokens)).encode(), digest_size=16)
        selecting = "" if heldout is None else heldout.fingerprint
        if selecting and metric != AVERAGE:  # values of two metrics cannot be compared
            selecting = f"{selecting} {metric}"
        return cls(digest.hexdigest(), selecting, vocabulary.fingerprint(), adapter)

    def to_json(self) -> dict[str, Any]:
        """What goes into a checkpoint's record."""
        record: dict[str, Any] = {
            VOCABULARY: self.vocabulary,
            "mixture": self.mixture,
            "held_out": self.held_out,
        }
        return record if self.adapter is None else record | {ADAPTER: self.adapter.to_json()}

    def require_same(self, record: Mapping[str, Any], *, model_dir: str, vocabulary: str) -> None:
        """Raises UserError where a checkpoint's record differs, and says in what.

        Args:
            record: of the checkpoint.
            model_dir: where it is, for the message.
            vocabulary: what the run calls its vocabulary, for the message.
        """
        for name, what in (
            (
                VOCABULARY,
                f"with another vocabulary than {vocabulary!r}: its token ids mean other pieces",
            ),
            (
                "mixture",
                "on other data: the mixture's tasks, rows, templates, rates, lengths, packing or "
                "the seed differ, so the run cannot go on exactly",
            ),
            (
                "held_out",
                "with other held-out examples or another selection metric, whose values cannot be "
                "compared with those so far",
            ),
        ):
            if record.get(name) != self.to_json()[name]:
                raise UserError(
                    f"{model_dir} was trained {what}. Restore them as they were, or choose "
                    "another model_dir"
                )
        found = AdapterRecord.from_json(record[ADAPTER]) if ADAPTER in record else None
        if self.adapter and not (found and self.adapter.same_but_for_place(found)):
            raise UserError(
                f"{model_dir} was trained with other adapters (LoraConfig), or from another base "
                "than INITIAL_CHECKPOINT_PATH. Restore them as they were, or choose another "
                "model_dir"
            )
