"""One text with a label, or the likely continuation of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flan_t5x.data.definitions import Example, RowError

from .common import chosen, classified, tidy

Row = dict[str, Any]

SENTIMENTS = ("negative", "positive")
_POLARITY = {0: 0, 4: 1}
_BREAK = "<br />"
_GAPS = (" [header] ", " [title] ", " [step] ", " [substeps] ")


def review(id: str, row: Row) -> Example:
    """imdb_reviews, yelp_polarity_reviews: classes are negative, positive."""
    text = row["text"].replace(_BREAK, " ").replace("\\n", " ")
    return classified(id, {"text": text}, SENTIMENTS, row["label"])


def sentiment140(id: str, row: Row) -> Example:
    """sentiment140: 0 is negative, 4 positive; the test split also has neutral tweets (2)."""
    if row["polarity"] not in _POLARITY:
        raise RowError("neutral or unknown label", f"polarity {row['polarity']}")
    return classified(id, {"text": row["text"]}, SENTIMENTS, _POLARITY[row["polarity"]])


def sst2(id: str, row: Row) -> Example:
    """glue/sst2."""
    return classified(id, {"sentence": row["sentence"]}, SENTIMENTS, row["label"])


def cola(id: str, row: Row) -> Example:
    """glue/cola."""
    names = ("unacceptable", "acceptable")
    return classified(id, {"sentence": row["sentence"]}, names, row["label"])


TREC = ("description", "entity", "abbreviation", "person", "number", "location")
"""What the six coarse classes DESC, ENTY, ABBR, HUM, NUM, LOC stand for (Li and Roth 2002)."""


def trec(id: str, row: Row) -> Example:
    """trec by its coarse classes."""
    return classified(id, {"question": row["text"]}, TREC, row["label-coarse"])


NEWS = ("World", "Sports", "Business", "Science")


def ag_news(id: str, row: Row) -> Example:
    """ag_news_subset; its backslashes stand where the agency's lines ended."""
    names = {"title": "title", "text": "description"}
    fields = {field: row[name].replace("\\", " ") for field, name in names.items()}
    return classified(id, fields, NEWS, row["label"])


def copa(id: str, row: Row) -> Example:
    """super_glue/copa: `question` is "cause" or "effect"."""
    relation = row["question"]
    if relation not in ("cause", "effect"):
        raise RowError("unknown relation", f"{relation!r} is neither cause nor effect")
    asked = "Why did this happen?" if relation == "cause" else "What happened because of this?"
    fields = {"premise": row["premise"], "relation": relation, "asked": asked}
    return chosen(id, fields, (row["choice1"], row["choice2"]), row["label"])


def hellaswag(id: str, row: Row) -> Example:
    """hellaswag; the brackets that WikiHow rows keep from their web pages are dropped."""

    def plain(text: str) -> str:
        text = f" {text} "
        for gap in _GAPS:
            text = text.replace(gap, " ")
        return tidy(text)

    fields = {"context": plain(row["context"]), "activity": row["activity_label"]}
    return chosen(id, fields, [plain(ending) for ending in row["endings"]], row["label"])


def piqa(id: str, row: Row) -> Example:
    """piqa: a goal and two ways to it."""
    return chosen(id, {"goal": row["goal"]}, (row["sol1"], row["sol2"]), row["label"])


def story_cloze(id: str, row: Row) -> Example:
    """story_cloze: the right ending is counted from 1."""
    index = row["label"] - 1 if row["label"] > 0 else -1
    return chosen(id, {"context": row["context"]}, row["endings"], index)


def cosmos_qa(id: str, row: Row) -> Example:
    """cosmos_qa; rows may offer "None of the above" as an answer like any other."""
    choices: Sequence[str] = [row[f"answer{i}"] for i in range(4)]
    fields = {"context": row["context"], "question": row["question"]}
    return chosen(id, fields, choices, row["label"])
