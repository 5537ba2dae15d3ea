"""What a training run is told: data, evaluation, checkpoints. Filled in by gin."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from flan_t5x.data.cache import default_cache_dir
from flan_t5x.data.varied_mixture import Variation
from flan_t5x.errors import UserError, nearest, require_count

SELECTION = "selection"
"""Label of the held-out set that picks the checkpoint."""

AVERAGE = "average"
"""Name of the default selection metric: the unweighted mean of the held-out tasks' scores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained on, and how it is packed.

    Attributes:
        mixture_or_task_name: a SeqIO-style name, see ``flan-t5x tasks list``.
        task_feature_lengths: tokens of a packed row, {"inputs": n, "targets": m}.
        vocabulary: "mini" or the path of a SentencePiece model.
        cache_dir: token cache, shared between runs; None for `default_cache_dir`.
        split: trained on.
        examples_per_task: the most rows used of each task; None for all.
        pack: several examples a row; False for one.
        window: draws planned together; larger windows pack tighter.
        num_workers: processes that build a missing cache; None for one per core.
        user_jsonl: own data, {task name: path}; see README, "Bring your own JSONL".
        user_jsonl_share: share of draws that come from `user_jsonl`, by number of examples.
        rendered: dumps that others have rendered, {name: file or folder}, each a mixture of that
            name with a task for each of theirs; see `flan_t5x.data.rendered_tasks`.
        rendered_share: share of draws that come from `rendered`, divided by their weights; unless
            `mixture_or_task_name` names one of them, which is then what is trained on.
        rendered_cap: on the weight of each task in a dump.
        rendered_where: which rows of the dumps, {column: value}.
        modules: modules with own ``tasks()`` and ``mixtures()`` to import.
        allow_missing_tasks: train on the rest where downloaded data is missing, and print the
            share lost; otherwise missing data is an error that lists it.
        exclude: a list of rows that are not trained on, as `flan-t5x tasks overlap
            --write_exclusions` writes it; None for none.
        max_task_epochs: how often the rows of a task may come, estimated for the whole run;
            more is an error, see `flan_t5x.train.repeats`. None for any number.
        mixture_rates: rates of the mixture's own parts instead of its own, {part: rate}; every
            part needs one, 0 leaves it out. This and what follows is applied in the order of
            `flan_t5x.data.varied_mixture`, before `rendered` and `user_jsonl` are mixed in.
        mixture_cap: on the weight of every task that weighs by its number of examples.
        without: parts, mixtures, groups, data sets and tasks of the mixture to leave out; the
            rest keeps its relative shares.
        num_datasets: train on so many data sets of the mixture; more hold all that fewer hold.
        datasets_seed: of the order of data sets.
        few_shot_share: share of the mixture's draws that are few-shot.
    """

    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, int]
    vocabulary: str = "mini"
    cache_dir: str | None = None
    split: str = "train"
    examples_per_task: int | None = None
    pack: bool = True
    window: int = 4096
    num_workers: int | None = None
    user_jsonl: Mapping[str, str] = dataclasses.field(default_factory=dict)
    user_jsonl_share: float = 0.1
    rendered: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rendered_share: float = 0.5
    rendered_cap: int | None = None
    rendered_where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    modules: Sequence[str] = ()
    allow_missing_tasks: bool = False
    exclude: str | None = None
    max_task_epochs: float | None = None
    mixture_rates: Mapping[str, float] | None = None
    mixture_cap: int | None = None
    without: Sequence[str] = ()
    num_datasets: int | None = None
    datasets_seed: int = 0
    few_shot_share: float | None = None

    def __post_init__(self) -> None:
        lengths = self.task_feature_lengths
        for name in lengths:
            if name not in ("inputs", "targets"):
                hint = nearest(name, ("inputs", "targets"))
                raise UserError(f"task_feature_lengths names {name!r}; {hint or 'unknown'}")
        for name in ("inputs", "targets"):
            value = lengths.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 2:
                raise UserError(
                    f"task_feature_lengths[{name!r}] = {value!r}: a whole number >= 2 is needed"
                )
        require_count("DataConfig.window", self.window)
        for name in ("user_jsonl_share", "rendered_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise UserError(f"{name} = {getattr(self, name)!r}: needs 0 < share <= 1")
        if self.rendered_cap is not None:
            require_count("DataConfig.rendered_cap", self.rendered_cap)
        if self.max_task_epochs is not None and not self.max_task_epochs > 0:
            raise UserError(
                f"max_task_epochs = {self.max_task_epochs!r}: a number above 0, or None, is needed"
            )
        _ = self.variation  # whose settings are checked

    @property
    def variation(self) -> Variation:
        """How the mixture differs from its definition."""
        return Variation(
            rates=self.mixture_rates,
            cap=self.mixture_cap,
            without=self.without,
            num_datasets=self.num_datasets,
            datasets_seed=self.datasets_seed,
            few_shot_share=self.few_shot_share,
        )

    @property
    def cache_path(self) -> str:
        """The cache folder in use."""
        return self.cache_dir or default_cache_dir()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Held-out evaluation during training; one figure of it picks the checkpoint.

    Attributes:
        mixture_or_task_name: held-out tasks.
        split: selects; a test split is refused here, and so are "published" and
            "published_test", the benchmarks' splits of published tables, which hold test sets.
        metric: what picks the checkpoint: "average", the unweighted mean of the held-out tasks'
            scores, or the name of a figure over them, e.g. "normalized_average" or a mixture.
        allow_test_selection: select on a test split after all, as Chung et al. 2022 do; best.json
            and the last line of the run say so.
        period: steps between evaluations; also done at the first and the last step.
        examples_per_task: the first so many examples of each task.
        batch_size: rows decoded together.
        max_decode_length: most tokens generated; None for the targets' feature length.
        max_input_length: longer prompts are cut; None for the inputs' feature length.
        final: (label, mixture or task, split) evaluated once, at the chosen step, after
            training: the held-out test, the trained tasks on fresh examples.
        final_examples_per_task: examples of each of their tasks.
    """

    mixture_or_task_name: str
    split: str = "validation"
    metric: str = AVERAGE
    allow_test_selection: bool = False
    period: int = 1000
    examples_per_task: int = 64
    batch_size: int = 64
    max_decode_length: int | None = None
    max_input_length: int | None = None
    final: Sequence[tuple[str, str, str]] = ()
    final_examples_per_task: int = 64

    def __post_init__(self) -> None:
        for name in ("period", "examples_per_task", "batch_size", "final_examples_per_task"):
            require_count(f"EvalConfig.{name}", getattr(self, name))
        if self.selects_on_test and not self.allow_test_selection:
            raise UserError(
                f"EvalConfig.split = {self.split!r}: a test split must not pick the checkpoint; "
                "use 'validation', and name the test split in EvalConfig.final (or set "
                "EvalConfig.allow_test_selection, which the results will say)"
            )
        for entry in self.final:
            if len(entry) != 3 or not all(isinstance(part, str) for part in entry):
                raise UserError(
                    f"EvalConfig.final has {entry!r}; each entry is (label, mixture, split)"
                )
        labels = [entry[0] for entry in self.final]
        if len(set(labels)) < len(labels) or SELECTION in labels:
            raise UserError(
                f"EvalConfig.final has the labels {labels}; each must be its own, and "
                f"{SELECTION!r} is taken by the set that picks the checkpoint"
            )

    @property
    def selects_on_test(self) -> bool:
        """Whether what picks the checkpoint holds rows of a test set."""
        return self.split.startswith(("test", "published"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Which states are kept.

    Attributes:
        save_period: steps between saves; None saves with every evaluation only.
        keep_newest: how many of the newest are kept.
        keep_best: how many of the best by the selection metric are kept.
        initial_checkpoint_path: where weights come from when model_dir has none: anything that
            `flan_t5x.checkpoint.initial` knows (a run, a T5X or Hugging Face checkpoint, local,
            gs://... or hf://org/name, a base file, "mini_base"), or None for random weights.
        initial_optimizer_state: "fresh", or "restore" to go on with the Adafactor state in
            initial_checkpoint_path, step included, as T5X does: its decay continues.
    """

    save_period: int | None = None
    keep_newest: int = 1
    keep_best: int = 1
    initial_checkpoint_path: str | None = None
    initial_optimizer_state: Literal["fresh", "restore"] = "fresh"

    def __post_init__(self) -> None:
        if self.initial_optimizer_state not in ("fresh", "restore"):
            raise UserError(
                f"CheckpointConfig.initial_optimizer_state = {self.initial_optimizer_state!r}: "
                "use 'fresh' or 'restore'"
            )
        if self.initial_optimizer_state == "restore" and self.initial_checkpoint_path is None:
            raise UserError(
                "CheckpointConfig.initial_optimizer_state = 'restore' needs an "
                "initial_checkpoint_path; use 'fresh' with random weights"
            )
        if self.save_period is not None:
            require_count("CheckpointConfig.save_period", self.save_period)
        require_count("CheckpointConfig.keep_newest", self.keep_newest)
        require_count("CheckpointConfig.keep_best", self.keep_best)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchdogConfig:
    """How long a run may stand still before it ends itself; None: as long as it likes.

    Start-up (token cache, restore, compilation, the first step) has no limit. The limits are far
    above what is usual: a step of the largest model takes seconds, so half an hour means a hang.

    Attributes:
        step_seconds: without a completed step, between evaluations and saves.
        evaluation_seconds: of one evaluation, its compilation included.
        save_seconds: of one save.
    """

    step_seconds: float | None = 1800.0
    evaluation_seconds: float | None = 4 * 3600.0
    save_seconds: float | None = 3600.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise UserError(
                    f"WatchdogConfig.{field.name} = {value!r}: seconds > 0, or None for no limit"
                )
