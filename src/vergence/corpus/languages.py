"""Which language a caption looks written in: by its letters, and in Latin letters by its most frequent words.

No dictionary and no model: captions are told apart by some fifty words of each language and by the scripts that one
language, or a few, are written in. What is too short or too mixed to say is undecided.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from math import log
from types import MappingProxyType

import numpy as np
from jaxtyping import Int8, Int64

from vergence.corpus.stop_words import STOP_WORDS
from vergence.corpus.unicode import CODE_POINTS

ENGLISH = "English"
UNDECIDED = ""

_LATIN, _HAN, _KANA = "Latin", "Chinese", "Japanese"
_RANGES = {
    _LATIN: ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F),
             (0x1E00, 0x1EFF), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    _HAN: ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F)),
    _KANA: ((0x3041, 0x3096), (0x30A1, 0x30FA), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)),
    "Korean": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7A3)),
    "Cyrillic (such as Russian)": ((0x400, 0x481), (0x48A, 0x52F)),
    "Greek": ((0x370, 0x373), (0x376, 0x377), (0x37B, 0x37D), (0x386, 0x386), (0x388, 0x3FF), (0x1F00, 0x1FFF)),
    "Arabic script (such as Arabic, Persian)": ((0x620, 0x64A), (0x66E, 0x6D3), (0x6FA, 0x6FF), (0x750, 0x77F),
                                               (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "Hebrew": ((0x5D0, 0x5EA), (0xFB1D, 0xFB4F)),
    "Devanagari (such as Hindi)": ((0x904, 0x939), (0x958, 0x961)),
    "Bengali": ((0x985, 0x9B9), (0x9DC, 0x9E1)),
    "Tamil": ((0xB85, 0xBB9),),
    "Telugu": ((0xC05, 0xC39),),
    "Thai": ((0xE01, 0xE30), (0xE32, 0xE33), (0xE40, 0xE46)),
    "Georgian": ((0x10A0, 0x10FF),),
    "Armenian": ((0x531, 0x587),),
    "another script": ((0xA80, 0xAFF), (0xB00, 0xB7F), (0xC80, 0xCFF), (0xD00, 0xDFF), (0xE81, 0xFFF),
                       (0x1000, 0x109F), (0x1200, 0x139F), (0x1780, 0x17FF), (0x1800, 0x18AF)),
}  # fmt: skip
SCRIPTS = tuple(_RANGES)
UNSPACED = (_HAN, _KANA, "Thai", "another script")
"""Scripts in which words do not, or may not, stand apart."""

_DENSE = 3  # a letter of these says as much as so many of an alphabet
_WEIGHTS = np.array([_DENSE if name in (_HAN, _KANA, "Korean") else 1 for name in SCRIPTS])
_FLOOR = 4e-4  # share of a language's words that a word on another's list has by chance
_MARGIN = log(20)  # odds at which a caption's words decide


def languages_of(words: Sequence[Sequence[str]], letters: Int64[np.ndarray, "captions scripts"]) -> list[str]:
    """The language that each caption looks written in.

    Args:
        words: Of each caption, folded.
        letters: How many letters of each of `SCRIPTS` a caption holds.

    Returns:
        For each a name, or "" where it is too short or too mixed to say.

    Example:
        >>> captions = ["ein Hund auf der Straße".split(), ["dog"], ["狗在海滩上"]]
        >>> languages_of(captions, np.stack([letters_of("".join(words)) for words in captions]))
        ['German', '', 'Chinese']
    """
    weighed = letters * _WEIGHTS
    most, total = weighed.argmax(axis=1), weighed.sum(axis=1)
    clear = (2 * weighed.max(axis=1, initial=0) > total) & (letters.sum(axis=1) >= 2)
    japanese = (letters[:, SCRIPTS.index(_KANA)] > 0) & (
        2 * weighed[:, [SCRIPTS.index(_HAN), SCRIPTS.index(_KANA)]].sum(axis=1) > total
    )
    found = []
    for own, script, is_clear, is_japanese in zip(words, most.tolist(), clear.tolist(), japanese.tolist(), strict=True):
        if is_japanese:
            found.append(_KANA)
        elif not is_clear:
            found.append(UNDECIDED)
        else:
            found.append(_by_words(own) if SCRIPTS[script] == _LATIN else SCRIPTS[script])
    return found


def letters_of(text: str) -> Int64[np.ndarray, " scripts"]:
    """How many letters of each script a text holds."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    return np.bincount(script_table()[codes], minlength=len(SCRIPTS) + 1)[1:]


@lru_cache(maxsize=1)
def script_table() -> Int8[np.ndarray, " code_points"]:
    """The script of each code point: 1 + its place in `SCRIPTS`, 0 for what is no letter of one of them."""
    table = np.zeros(CODE_POINTS, dtype=np.int8)
    for number, ranges in enumerate(_RANGES.values(), start=1):
        for first, last in ranges:
            table[first : last + 1] = number
    table[[0xD7, 0xF7]] = 0
    table.flags.writeable = False
    return table


def _evidence() -> Mapping[str, Mapping[str, float]]:
    """By word the languages that have it on their list, and the log odds with which it speaks for each.

    The n-th word of a list is taken to have a share of 0.1 / (n + 2) of its language's words, as Zipf's law has it.
    """
    table: dict[str, dict[str, float]] = {}
    for language, words in STOP_WORDS.items():
        for rank, word in enumerate(words):
            table.setdefault(word, {})[language] = log(max(0.1 / (rank + 3), 2 * _FLOOR) / _FLOOR)
    return MappingProxyType(table)


_EVIDENCE = _evidence()


def _by_words(words: Collection[str]) -> str:
    scores = dict.fromkeys(STOP_WORDS, 0.0)
    hits = dict.fromkeys(STOP_WORDS, 0)
    heard: set[str] = set()
    for word in words:
        heard.add(word)
        if not word.isascii():
            heard.update(letter for letter in word if not letter.isascii())
    for word in heard:
        for language, odds in _EVIDENCE.get(word, {}).items():
            scores[language] += odds
            hits[language] += 1
    best, second = sorted(scores, key=scores.__getitem__, reverse=True)[:2]
    return best if hits[best] >= 2 and scores[best] - scores[second] >= _MARGIN else UNDECIDED
