"""The vocabulary against its own contract; parity with seqio is in test_seqio_tasks.py."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary, resolve_vocabulary
from flan_t5x.errors import UserError

from .rows import make_vocabulary


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def t5(shared) -> Vocabulary:
    return Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))


def test_t5_ids(t5):
    # Ids as Hugging Face's T5 documents and as data/README.md warns: sentinels run backwards.
    assert t5.size == 32100
    assert t5.sentinel(0) == 32099
    assert t5.sentinel(99) == 32000
    assert t5.encode("translate English to German: That is good.") == [
        *[13959, 1566, 12, 2968, 10, 466, 19, 207, 5]
    ]
    assert t5.encode("I <extra_id_7> it") == [27, t5.sentinel(7), 34]


def test_sentinels_are_last_and_round_trip(vocabulary):
    assert [vocabulary.sentinel(k) for k in (0, 99)] == [
        *[vocabulary.size - 1, vocabulary.size - 100]
    ]
    for k in (0, 7, 10, 99):
        assert vocabulary.encode(f"<extra_id_{k}>") == [vocabulary.sentinel(k)]
    assert vocabulary.decode([vocabulary.sentinel(3)]) == "<extra_id_3>"
    with pytest.raises(ValueError, match="extra_ids=100"):
        vocabulary.sentinel(100)


def test_without_sentinels(vocabulary):
    plain = Vocabulary(vocabulary.model_path, extra_ids=0)
    assert plain.size == vocabulary.size - 100
    assert plain.fingerprint() != vocabulary.fingerprint()


def test_batch_equals_one_by_one(vocabulary):
    texts = ["the cat is red", "", "Options: (A) cat (B) dog", "ü <extra_id_1>"]
    assert vocabulary.encode_batch(texts) == [vocabulary.encode(t) for t in texts]
    assert vocabulary.encode_batch([]) == []


def test_decode_stops_at_the_end_and_drops_pads(vocabulary):
    ids = vocabulary.encode("the cat is red")
    assert vocabulary.decode([*ids, 1, *ids]) == "the cat is red"
    assert vocabulary.decode(np.array([0, *ids, 0, 0], np.int32)) == "the cat is red"
    assert vocabulary.decode([]) == ""
    assert "⁇" in vocabulary.decode([vocabulary.size + 5])


def test_pickles_as_its_path(vocabulary):
    vocabulary.encode("cat")  # loaded
    data = pickle.dumps(vocabulary)
    assert len(data) < 500
    again = pickle.loads(data)
    assert again.encode("the cat") == vocabulary.encode("the cat")
    assert again.fingerprint() == vocabulary.fingerprint()


def test_the_shipped_vocabulary_is_a_t5_vocabulary():
    mini = default_vocabulary()
    assert resolve_vocabulary("mini").fingerprint() == mini.fingerprint()
    assert mini.unk_id not in mini.encode("Which one is red? Options: (A) cat (B) dog")


def test_missing_and_broken_files(tmp_path, vocabulary):
    with pytest.raises(UserError, match=r"'/no/such\.model' not found.*'mini'"):
        resolve_vocabulary("/no/such.model")
    broken = tmp_path / "broken.model"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"broken\.model' is not a SentencePiece model"):
        _ = resolve_vocabulary(str(broken)).size
    with pytest.raises(UserError, match="No such file"):
        Vocabulary(str(tmp_path / "gone.model")).encode("x")


def test_other_special_ids_are_refused(tmp_path):
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e"] * 5),
        model_writer=model,
        vocab_size=12,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = tmp_path / "other.model"
    path.write_bytes(model.getvalue())
    with pytest.raises(UserError, match=r"\(pad, eos, unk\) ids \(-1, 2, 0\).*--pad_id=0"):
        _ = Vocabulary(str(path)).size


def test_the_data_modules_import_neither_tensorflow_nor_jax():
    code = (
        "import sys, flan_t5x.data.formats, flan_t5x.data.registry, flan_tasks.cot\n"
        "from flan_t5x.data.registry import get_mixture\n"
        "get_mixture('cot_seven')\n"
        "print({'tensorflow', 'seqio', 'jax', 'grain'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
