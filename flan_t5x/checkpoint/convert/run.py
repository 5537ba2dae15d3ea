"""`flan-t5x convert` as a function: open, plan, write to a temporary name, verify, rename."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flan_t5x.checkpoint.convert.merge import open_plan
from flan_t5x.checkpoint.convert.plan import Plan
from flan_t5x.checkpoint.convert.source import EXTRA_IDS, Kind, spiece_fingerprint
from flan_t5x.checkpoint.convert.target import Dtype, To, bytes_to_write, goal, target_dtype
from flan_t5x.checkpoint.convert.whole import whole_folder
from flan_t5x.checkpoint.convert.write_hf import write_hf
from flan_t5x.checkpoint.convert.write_ours import write_ours
from flan_t5x.checkpoint.convert.write_peft import tensor_name, write_peft
from flan_t5x.checkpoint.convert.write_t5x import write_t5x
from flan_t5x.errors import UserError


@dataclass(frozen=True)
class Conversion:
    """What to convert into what.

    Attributes:
        source: local path, ``hf://org/name`` or ``gs://bucket/path``.
        target: the folder to make.
        kind: how the source is read; None finds out.
        to: the target's layout; None exports this project's checkpoints to Hugging Face and
            imports all others.
        dtype: of the target's parameters; None keeps the source's.
        spiece: SentencePiece model to put beside the weights; None takes the source's.
        base: what adapters are merged into; None takes the base that they name.
    """

    source: str
    target: Path
    kind: Kind | None = None
    to: To | None = None
    dtype: Dtype | None = None
    spiece: Path | None = None
    base: str | None = None


@dataclass(frozen=True)
class Mapping:
    """One line of the table that ``--dry_run`` prints; shapes and dtypes included."""

    source: str
    source_shape: tuple[int, ...]
    source_dtype: str
    target: str
    target_shape: tuple[int, ...]
    target_dtype: str
    transform: str


def prepare(conversion: Conversion) -> tuple[Plan, To]:
    """Opens and checks the source; reads names and shapes only.

    Raises:
        UserError: whatever is wrong with the source or the vocabulary.
    """
    plan = open_plan(conversion.source, conversion.kind, base=conversion.base)
    if conversion.spiece is not None:
        check_vocabulary(plan, conversion.spiece)
    ours = plan.source.layout == "flan_t5x"
    return plan, conversion.to or ("hf" if ours else "flan_t5x")


def mappings(plan: Plan, to: To, dtype: Dtype | None) -> list[Mapping]:
    """Where every leaf goes, in the source's order."""
    if to == "peft":
        return _adapter_mappings(plan, dtype)
    table = []
    for part in [*plan.parts, *(plan.moments if to != "hf" else ())]:
        there = goal(part, plan, to)
        steps = [*part.steps, *there.steps]
        if steps.count("transpose") == 2:
            steps = [step for step in steps if step != "transpose"]
        kept = target_dtype(part, dtype)
        if kept != part.dtype:
            steps.append(f"to {kept}")
        table.append(
            Mapping(
                source=part.leaf.name,
                source_shape=part.leaf.shape,
                source_dtype=part.dtype,
                target=there.name,
                target_shape=there.shape,
                target_dtype=kept,
                transform=", ".join(steps) or "as it is",
            )
        )
    return table


def _adapter_mappings(plan: Plan, dtype: Dtype | None) -> list[Mapping]:
    return [
        Mapping(
            source=leaf.name,
            source_shape=leaf.shape,
            source_dtype=leaf.dtype,
            target=tensor_name(delta, side),
            target_shape=shape[::-1],
            target_dtype=dtype or "float32",
            transform=f"layer {delta.part.layer}, transpose",
        )
        for delta in plan.deltas
        for side, leaf, shape in zip("AB", delta.leaves, delta.shapes, strict=True)
    ]


def convert(
    conversion: Conversion,
    plan: Plan,
    to: To,
    *,
    overwrite: bool = False,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Writes the target; it appears whole or not at all.

    Args:
        conversion: what was asked for.
        plan: from `prepare`.
        to: from `prepare`.
        overwrite: replace a target that exists.
        check: called with the finished folder before it takes its name; an error of it leaves
            nothing behind.

    Raises:
        UserError: the target exists or cannot be written, the source turns out to be damaged,
            or the check fails.
    """
    target = conversion.target.expanduser().absolute()
    spiece = conversion.spiece or plan.source.spiece
    needed = bytes_to_write(plan, conversion.dtype, to)
    with whole_folder(target, overwrite=overwrite, needed=needed) as folder:
        if to == "hf":
            write_hf(folder, plan, dtype=conversion.dtype, spiece=spiece, name=target.name)
        elif to == "peft":
            write_peft(folder, plan, dtype=conversion.dtype, name=target.name)
        elif to == "t5x":
            write_t5x(folder, plan, dtype=conversion.dtype)
        else:
            write_ours(folder, plan, dtype=conversion.dtype, spiece=spiece, final=target)
        if check is not None:
            check(folder)


def check_vocabulary(plan: Plan, spiece: Path) -> None:
    """Raises a UserError unless a SentencePiece model fits the weights, by hash and by size."""
    from sentencepiece import SentencePieceProcessor

    source = plan.source
    try:
        found = spiece_fingerprint(spiece)
        pieces = SentencePieceProcessor(model_file=str(spiece)).GetPieceSize()
    except OSError as error:
        raise UserError(
            f"{spiece} cannot be read as a SentencePiece model: {error.strerror or error}"
        ) from error
    except RuntimeError as error:
        raise UserError(f"{spiece} is not a SentencePiece model ({error})") from error
    if source.vocabulary not in (None, found):
        raise UserError(
            f"{source.path} was trained with another vocabulary than {spiece} (fingerprints "
            f"{str(source.vocabulary)[:12]} and {found[:12]}): its token ids mean other pieces"
        )
    if pieces + EXTRA_IDS > plan.config.vocab_size:
        raise UserError(
            f"{spiece} has {pieces} pieces, and {EXTRA_IDS} sentinels beside them; the embedding "
            f"of {source.path} has only {plan.config.vocab_size} rows"
        )
