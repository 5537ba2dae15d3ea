"""What a checkpoint of adapters says of itself: how they are scaled, and which base is theirs.

A run that trains adapters (`flan_t5x.model.lora`) saves those alone; `convert.merge` makes a whole
model of them and their base.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flan_t5x.model.config import LoraConfig

ADAPTER = "adapter"
"""Key of the record in a checkpoint's extra record."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterRecord:
    """Adapters and their base.

    Attributes:
        base: the checkpoint they change, as `checkpoint.initial` takes it; local paths absolute.
        fingerprint: of the base's parameters (`params_fingerprint`).
        config: rank, scale, targets, dropout.
    """

    base: str
    fingerprint: str
    config: LoraConfig

    @classmethod
    def of(cls, config: LoraConfig, *, base: str, fingerprint: str) -> AdapterRecord:
        """A record in which a local base is named from anywhere."""
        path = Path(base).expanduser()
        known = str(path.absolute()) if path.exists() else base
        return cls(base=known, fingerprint=fingerprint, config=config)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> AdapterRecord:
        """The inverse of `to_json`."""
        config = LoraConfig(**{f.name: record[f.name] for f in dataclasses.fields(LoraConfig)})
        return cls(base=record["base"], fingerprint=record["fingerprint"], config=config)

    def to_json(self) -> dict[str, Any]:
        """What goes into a checkpoint's record."""
        config = dataclasses.asdict(self.config) | {"targets": list(self.config.targets)}
        return {"base": self.base, "fingerprint": self.fingerprint, **config}

    def same_but_for_place(self, other: AdapterRecord) -> bool:
        """Whether two records differ at the most in where the base lies."""
        return dataclasses.replace(other, base=self.base) == self
