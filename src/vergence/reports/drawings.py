"""Parts of pages on captions of pictures: what was learned, what a query finds, what was written."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from vergence.reports.finding import DOES, Says, board
from vergence.reports.page import data_uri, environment
from vergence.reports.words import capitalised, listed, show, words

Images = Mapping[str, bytes]
"""WebP by code; a missing one leaves its label."""


def learned(scores: pd.DataFrame, says: Says) -> Markup:
    """What each captions taught of each factor, between floor and ceiling.

    Args:
        scores: As for `board`.
        says: What each captions do with each factor.
    """
    rows = board(scores)
    for row in rows:
        row["does"] = does(says.get(row["name"], {}))
    return _macro("board", rows, list(dict.fromkeys(scores["factor"])))


def does(said: Mapping[str, str]) -> str:
    """What captions do with their factors, in a line.

    Example:
        >>> does({"skin_tone": "omitted", "gender": "named"})
        'gender named; skin tone never mentioned'
    """
    parts = []
    for kind, phrase in DOES.items():
        if names := [words(factor) for factor, what in said.items() if what == kind]:
            parts.append("all named" if kind == "named" and len(names) == len(said) else f"{listed(names)} {phrase}")
    return "; ".join(parts)


def retrieval(found: Mapping[str, Sequence[Mapping[str, Any]]], images: Images) -> Markup:
    """What queries find, captions by captions.

    Args:
        found: By captions, for each query: query, wanted (value by factor) and hits: hexcode, label, factors.
        images: Pictures of the hits.
    """
    first = next(iter(found.values()), ())
    examples = []
    for place, example in enumerate(first):
        policies = []
        for name, queries in found.items():
            items = [_item(item, example["wanted"], images) for item in queries[place]["hits"]]
            policies.append({"name": name, "items": items, "matching": sum(item["hit"] for item in items)})
        examples.append({"query": example["query"], "policies": policies})
    return _macro("retrieval", examples)


def written(captions: Mapping[str, Sequence[Mapping[str, str]]], images: Images) -> Markup:
    """What was written about the same few pictures.

    Args:
        captions: By captions, for each picture: hexcode, label and caption.
        images: The pictures.
    """
    pictures: dict[str, dict[str, Any]] = {}
    for name, examples in captions.items():
        for example in examples:
            code = example["hexcode"]
            entry = pictures.setdefault(code, {"label": example["label"], "image": _uri(images, code), "written": []})
            entry["written"].append((name, example["caption"]))
    return _macro("captions", list(pictures.values()))


def _item(item: Mapping[str, Any], wanted: Mapping[str, str], images: Images) -> dict[str, Any]:
    marks = [
        (item["factors"].get(factor) == value, str(item["factors"].get(factor) or f"no {words(factor)}"))
        for factor, value in wanted.items()
    ]
    hit = all(right for right, _ in marks)
    return {"label": item["label"], "image": _uri(images, item["hexcode"]), "marks": marks, "hit": hit}


def _uri(images: Images, code: str) -> str:
    return data_uri("image/webp", images[code]) if code in images else ""


def _macro(name: str, *arguments: Any) -> Markup:
    prepared = environment()
    prepared.filters |= {"words": words, "capitalised": capitalised, "show": show}
    filled: Markup = getattr(prepared.get_template("drawings.html.j2").module, name)(*arguments)
    return filled
