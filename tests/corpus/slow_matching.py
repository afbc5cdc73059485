"""The definition of a match, transcribed without any of the code under test."""

from functools import cache, lru_cache
from unicodedata import category


@cache
def is_word(character: str) -> bool:
    return category(character)[0] in ("L", "M") or category(character) == "Nd" or character == "_"


@cache
def folded(character: str) -> str:
    """Unicode's simple folding, with İ as i."""
    if character == "İ":
        return "i"
    full = character.casefold()
    if len(full) == 1:
        return full
    lower = character.lower()
    return lower if len(lower) == 1 else character


@lru_cache(maxsize=1000)
def folded_text(text: str) -> str:
    return "".join(map(folded, text))


def occurrences(caption: str, form: str, *, whole_words: bool = True) -> list[tuple[int, int]]:
    text, wanted = folded_text(caption), folded_text(form)
    found = []
    start = text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        inside = (start > 0 and is_word(caption[start - 1])) or (end < len(caption) and is_word(caption[end]))
        if not (whole_words and inside):
            found.append((start, end))
        start = text.find(wanted, start + 1)
    return found


def mentioned(caption: str, concepts: list[tuple[str, ...]], *, whole_words: bool = True) -> frozenset[int]:
    return frozenset(
        number
        for number, forms in enumerate(concepts)
        if any(occurrences(caption, form, whole_words=whole_words) for form in forms)
    )
