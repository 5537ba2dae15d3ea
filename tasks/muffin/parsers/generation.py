"""Text for text: summaries, sentences from data, translation, restored formatting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from flan_t5x.data.definitions import Example, RowError
from flan_t5x.data.draws import Draws

from .common import example, tidy

Row = dict[str, Any]

_ARTICLE_BREAK = "|||||"
_NOT_WORD = re.compile(r"[^\w\s]|_")


def aeslc(id: str, row: Row) -> Example:
    """aeslc: an e-mail's body and its subject."""
    return example(id, {"body": row["email_body"]}, row["subject_line"])


def cnn_dailymail(id: str, row: Row) -> Example:
    """cnn_dailymail."""
    return example(id, {"article": row["article"]}, row["highlights"])


def document(id: str, row: Row) -> Example:
    """gigaword, xsum."""
    return example(id, {"document": row["document"]}, row["summary"])


def multi_news(id: str, row: Row) -> Example:
    """multi_news: articles stay apart by a sign that T5 can write."""
    articles = [tidy(text) for text in row["document"].split(_ARTICLE_BREAK)]
    summary = tidy(row["summary"]).removeprefix("– ")
    return example(id, {"articles": " || ".join(filter(None, articles))}, summary)


def newsroom(id: str, row: Row) -> Example:
    """newsroom."""
    return example(id, {"title": row["title"], "text": row["text"]}, row["summary"])


def samsum(id: str, row: Row) -> Example:
    """samsum: messages stay apart by a sign that T5 can write."""
    lines = [tidy(line) for line in row["dialogue"].splitlines()]
    return example(id, {"dialogue": " | ".join(filter(None, lines))}, row["summary"])


def rotten_tomatoes(id: str, row: Row) -> Example:
    """opinion_abstracts/rotten_tomatoes: critics' sentences and their consensus."""
    fields = {"movie": row["_movie_name"], "reviews": _listed(row["_critics"]["value"])}
    return example(id, fields, row["_critic_consensus"])


def idebate(id: str, row: Row) -> Example:
    """opinion_abstracts/idebate: arguments and the claim they support."""
    fields = {
        "debate": row["_debate_name"].replace("_", " "),
        "arguments": _listed(row["_argument_sentences"]["value"]),
    }
    return example(id, fields, row["_claim"])


def _listed(texts: Sequence[str]) -> str:
    return " - ".join(filter(None, map(tidy, texts)))


def wiki_lingua(id: str, row: Row) -> Example:
    """gem/wiki_lingua_english_en."""
    return _generated(id, {"source": row["source"]}, row)


def _generated(id: str, fields: dict[str, str], row: Row) -> Example:
    """GEM's rows: a target and references; its evaluation splits may have references alone."""
    texts = [text for text in (row["target"], *row["references"]) if tidy(text)]
    if not texts:
        raise RowError("empty answer", "neither target nor references have text")
    return example(id, fields, texts[0], references=texts)


def common_gen(id: str, row: Row) -> Example:
    """gem/common_gen."""
    return _generated(id, {"concepts": ", ".join(map(tidy, row["concepts"]))}, row)


def dart(id: str, row: Row) -> Example:
    """gem/dart: its triples come as flat text."""
    return _generated(id, {"triples": _joined(row["tripleset"])}, row)


def web_nlg(id: str, row: Row) -> Example:
    """gem/web_nlg_en: triples as "subject | property | object"."""
    return _generated(id, {"triples": _joined(row["input"])}, row)


def _joined(triples: Sequence[str]) -> str:
    return "; ".join(tidy(triple.replace("_", " ")) for triple in triples)


def e2e_nlg(id: str, row: Row) -> Example:
    """gem/e2e_nlg: "name[The Mill], food[Fast food], ..."."""
    return _generated(id, {"meaning": row["meaning_representation"]}, row)


LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "ro": "Romanian",
    "ru": "Russian",
    "tr": "Turkish",
}
WRITABLE = frozenset({"de", "en", "fi", "fr", "ro"})
"""Languages whose letters T5's vocabulary has (measured; Spanish lacks two of its own)."""


def translation(id: str, row: Row) -> Example:
    """A pair of sentences, by language code. Half of the rows ask for each direction.

    A language that T5's vocabulary cannot write is only ever read, so that no target teaches
    the model to write unknown pieces.
    """
    codes = sorted(row)
    targets = [code for code in codes if code in WRITABLE]
    if len(codes) != 2 or not targets or not set(codes) <= set(LANGUAGES):
        raise RowError("unknown languages", f"{codes}")
    target = Draws("direction", id).choice(targets)
    (source,) = (code for code in codes if code != target)
    fields = {
        "text": row[source],
        "source_language": LANGUAGES[source],
        "target_language": LANGUAGES[target],
    }
    return example(id, fields, row[target])


def true_case(id: str, row: Row) -> Example:
    """English sentences of para_crawl/enda, shown in lower case."""
    return _damaged(id, row, str.lower)


def fix_punct(id: str, row: Row) -> Example:
    """English sentences of para_crawl/enda, shown without punctuation."""
    return _damaged(id, row, lambda text: _NOT_WORD.sub("", text))


def word_segment(id: str, row: Row) -> Example:
    """English sentences of para_crawl/enda, shown without spaces."""
    return _damaged(id, row, lambda text: text.replace(" ", ""))


def _damaged(id: str, row: Row, damage: Callable[[str], str]) -> Example:
    """Raises RowError where there is nothing to restore."""
    text = tidy(row["en"])
    shown = tidy(damage(text))
    if shown == text:
        raise RowError("nothing to restore", "the sentence looks the same either way")
    return example(id, {"text": shown}, text)
