"""SeqIO tasks give the token cache's tokens, and mixtures our rates. Imports TensorFlow (6 s)."""

from __future__ import annotations

from dataclasses import replace

import pytest

seqio = pytest.importorskip("seqio")

from flan_t5x.data import registry  # noqa: E402
from flan_t5x.data.cache import CacheSpec, ensure_cached  # noqa: E402
from flan_t5x.data.definitions import (  # noqa: E402
    FORMATS,
    BadRow,
    MixtureDefinition,
    MixturePart,
)
from flan_t5x.data.seqio_tasks import to_seqio_mixture, to_seqio_task  # noqa: E402
from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary  # noqa: E402
from flan_t5x.errors import UserError  # noqa: E402
from flan_t5x.evaluation import scoring  # noqa: E402

from .rows import ListSource, animal, animal_source, animal_task, make_vocabulary  # noqa: E402

LENGTHS = {"inputs": 96, "targets": 14}

TEXTS = (
    "",
    "Options: (A) cat (B) dog",
    "I like <extra_id_7> and <extra_id_0>ly <extra_id_99>",
    "jel<extra_id_0>ly  two  spaces ",
    "line\nbreak\tand tab {brace} ~ tilde",
    "Où ça? ﷺ ① ﬁ 雪 🙂",
    "in ------- days ..... =====",
)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(params=["mini", "t5"])
def real_vocabulary(request) -> Vocabulary:
    if request.param == "mini":
        return default_vocabulary()
    shared = request.getfixturevalue("shared")
    return Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))


def test_vocabulary_parity(real_vocabulary):
    theirs = seqio.SentencePieceVocabulary(real_vocabulary.model_path, extra_ids=100)
    assert real_vocabulary.size == theirs.vocab_size
    assert (theirs.pad_id, theirs.eos_id, theirs.unk_id) == (0, 1, 2)
    for text in TEXTS:
        ids = real_vocabulary.encode(text)
        assert ids == list(theirs.encode(text))
        assert real_vocabulary.decode(ids) == theirs.decode(ids)
        assert real_vocabulary.decode([*ids, 0, 1, 5, 6]) == theirs.decode([*ids, 0, 1, 5, 6])
    assert real_vocabulary.to_seqio() == theirs


def rows_of(task: seqio.Task, split: str, lengths=LENGTHS, **more) -> list[tuple]:
    data = task.get_dataset(lengths, split=split, shuffle=False, **more)
    return [
        (e["id"].decode(), e["inputs"].tolist(), e["targets"].tolist())
        for e in data.as_numpy_iterator()
    ]


def mixed_rows(split: str) -> list:
    """Usable rows, and one of every kind that is left out or cut."""
    rows = [animal(split, i) for i in range(25)]
    rows[2] = BadRow("line 3", "missing column", "2 of 3")
    rows[4] = replace(rows[4], answer="unicorn")
    rows[6] = replace(rows[6], fields={"story": "the red one " * 60})
    rows[8] = replace(rows[8], rationale="the animal is red and others are blue " * 3)
    rows[9] = replace(rows[9], answer="a b c d e f g h i j k l m", options=())
    rows[11] = replace(rows[11], fields={"story": "dashes ------- Où ça?"})
    return rows


@pytest.mark.parametrize("format", FORMATS)
def test_tokens_equal_those_of_the_cache(format, vocabulary, tmp_path):
    source = ListSource({s: mixed_rows(s) for s in ("train", "validation")})
    task = animal_task(format, name=f"parity_{format}", source=source)
    lengths = {"inputs": 96, "targets": 28 if format.endswith("_cot") else 14}
    spec = CacheSpec((task,), vocabulary, lengths, splits=("train", "validation"))
    cached = ensure_cached(spec, tmp_path, num_workers=1)
    ours = to_seqio_task(task, vocabulary=vocabulary, scoring=scoring, feature_lengths=lengths)
    for split in ("train", "validation"):
        entry = cached[task.name, split]
        expected = [
            (row.inputs.tolist(), row.targets.tolist())
            for row in entry.read(range(entry.num_examples))
        ]
        got = [(inputs, targets) for _, inputs, targets in rows_of(ours, split, lengths)]
        assert got == expected
        assert 15 < len(got) < 25


