"""What a word character is, which characters differ by case alone, which are one space, and which are not there.

Word characters are letters, marks, decimal digits and the underscore. Everything else ends a word: apostrophe, hyphen,
emoji. Case is Unicode's *simple* folding, one code point to one: ſ is s, the Kelvin sign is k, ß stays apart from ss.
One addition: İ, which folds only to two code points, or for Turkish alone, folds to i; ı stays itself. A run of white
space is one space. Characters that only say where a line may break or which way text runs are as if they were not
there; Unicode's segmentation of words (UAX 29, rule WB4) passes over them likewise, and breaks at U+200B.
"""

import unicodedata
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int32

CODE_POINTS = 0x110000
# Unicode's White_Space, and the zero-width space, which too stands between words.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200C)))
# Soft hyphen, marks and overrides of direction, word joiner and its invisible kin, byte-order mark. The joiners U+200C
# and U+200D are there: they tell words of Persian and emoji apart.
INVISIBLE = "\xad\u061c\u200e\u200f\ufeff" + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x2070))))

_WORDS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd"})  # letters, marks, decimal digits


@lru_cache(maxsize=1)
def word_table() -> Bool[np.ndarray, " code_points"]:
    """Whether each code point is a word character.

    Returns:
        A read-only table indexed by code point.

    Example:
        >>> [bool(word_table()[ord(c)]) for c in "aé7_'-"]
        [True, True, True, True, False, False]
    """
    categories = map(unicodedata.category, map(chr, range(CODE_POINTS)))
    table = np.fromiter((category in _WORDS for category in categories), np.bool_, CODE_POINTS)
    table[ord("_")] = True
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1)
def fold_table() -> Int32[np.ndarray, " code_points"]:
    """The simple case folding of each code point.

    Returns:
        A read-only table indexed by code point; an entry is the code point that it folds to.
    """
    table = np.arange(CODE_POINTS, dtype=np.int32)
    for code in range(CODE_POINTS):
        character = chr(code)
        folded = character.casefold()
        if folded != character:
            table[code] = ord(_simple(character, folded))
    table.flags.writeable = False
    return table


def _simple(character: str, folded: str) -> str:
    if character == "İ":
        return "i"
    if len(folded) == 1:
        return folded
    # Full folding expands this one (ẞ to ss); its simple folding, where it has one, is its lower case (ß).
    lower = character.lower()
    return lower if len(lower) == 1 else character


def fold(text: str) -> str:
    """Fold a text code point by code point, so that its length and every position stay the same.

    Example:
        >>> fold("ſTRAẞE in İzmir")
        'straße in izmir'
    """
    table = fold_table()
    return "".join(chr(table[ord(character)]) for character in text)


def compared(text: str) -> str:
    r"""A form as it is compared: folded, without invisible characters, each run of white space one space, none outside.

    Example:
        >>> compared(" Hot\xa0\n dog ham\xadster")
        'hot dog hamster'
    """
    spaces = dict.fromkeys(map(ord, WHITE_SPACE), " ")
    words = fold(text).translate(spaces | dict.fromkeys(map(ord, INVISIBLE), "")).split(" ")
    return " ".join(filter(None, words))
