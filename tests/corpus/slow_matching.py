"""The definition of a match, transcribed without any of the code under test."""

from unicodedata import category


def is_word(character: str) -> bool:
    return category(character)[0] in ("L", "M") or category(character) == "Nd" or character == "_"


def folded(character: str) -> str:
    """Unicode's simple folding, with İ as i."""
    if character == "İ":
        return "i"
    full = character.casefold()
    if len(full) == 1:
        return full
    lower = character.lower()
    return lower if len(lower) == 1 else character


def occurrences(caption: str, form: str, *, whole_words: bool = True) -> list[tuple[int, int]]:
    text, wanted = [folded(c) for c in caption], [folded(c) for c in form]
    found = []
    for start in range(len(text) - len(wanted) + 1):
        end = start + len(wanted)
        if text[start:end] != wanted:
            continue
        inside = (start > 0 and is_word(caption[start - 1])) or (end < len(caption) and is_word(caption[end]))
        if not (whole_words and inside):
            found.append((start, end))
    return found


def mentioned(caption: str, concepts: list[tuple[str, ...]], *, whole_words: bool = True) -> frozenset[int]:
    return frozenset(
        number
        for number, forms in enumerate(concepts)
        if any(occurrences(caption, form, whole_words=whole_words) for form in forms)
    )
