"""What goes with words that are taken out of a caption: by the parts that the words and signs around them play.

A rule sees classes alone, three to each side, the nearest first. What it cannot mend it refuses, with the reason.
"""

from functools import lru_cache
from typing import NamedTuple

from vergence.curation.codes import (
    ADJECTIVE,
    ARTICLE,
    ATTRIBUTE,
    CLOSE,
    COLON,
    COMMA,
    COMPOUND,
    CONJUNCTION,
    CONTRADICTED,
    COPULA,
    DETERMINER,
    EMPTIED,
    END,
    GLUE,
    HEAD,
    INFLECTED,
    INTENSIFIER,
    MARKUP,
    NEGATED,
    NEGATION,
    NO_FORM,
    NO_PLACE,
    NONE,
    NOUN,
    OF,
    OPEN,
    OVERLAP,
    PAINTED,
    PREDICATE,
    PREPOSITION,
    REPLACED,
    SIGN,
    SLASH,
    START,
    STOP,
    TANGLED,
    THING,
    VERB,
    WORD,
)

REASONS = {
    NEGATED: "it is negated",
    COMPOUND: "it is part of a compound word, such as red-haired or dog's",
    HEAD: "it is the noun of its phrase, and nothing would be left to carry the rest",
    PREDICATE: "it is what the sentence says of its subject",
    EMPTIED: "the caption would be empty without it",
    MARKUP: "it is inside a tag of HTML",
    OVERLAP: "its words are also another factor's",
    NO_FORM: "the other value has no form of that inflection",
    TANGLED: "edits of several mentions would overlap",
    NO_PLACE: "the caption has no words to add to",
    CONTRADICTED: "the caption denies what the label says",
}
"""Why a mention was left as it was, by number."""

Side = tuple[int, int, int]
_NAMED = (WORD, ADJECTIVE, NOUN)
_MODIFIED = (*_NAMED, INFLECTED, PAINTED)
_TAIL = (END, STOP, CLOSE, COLON)
_FOLLOWS = (*_TAIL, VERB, PREPOSITION, OF, COPULA, SIGN, OPEN, CONJUNCTION)


class Mend(NamedTuple):
    """How many tokens before and after go as well, or why the words stay."""

    left: int = 0
    right: int = 0
    reason: int = 0


@lru_cache(maxsize=1 << 16)
def mend(what: int, left: Side, right: Side) -> Mend:
    """What goes with a run of mentions.

    Args:
        what: `ATTRIBUTE`, `THING`, `THINGS` or `REPLACED`.
        left: Classes of the tokens before it, the nearest first.
        right: Classes of those after it.

    Example:
        >>> mend(ATTRIBUTE, (ADJECTIVE, ARTICLE, START), (WORD, END, NONE))  # an old [red] cup
        Mend(left=0, right=0, reason=0)
        >>> mend(ATTRIBUTE, (CONJUNCTION, ADJECTIVE, COMMA), (END, NONE, NONE))  # a ball, shiny [and red]
        Mend(left=1, right=0, reason=0)
        >>> mend(THING, (ARTICLE, START, NONE), (PREPOSITION, WORD, END))  # a [dog] on grass
        Mend(left=0, right=0, reason=3)
    """
    if GLUE in (left[0], right[0]):
        return Mend(reason=COMPOUND)
    for token in left:
        if token == NEGATION:
            return Mend(reason=NEGATED)
        if token not in (ADJECTIVE, INTENSIFIER, ARTICLE, DETERMINER, CONJUNCTION, WORD, INFLECTED):
            break
    if what == REPLACED:
        return Mend()
    if left[0] == INTENSIFIER:
        inner = mend(what, (left[1], left[2], WORD if left[2] not in (START, NONE) else NONE), right)
        return inner if inner.reason else inner._replace(left=inner.left + 1)
    if left[0] == START and (right[0] == END or (right[0] == STOP and right[1] == END)):
        return Mend(reason=EMPTIED)
    if right[0] in (_MODIFIED if what == ATTRIBUTE else _NAMED if what == THING else (NOUN,)):
        return _modifier(left)
    if right[0] == SLASH:
        return Mend(0, 1)
    if right[0] == CONJUNCTION:
        return _joined(what, left, right)
    if right[0] == COMMA:
        return _listed(what, left, right)
    return _last(what, left, right)


