"""The definition of a match, transcribed without any of the code under test."""

from functools import cache, lru_cache
from unicodedata import category

# Unicode's White_Space (PropList.txt) and U+200B; then what is not there.
SPACES = [chr(code) for code in (
    *range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0x200B,
)]  # fmt: skip
ABSENT = [chr(code) for code in (
    0xAD, 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
)]  # fmt: skip


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
def there(text: str) -> tuple[str, list[int]]:
    """The characters that are compared, and the place of each in the text; of a run of white space only the first."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        compared = _compared(character)
        if compared and not (compared == " " and characters[-1:] == [" "]):
            characters.append(compared)
            places.append(place)
    return "".join(characters), places


@cache
def _compared(character: str) -> str:
    return "" if character in ABSENT else " " if character in SPACES else folded(character)


def trimmed(form: str) -> str:
    return there(form)[0].strip(" ")


def occurrences(caption: str, form: str, *, whole_words: bool = True) -> list[tuple[int, int]]:
    text, places = there(caption)
    wanted = trimmed(form)
    found = []
    start = text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        inside = (start > 0 and is_word(caption[places[start - 1]])) or (
            end < len(text) and is_word(caption[places[end]])
        )
        if not (whole_words and inside):
            found.append((places[start], places[end - 1] + 1))
        start = text.find(wanted, start + 1)
    return found


def mentioned(caption: str, concepts: list[tuple[str, ...]], *, whole_words: bool = True) -> frozenset[int]:
    return frozenset(
        number
        for number, forms in enumerate(concepts)
        if any(occurrences(caption, form, whole_words=whole_words) for form in forms)
    )


def said_and_denied(
    caption: str, forms: tuple[str, ...], exclude: tuple[str, ...], cues: tuple[str, ...], *, whole_words: bool = True
) -> tuple[bool, bool]:
    """Whether a caption mentions a concept, and whether it does so only right after a cue."""

    def places(phrases: tuple[str, ...]) -> list[tuple[int, int]]:
        return [place for phrase in phrases for place in occurrences(caption, phrase, whole_words=whole_words)]

    excluded = places(exclude)
    ends = {end for _, end in places(tuple(cue + word for cue in cues for word in ("", " a", " an", " any", " the")))}
    said = denied = False
    for start, end in places(forms):
        if any(a <= start and end <= b for a, b in excluded):
            continue
        gap = 0
        while start > gap and caption[start - gap - 1] in (*SPACES, *ABSENT):
            gap += 1
        negated = start - gap in ends and any(c in SPACES for c in caption[start - gap : start])
        said, denied = said or not negated, denied or negated
    return said, denied and not said
