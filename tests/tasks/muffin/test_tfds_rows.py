"""Every parser on rows that TFDS makes up from its builders' declared features."""

from __future__ import annotations

import pickle

import pytest
from flan_tasks import muffin
from flan_tasks.muffin.catalog import datasets, source, wordings

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.tfds import TfdsSource

from ...data.sources.tfds_mock import mocked_tfds
from .toys import TOYS

# Made-up values are random letters and numbers, which these parsers must refuse; every other
# one has to make an example of them.
REFUSED = {
    "copa": {"unknown relation"},
    "hellaswag": {"unknown label"},
    "story_cloze": {"unknown label", "no label"},
    "sentiment140": {"neutral or unknown label"},
    "stsb": {"unknown label"},
    "unified_qa_science_inst": {"malformed options"},
    "record": {"answer not among options"},
    "coqa": {"no conversation"},
    **{key: {"unknown label"} for key in ("arc_challenge", "arc_easy")},
    "definite_pronoun_resolution": {"unknown label"},
    "lambada": {"empty passage"},
    **{key: {"nothing to restore"} for key in ("true_case", "fix_punct", "word_segment")},
}


@pytest.fixture(scope="module", autouse=True)
def mocked():
    with mocked_tfds(num_examples=6, num_sub_examples=3):
        yield


def fresh(key: str) -> TfdsSource:
    """Not the one that other tests share: this one is opened inside the mock."""
    return source.__wrapped__(key)


@pytest.mark.parametrize("key", muffin.KEYS)
def test_every_builder_has_what_its_parser_reads(key):
    found = fresh(key)
    rows = list(found.read("train", 0, 6))
    assert len(rows) == found.num_examples("train") == 6
    fields = wordings(datasets()[key].wordings).fields
    for row in rows:
        if isinstance(row, BadRow):
            assert row.reason in REFUSED.get(key, set()), row
        else:
            assert isinstance(row, Example)
            assert tuple(row.fields) == fields
    if key not in REFUSED:
        assert any(isinstance(row, Example) for row in rows)


@pytest.mark.parametrize("key", muffin.KEYS)
def test_toys_have_the_layout_of_the_builder(key):
    import tensorflow_datasets as tfds

    features = tfds.builder(datasets()[key].tfds).info.features
    for row, _ in TOYS[key]:
        for name, value in row.items():
            assert name in features, f"{name} is no feature of {datasets()[key].tfds}"
            feature = features[name]
            if isinstance(value, dict):
                inner = getattr(feature, "feature", feature)
                assert set(value) <= set(inner)
                continue
            one = value[0] if isinstance(value, list) and value else value
            kinds = {"bool": bool, "string": str, "int64": int, "int32": int, "float32": float}
            if one != []:
                assert isinstance(one, kinds[getattr(feature.dtype, "name", None) or "string"])


def test_label_names_are_in_the_order_that_parsers_assume():
    import tensorflow_datasets as tfds

    names = {
        "cb": ["entailment", "contradiction", "neutral"],
        "rte": ["entailment", "not_entailment"],
        "qnli": ["entailment", "not_entailment"],
        "wnli": ["not_entailment", "entailment"],
        "snli": ["entailment", "neutral", "contradiction"],
        "mnli_matched": ["entailment", "neutral", "contradiction"],
        "anli_r1": ["e", "n", "c"],
        "glue_mrpc": ["not_equivalent", "equivalent"],
        "glue_qqp": ["not_duplicate", "duplicate"],
        "paws_wiki": ["different_meaning", "paraphrase"],
        "cola": ["unacceptable", "acceptable"],
        "sst2": ["negative", "positive"],
        "imdb_reviews": ["neg", "pos"],
        "yelp_polarity_reviews": ["1", "2"],
        "wic": ["False", "True"],
        "wsc": ["False", "True"],
        "multirc": ["False", "True"],
        "copa": ["choice1", "choice2"],
        "winogrande": ["1", "2"],
        "cosmos_qa": ["0", "1", "2", "3"],
        "piqa": ["0", "1"],
        "ag_news_subset": ["World", "Sports", "Business", "Sci/Tech"],
    }
    for key, expected in names.items():
        label = tfds.builder(datasets()[key].tfds).info.features["label"]
        assert label.names == expected, key
    features = tfds.builder(datasets()["trec"].tfds).info.features
    assert features["label-coarse"].names == ["DESC", "ENTY", "ABBR", "HUM", "NUM", "LOC"]