def _modifier(left: Side) -> Mend:
    """Words before the noun that they modify."""
    if left[0] == COPULA:
        return Mend(reason=PREDICATE)
    if left[0] == COMMA and left[1] == ADJECTIVE:
        return Mend(1, 0)
    if left[0] == CONJUNCTION and left[1] in (ADJECTIVE, COMMA):
        return Mend(1 if left[1] == ADJECTIVE else 2, 0)
    return Mend()


def _joined(what: int, left: Side, right: Side) -> Mend:
    """Words before a conjunction."""
    if left[0] == COMMA and left[1] == ADJECTIVE and right[1] in _MODIFIED and what == ATTRIBUTE:
        return Mend(1, 0)
    if right[1] in (ARTICLE, DETERMINER) and left[0] in (ARTICLE, DETERMINER):
        return Mend(1, 1) if what != ATTRIBUTE else Mend(reason=HEAD)
    if left[0] in (START, STOP, COMMA, COLON, OPEN, OF):
        return Mend(0, 1)
    if right[1] in (*_MODIFIED, INTENSIFIER):
        if left[0] in (ARTICLE, DETERMINER, PREPOSITION, CONJUNCTION, COPULA, PAINTED):
            return Mend(0, 1)
        if what == ATTRIBUTE and left[0] == ADJECTIVE:
            return Mend()
    return _last(what, left, right)


def _listed(what: int, left: Side, right: Side) -> Mend:
    """Words before a comma."""
    before = left[0]
    if before in (START, STOP, COLON, OPEN, OF):
        return Mend(0, 1)
    if before == COMMA:
        return Mend(1, 0)
    if before in (ARTICLE, DETERMINER) and what == ATTRIBUTE and right[1] in _MODIFIED:
        return Mend(0, 1)
    if before == ADJECTIVE and what == ATTRIBUTE and right[1] in _MODIFIED:
        return Mend()
    return _last(what, left, (COLON, right[1], right[2]))


def _last(what: int, left: Side, right: Side) -> Mend:
    """Words at the end of their phrase."""
    before, ends = left[0], right[0] in _TAIL
    if right[0] not in _FOLLOWS and not (what == ATTRIBUTE and before in (COMMA, COLON)):
        return Mend(reason=HEAD)
    if before in (START, STOP):
        return Mend(0, 1) if right[0] in (COLON, STOP) else Mend(reason=HEAD)
    if before == OPEN:
        return Mend(1, 1) if right[0] == CLOSE else Mend(reason=HEAD)
    if before in (COMMA, COLON, SLASH):
        return Mend(1, 0) if ends or what == ATTRIBUTE else Mend(reason=HEAD)
    if before == CONJUNCTION:
        return Mend(2 if left[1] == COMMA else 1, 0) if ends or what == ATTRIBUTE else Mend(reason=HEAD)
    if before in (OF, PREPOSITION):
        if left[1] in (START, STOP):
            return Mend(reason=EMPTIED if right[0] == END else HEAD)
        return Mend(1, 0) if ends or what == ATTRIBUTE else Mend(reason=HEAD)
    if before in (ARTICLE, DETERMINER):
        whole = ends and left[1] in (OF, PREPOSITION) and left[2] not in (START, STOP)
        return Mend(2, 0) if whole else Mend(reason=HEAD)
    if before == COPULA:
        return Mend(1, 0) if what == ATTRIBUTE and left[1] in (WORD, INFLECTED, NOUN) else Mend(reason=PREDICATE)
    if before == PAINTED and what == ATTRIBUTE:
        return Mend(1, 0)
    if before in (WORD, INFLECTED, NOUN, CLOSE, SIGN) and what == ATTRIBUTE:
        return Mend()
    return Mend(reason=HEAD)
