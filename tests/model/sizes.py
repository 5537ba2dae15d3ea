"""The published sizes of T5 1.1."""

from __future__ import annotations

from flan_t5x.model.config import T5Config

# emb_dim, heads, layers of each stack, mlp_dim
_SIZES = {
    "small": (512, 6, 8, 1024),
    "base": (768, 12, 12, 2048),
    "large": (1024, 16, 24, 2816),
    "xl": (2048, 32, 24, 5120),
    "xxl": (4096, 64, 24, 10240),
}
PARAMETERS = {
    "small": 76_961_152,
    "base": 247_577_856,
    "large": 783_150_080,
    "xl": 2_849_757_184,
    "xxl": 11_135_332_352,
}
"""Published parameter counts by size."""


def published(size: str) -> T5Config:
    """The configuration of a published size."""
    emb, heads, layers, mlp = _SIZES[size]
    return T5Config(
        vocab_size=32128, emb_dim=emb, num_heads=heads, head_dim=64, mlp_dim=mlp,
        num_encoder_layers=layers, num_decoder_layers=layers,
    )  # fmt: skip
