"""convert checkpoints between T5X, Hugging Face and this project

SRC is a run, a step or a .npz base of this project, a T5X checkpoint (legacy or Orbax; also
gs://bucket/path), a Hugging Face folder (also hf://org/name), or LoRA adapters in PEFT's layout.
Its kind is found out. DST is the folder to make; it appears whole or not at all. Without --to,
checkpoints of this project go to Hugging Face and all others come to this project. Adapters are
merged into their base, or go alone with --to=peft.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flan_t5x.checkpoint.convert.plan import Plan
    from flan_t5x.checkpoint.convert.run import Conversion
    from flan_t5x.checkpoint.convert.target import To

_KINDS = ("flan_t5x", "base", "t5x", "t5x_orbax", "safetensors", "pytorch", "peft")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x convert``."""
    parser.add_argument("source", metavar="SRC", help="checkpoint to read")
    parser.add_argument("target", metavar="DST", type=Path, help="folder to make")
    parser.add_argument("--to", choices=("hf", "t5x", "flan_t5x", "peft"), help="layout of DST")
    parser.add_argument("--from", dest="kind", choices=_KINDS, help="how SRC is read")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of the parameters (default: as in SRC)"
    )
    parser.add_argument(
        "--vocabulary",
        metavar="MODEL",
        help="'mini' or a SentencePiece file to put beside the weights (default: SRC's own)",
    )
    parser.add_argument(
        "--base", help="checkpoint under SRC's adapters (default: the one that they name)"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print what goes where; write nothing"
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare logits and greedy tokens of both ends"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DST where it exists")


def run(options: argparse.Namespace) -> int:
    """Converts, and returns the exit code."""
    from flan_t5x.checkpoint.convert import run as conversions
    from flan_t5x.checkpoint.convert.whole import require_free
    from flan_t5x.checkpoint.convert.write_peft import base_note

    if not options.dry_run:
        require_free(options.target, overwrite=options.overwrite)
    conversion = _conversion(options)
    plan, to = conversions.prepare(conversion)
    print(_summary(plan, to))
    for note in plan.notes:
        print(f"note: {note}")
    if options.dry_run:
        _print_table(conversion, plan, to)
        print("dry run: nothing was written")
        return 0

    def verify(folder: Path) -> None:
        from flan_t5x.checkpoint.convert.verify import require_close, verify

        difference = verify(plan, folder)
        print(difference)
        if conversion.dtype is None:
            require_close(difference)

    conversions.convert(
        conversion,
        plan,
        to,
        overwrite=options.overwrite,
        check=verify if options.verify else None,
    )
    if to == "hf" and not (conversion.target / "spiece.model").is_file():
        print("note: no tokenizer files: the vocabulary is not known; give --vocabulary")
    if to == "peft" and (said := base_note(plan)) is not None:
        print(f"note: {said}")
    print(f"wrote {conversion.target}")
    return 0


def _conversion(options: argparse.Namespace) -> Conversion:
    from flan_t5x.checkpoint.convert.run import Conversion

    source = options.source
    return Conversion(
        source=source,
        target=options.target,
        kind=options.kind,
        to=options.to,
        dtype=options.dtype,
        spiece=_spiece(options.vocabulary, source),
        base=options.base,
    )


def _spiece(named: str | None, source: str) -> Path | None:
    """The SentencePiece file: as named, else the one that the source's run was told."""
    from flan_t5x.checkpoint.convert.read_ours import run_vocabulary
    from flan_t5x.checkpoint.initial import SHIPPED
    from flan_t5x.data.vocabulary import MINI, resolve_vocabulary

    name = named or (MINI if source in SHIPPED else run_vocabulary(source))
    if name is None:
        return None
    file = Path(resolve_vocabulary(name).model_path)
    return file if named is not None or file.is_file() else None


def _summary(plan: Plan, to: To) -> str:
    c, source = plan.config, plan.source
    moments = f", Adafactor state of step {source.moments_step:,}" if plan.moments else ""
    return (
        f"{source.path}: {source.kind}, T5 of {c.num_parameters():,} parameters "
        f"({c.num_encoder_layers}+{c.num_decoder_layers} layers, width {c.emb_dim}, {c.num_heads} "
        f"heads x {c.head_dim}, MLP {c.mlp_dim}, {c.vocab_size:,} rows){moments}; to {to}"
    )


def _print_table(conversion: Conversion, plan: Plan, to: To) -> None:
    from flan_t5x.checkpoint.convert.run import mappings

    rows = [
        (
            m.source,
            f"{m.source_dtype}{list(m.source_shape)}",
            m.target,
            f"{m.target_dtype}{list(m.target_shape)}",
            m.transform,
        )
        for m in mappings(plan, to, conversion.dtype)
    ]
    rows.insert(0, ("source", "shape", "target", "shape", "transform"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
