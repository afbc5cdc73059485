"""Which part a word or sign plays beside a mention: the classes that mending tells apart, and the words of each.

English, as captions write it. A word of no list is `WORD`; of a lexicon's own forms adjectives and nouns are known.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8, UInt64

from vergence.corpus.unicode import CODE_POINTS, INVISIBLE, WHITE_SPACE, word_table
from vergence.curation.codes import (
    ADJECTIVE,
    ARTICLE,
    CONJUNCTION,
    COPULA,
    DETERMINER,
    IN_WORD,
    INTENSIFIER,
    INVISIBLE_SIGN,
    NEGATION,
    NOUN,
    OF,
    PAINTED,
    PREPOSITION,
    PRONOUN,
    VERB,
    WHITE,
    WORD,
)

_WORDS: Mapping[int, str] = MappingProxyType(
    {
        ARTICLE: "a an",
        DETERMINER: (
            "the this these those my your his her its our their some any each every both all several many few one"
            " two three four five six seven eight nine ten another other same certain various pair"
        ),
        CONJUNCTION: "and or but nor plus n",
        PREPOSITION: (
            "in on at by with from to into onto over under near behind beside between through for as against across"
            " along around above below inside outside within towards toward upon among amid during before after off"
            " out up down via per like about including without"
        ),
        OF: "of showing depicting featuring portraying displaying",
        COPULA: (
            "is are was were be been being am looked seems seem appears appear becomes become turns turn"
            " turned goes remains remain stays has have had"
        ),
        INTENSIFIER: (
            "very so too quite really rather extremely fully completely entirely mostly partly partially slightly"
            " somewhat almost nearly totally all-over predominantly mainly bright brightly pale deep vivid"
        ),
        NEGATION: "no not never neither none without lacking minus t cannot non hardly",
        ADJECTIVE: (
            "big small large little tiny huge giant tall short long wide narrow thick thin old new young ancient modern"
            " vintage antique round square flat curved shiny glossy matte smooth rough soft hard fluffy furry fuzzy"
            " beautiful pretty cute lovely nice fresh ripe dry wet clean dirty dark light warm cold hot cool bold"
            " plain simple striped spotted dotted checkered plaid patterned decorative ornate elegant fancy rustic"
            " wooden metal metallic plastic glass stone brick leather cotton golden silver open closed empty full happy"
            " sad angry stylized abstract colorful colourful transparent translucent traditional classic retro"
            " heavy sharp bent broken rusty dusty sunny cloudy quiet busy crowded whole single double"
        ),
        PRONOUN: "it he she they we you i what there here everything something nothing everyone him them us",
        VERB: (
            "sits stands walks runs plays rides holds wears eats jumps flies lies sleeps looks smiles swims carries"
            " drives works waits leans hangs shows poses sitting standing walking running playing riding holding"
            " wearing eating jumping flying lying laying sleeping looking smiling swimming carrying"
            " driving working waiting"
            " leaning hanging posing grazing parked wears stand sit hang lie covered filled surrounded topped seen"
            " shown made placed used can will may which while when where who that"
        ),
        PAINTED: "painted coloured colored dyed tinted lit highlighted outlined printed drawn coated",
    }
)


def word_classes(
    adjectives: Iterable[str] = (), nouns: Iterable[str] = ()
) -> tuple[UInt64[np.ndarray, " slots"], UInt8[np.ndarray, " slots"]]:
    """The digests of words in slots, and the class of each: a word is in the first free slot from its digest on.

    Args:
        adjectives: More of them, in lower case.
        nouns: Likewise; what is listed above stays what it is.

    Returns:
        A power of two of slots, 0 and `WORD` where they are free; at least three in four are.
    """
    classes = dict.fromkeys(adjectives, ADJECTIVE) | dict.fromkeys(nouns, NOUN)
    classes |= {word: kind for kind, words in _WORDS.items() for word in words.split()}
    n_slots = 1 << (4 * len(classes)).bit_length()
    digests, kinds = np.zeros(n_slots, dtype=np.uint64), np.full(n_slots, WORD, dtype=np.uint8)
    for word, kind in classes.items():
        digest = word_digest(word)
        slot = digest & n_slots - 1
        while digests[slot]:
            slot = (slot + 1) & n_slots - 1
        digests[slot], kinds[slot] = digest, kind
    return digests, kinds


def word_digest(word: str) -> int:
    """The 64-bit FNV-1a digest of a word, as the kernels compute it."""
    digest = 0xCBF29CE484222325
    for byte in word.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return digest


def sign_kinds() -> UInt8[np.ndarray, " code_points"]:
    """What each code point is: `IN_WORD`, `WHITE`, `INVISIBLE_SIGN` or `OTHER_SIGN`."""
    kinds = np.zeros(CODE_POINTS, dtype=np.uint8)
    kinds[word_table()] = IN_WORD
    kinds[[ord(character) for character in WHITE_SPACE]] = WHITE
    kinds[[ord(character) for character in INVISIBLE]] = INVISIBLE_SIGN
    return kinds
