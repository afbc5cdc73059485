"""Drawings of Open Clip Art as rows: what each says, which of them belong together, and what is odd about them all."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vergence.data.clusters import link
from vergence.svg import Drawing

_FIELDS = {
    "caption": "title",
    "description": "description",
    "creator": "creator",
    "licence": "license",
    "language": "language",
}
_OFTEN = 20  # drawings of one title, from which on it names a collection rather than a drawing
_NUMBER = re.compile(r"_?-?\d+$")
_ESCAPED = re.compile(r"&#?\w+;")


def row_of(drawing: Drawing) -> dict[str, Any]:
    """The columns of a row that come from the file, `None` where its author stated nothing.

    Example:
        >>> row = row_of(Drawing(b"", {"title": ["Dot"], "subject": ["round", ""]}, outside=0))
        >>> row["caption"], row["keywords"], row["description"]
        ('Dot', ['round', ''], None)
    """
    said = {column: next(filter(None, drawing.said.get(field, ())), None) for column, field in _FIELDS.items()}
    keywords = drawing.said.get("subject", [])
    return {"image": drawing.image, **said, "keywords": keywords, "outside": drawing.outside}


def link_drawings(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Number the clusters of drawings that belong together.

    Drawings do if they have one title, whatever its case; if they are the same picture; or if they lie in one folder
    under one name but for the number at its end; and so on through all that are linked.

    Args:
        rows: With `key`, `caption` and `image`.

    Returns:
        The number of each row's cluster, from 0 in the order of the first rows.

    Example:
        >>> rows = [("a/cat_01", "Cat", b"1"), ("a/cat_02", "Tom", b"2"), ("b/pet", "tom", b"3"), ("b/cat", None, b"4")]
        >>> link_drawings([dict(zip(("key", "caption", "image"), row)) for row in rows])
        [0, 0, 0, 1]
    """
    titles = [row["caption"] and row["caption"].casefold() for row in rows]
    numbers: list[int] = link(
        titles, [row["image"] for row in rows], [_NUMBER.sub("", row["key"]) for row in rows]
    ).tolist()
    return numbers


def described(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is odd about the drawings, in numbers.

    Args:
        rows: With all columns of the corpus, and `outside`.

    Returns:
        Counts of rows, as JSON can hold them.
    """
    titles = Counter(row["caption"] for row in rows if row["caption"])
    often = {title: count for title, count in titles.most_common() if count >= _OFTEN}
    texts = ["caption", "description"]
    odd: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "copies": lambda row: row["copy_of"],
        "without a title": lambda row: not row["caption"],
        "without a description": lambda row: not row["description"],
        "without a keyword": lambda row: not any(row["keywords"]),
        "with an empty keyword": lambda row: "" in row["keywords"],
        "with letters escaped twice": lambda row: any(
            _ESCAPED.search(text) for text in [*row["keywords"], *(row[name] or "" for name in texts)]
        ),
        "with a title beyond ASCII": lambda row: not (row["caption"] or "").isascii(),
        "with pictures that are not in the file": lambda row: row["outside"],
    }
    clusters = Counter(row["cluster"] for row in rows)
    return {
        "mess": {
            **{name: sum(bool(is_so(row)) for row in rows) for name, is_so in odd.items()},
            f"of a title that {_OFTEN} or more have": sum(often.values()),
        },
        "titles": {"different": len(titles), "frequent": often},
        "clusters": {"number": len(clusters), "sizes of the largest": [n for _, n in clusters.most_common(5)]},
        "topics": _counted(row["topic"].split("/")[0] for row in rows),
        "licences": _counted(row["licence"] or "not stated" for row in rows),
        "languages, as stated": _counted(row["language"] or "not stated" for row in rows),
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    """How often each comes, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))
