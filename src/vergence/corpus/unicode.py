"""What a word character is and which characters differ by case alone, from the Unicode tables of the interpreter.

Word characters are letters, marks, decimal digits and the underscore. Everything else ends a word: apostrophe, hyphen,
emoji. Case is Unicode's *simple* folding, one code point to one: ſ is s, the Kelvin sign is k, ß stays apart from ss.
One addition: İ, which folds only to two code points, or for Turkish alone, folds to i; ı stays itself.
"""

import unicodedata
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int32

CODE_POINTS = 0x110000


@lru_cache(maxsize=1)
def word_table() -> Bool[np.ndarray, " code_points"]:
    """Whether each code point is a word character.

    Returns:
        A read-only table indexed by code point.

    Example:
        >>> [bool(word_table()[ord(c)]) for c in "aé7_'-"]
        [True, True, True, True, False, False]
    """
    table = np.fromiter((is_word(chr(code)) for code in range(CODE_POINTS)), np.bool_, CODE_POINTS)
    table.flags.writeable = False
    return table


def is_word(character: str) -> bool:
    """Whether one character is a letter, a mark, a decimal digit or the underscore."""
    category = unicodedata.category(character)
    return category[0] in "LM" or category == "Nd" or character == "_"


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