def test_sources_pickle():
    for key in muffin.KEYS:
        copy = pickle.loads(pickle.dumps(fresh(key)))
        assert copy.parser is datasets()[key].row_parser()
        assert copy.expected_examples("train") == source(key).expected_examples("train")


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("snli", {"label": -1}, "no label"),
        ("snli", {"label": 3}, "unknown label"),
        ("rte", {"premise": " \n"}, "empty premise"),
        ("stsb", {"label": 5.1}, "unknown label"),
        ("stsb", {"label": float("nan")}, "unknown label"),
        ("sentiment140", {"polarity": 2}, "neutral or unknown label"),
        ("copa", {"question": "reason"}, "unknown relation"),
        ("copa", {"choice2": ""}, "empty option"),
        ("story_cloze", {"label": 0}, "no label"),
        ("arc_easy", {"answerKey": 4}, "unknown label"),
        ("record", {"answers": ["Oslo"]}, "answer not among options"),
        ("natural_questions", {"answer": []}, "empty answer"),
        ("squad_v1", {"answers": {"text": [], "answer_start": []}}, "empty answer"),
        ("lambada", {"passage": "word"}, "empty passage"),
        ("coqa", {"questions": ["One?"]}, "no conversation"),
        ("unified_qa_science_inst", {"input": "Which? (A) x (B) y"}, "malformed options"),
        ("unified_qa_science_inst", {"output": "a harp"}, "answer not among options"),
        ("common_gen", {"target": " ", "references": [""]}, "empty answer"),
        ("wmt14_enfr", {"xx": "?"}, "unknown languages"),
        ("word_segment", {"en": "Yes."}, "nothing to restore"),
        ("newsroom", {"summary": ""}, "empty answer"),
        ("multi_news", {"document": " ||||| "}, "empty articles"),
    ],
)
def test_unusable_rows(key, change, reason):
    row, _ = TOYS[key][0]
    with pytest.raises(RowError) as caught:
        datasets()[key].row_parser()("train/0", {**row, **change})
    assert caught.value.reason == reason


def parsed(key: str, place: int = 0, id: str = "train/0") -> Example:
    return datasets()[key].row_parser()(id, TOYS[key][place][0])


def test_what_parsers_clean():
    assert parsed("imdb_reviews").fields["text"] == "A dull evening. We left before the end."
    assert parsed("multirc").fields["paragraph"] == "Jo found a key. It was rusty."
    assert parsed("record").fields["passage"] == "Nora Lind won in Turin. Nora Lind is 19."
    assert parsed("record").options == ("Italy", "Nora Lind", "Turin")
    assert parsed("squad_v1").fields["title"] == "Port of Lund"
    assert parsed("hellaswag").fields["context"] == "How to peel a pear Wash it. Take a knife. Then"
    assert parsed("multi_news").fields["articles"] == (
        "Fire in the mall. Nobody hurt. || The mall burnt."
    )
    assert parsed("samsum").fields["dialogue"] == (
        "Ann: Dinner at 7? | Bob: Make it 8. | Ann: Fine!"
    )
    assert parsed("quac").fields["passage"] == "Stone grew up in Leith. She played chess."
    assert parsed("dart").fields["triples"] == "Lake Lot AREA 12 km2; Lake Lot DEPTH 30 m"
    assert parsed("opinion_abstracts_idebate").fields == {
        "debate": "this house would ban cars",
        "arguments": "Cars are noisy. - Buses suffice.",
    }
    assert parsed("bool_q").fields["question"] == "Can a kiwi fly?"
    assert parsed("true_case").fields["text"] == "see you in odense, anna!"
    assert parsed("fix_punct").fields["text"] == "See you in Odense Anna"
    assert parsed("word_segment").fields["text"] == "SeeyouinOdense,Anna!"
    assert parsed("coqa").fields["history"] == "Q: Who has a kite? A: Ida"
    assert parsed("openbookqa").fields["fact"] == "magnets attract iron"


@pytest.mark.parametrize("code", ["de", "fi", "fr", "ro"])
def test_half_of_the_rows_are_translated_each_way(code):
    key = next(k for k in muffin.KEYS if code in TOYS[k][0][0] and "en" in TOYS[k][0][0])
    made = [parsed(key, id=f"train/{i}") for i in range(400)]
    into_english = sum(row.fields["target_language"] == "English" for row in made)
    assert 150 < into_english < 250
    row = TOYS[key][0][0]
    assert {e.answer for e in made} == set(row.values())


@pytest.mark.parametrize("code", ["es", "cs", "ru", "tr"])
def test_what_t5_cannot_write_is_only_read(code):
    key = next(k for k in muffin.KEYS if code in TOYS[k][0][0])
    made = {parsed(key, id=f"train/{i}").fields["target_language"] for i in range(60)}
    assert made == {"English"}