def test_shards_divide_the_rows(vocabulary):
    task = to_seqio_task(animal_task(name="sharded"), vocabulary=vocabulary, scoring=scoring)
    whole = rows_of(task, "validation")
    shards = [
        rows_of(task, "validation", shard_info=seqio.ShardInfo(index=i, num_shards=3))
        for i in range(3)
    ]
    assert [len(s) for s in shards] == [4, 4, 4]
    assert sorted(r for shard in shards for r in shard) == sorted(whole)


def test_shuffling_keeps_the_rows(vocabulary):
    task = to_seqio_task(animal_task(name="shuffled"), vocabulary=vocabulary, scoring=scoring)
    data = task.get_dataset(LENGTHS, split="train", shuffle=True, seed=3)
    ids = [e["id"].decode() for e in data.as_numpy_iterator()]
    plain = [id for id, *_ in rows_of(task, "train")]
    assert ids != plain
    assert sorted(ids) == sorted(plain)


def test_metrics_and_postprocessing(vocabulary):
    task = animal_task(
        "zs_cot", name="scored", extract="cot_answer", metrics=("accuracy", "normalized_accuracy")
    )
    made = to_seqio_task(task, vocabulary=vocabulary, scoring=scoring)
    text = "It is red. So the answer is dog."
    said = made.postprocess_fn(text, example={}, is_target=False)
    assert said == "dog"
    rows = [
        made.postprocess_fn(text, example={"scoring": b'{"targets": "%s"}' % gold}, is_target=True)
        for gold in (b"The answer is dog.", b"The answer is cat.")
    ]
    (metrics,) = made.metric_fns
    assert metrics(targets=rows, predictions=["dog", "Cat"]) == {
        "accuracy": 0.5,
        "normalized_accuracy": 1.0,
    }


def test_a_task_without_scores(vocabulary):
    made = to_seqio_task(animal_task(name="bare"), vocabulary=vocabulary, scoring=None)
    assert made.metric_fns == []
    scored = to_seqio_task(animal_task(name="bare"), vocabulary=vocabulary, scoring=scoring)
    assert len(scored.metric_fns) == 1


def test_registering_again(vocabulary, tmp_path):
    task = animal_task(name="registered", source=animal_source())
    first = to_seqio_task(task, vocabulary=vocabulary, scoring=scoring)
    assert seqio.TaskRegistry.get("registered") is first
    assert to_seqio_task(task, vocabulary=vocabulary, scoring=scoring) is first
    other = to_seqio_task(replace(task, seed=1), vocabulary=vocabulary, scoring=scoring)
    assert other is not first
    assert seqio.TaskRegistry.get("registered") is other


def test_unknown_metric_or_extractor(vocabulary):
    for more, message in (
        ({"metrics": ("bleurt",)}, "metric 'bleurt' is not known"),
        ({"extract": "last"}, "extractor 'last' is not known"),
    ):
        with pytest.raises(UserError, match=message):
            to_seqio_task(animal_task(name="m", **more), vocabulary=vocabulary, scoring=scoring)


def test_mixture_rates(vocabulary, monkeypatch):
    made = registry._Registry()
    monkeypatch.setattr(registry, "_registry", made)
    monkeypatch.setattr(made, "providers", dict)
    tasks = [animal_task(name=f"mixed_{n}", source=animal_source(train=n)) for n in (10, 30)]
    inner = MixtureDefinition("mixed_inner", tuple(MixturePart(t.name) for t in tasks))
    outer = MixtureDefinition(
        "mixed_outer",
        (MixturePart("mixed_inner", rate=1), MixturePart("mixed_10", rate=1)),
    )
    made.add(tasks, [inner, outer], origin="test")
    mixture = to_seqio_mixture(
        "mixed_outer", vocabulary=vocabulary, scoring=scoring, feature_lengths=LENGTHS
    )
    assert seqio.MixtureRegistry.get("mixed_outer") is mixture
    ours = {w.task.name: w.rate for w in registry.resolve("mixed_outer")}
    theirs = {task.name: mixture.get_rate(task) for task in mixture.tasks}
    assert theirs == ours == pytest.approx({"mixed_10": 0.625, "mixed_30": 0.375})
    data = mixture.get_dataset(LENGTHS, split="train", shuffle=False)
    assert sum(1 for _ in data.take(20).as_numpy_iterator()) == 20
    with pytest.raises(UserError, match="'mixed_10' is a task"):
        to_seqio_mixture("mixed_10", vocabulary=vocabulary, scoring=scoring)
