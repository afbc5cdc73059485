"""The tokens to both sides of a mention, and the class of each; compiled by numba. Places are bytes."""

from typing import no_type_check

import numpy as np

from vergence.compiled import njit
from vergence.corpus.kernels import before, decode
from vergence.curation.codes import (
    ADJECTIVE,
    ARTICLE,
    CLOSE,
    COLON,
    COMMA,
    CONJUNCTION,
    DETERMINER,
    END,
    GLUE,
    IN_WORD,
    INFLECTED,
    INTENSIFIER,
    INVISIBLE_SIGN,
    NONE,
    OF,
    OPEN,
    OTHER_SIGN,
    PREPOSITION,
    SIGN,
    SLASH,
    START,
    STOP,
    WHITE,
    WORD,
)


@no_type_check
@njit(nogil=True, cache=True)
def back(data, i, start):
    """Where the character before a place begins."""
    i -= 1
    while i > start and (data[i] & 0xC0) == 0x80:
        i -= 1
    return i


@no_type_check
@njit(nogil=True, cache=True)
def code_at(data, i, end):
    """The code point at a place, and where the next begins."""
    if data[i] < 128:
        return np.int64(data[i]), i + 1
    return decode(data, i, end)


@no_type_check
@njit(nogil=True, cache=True)
def _sign(code, spaced, outer_spaced, leftwards):
    """The class of a sign: by whether white space parts it from the run, and from what is beyond it."""
    if code == 44 or code == 0x60C or code == 0x3001:
        return COMMA
    if code == 59 or code == 58 or code == 124 or code == 0x2014:
        return COLON
    if code == 45 or code == 0x2013:
        return COLON if spaced and outer_spaced else GLUE
    if code == 46 or code == 33 or code == 63 or code == 0x2026 or code == 0x3002:
        return STOP if (spaced if leftwards else outer_spaced) else GLUE
    if code == 40 or code == 91 or code == 123 or code == 0x201C or code == 0xAB or code == 0x2018:
        return OPEN
    if code == 41 or code == 93 or code == 125 or code == 0x201D or code == 0xBB:
        return CLOSE
    if code == 34:
        return OPEN if leftwards != spaced else CLOSE
    if code == 47:
        return SLASH
    if code == 39 or code == 0x2019:
        return GLUE
    if code == 38 or code == 43:
        return CONJUNCTION if spaced and outer_spaced else GLUE
    if not spaced and code < 128 and code != 60 and code != 62:
        return GLUE
    return SIGN


@no_type_check
@njit(nogil=True, cache=True)
def _word_class(data, first, last, digests, classes):
    if 48 <= data[first] <= 57:
        return DETERMINER
    digest = np.uint64(0xCBF29CE484222325)
    for i in range(first, last):
        b = data[i]
        if 65 <= b <= 90:
            b += 32
        digest = (digest ^ np.uint64(b)) * np.uint64(0x100000001B3)
    slot = digest & np.uint64(len(digests) - 1)
    while digests[slot]:
        if digests[slot] == digest:
            return np.int64(classes[slot])
        slot = (slot + np.uint64(1)) & np.uint64(len(digests) - 1)
    if last - first > 3:
        z, y, x = data[last - 1] | 32, data[last - 2] | 32, data[last - 3] | 32
        if (z == 103 and y == 110 and x == 105) or (z == 100 and y == 101):
            return INFLECTED
        if z == 115 and y != 115 and y != 117 and y != 105:
            return INFLECTED
    return WORD


@no_type_check
@njit(nogil=True, cache=True)
def joins(code):
    """Whether a sign between two letters makes one word of them: a hyphen or an apostrophe."""
    return code == 45 or code == 39 or code == 0x2019


@no_type_check
@njit(nogil=True, cache=True)
def _letter(data, i, kinds):
    """Whether a byte is a character of a word by itself, as most are."""
    byte = data[np.uint64(i)]
    return byte < 128 and kinds[np.uint64(byte)] == IN_WORD


@no_type_check
@njit(nogil=True, cache=True)
def token_left(data, start, end, i, kinds, digests, classes):
    """The class of the token before a place, and where it begins."""
    spaced, kind, p, code = False, OTHER_SIGN, i, np.int64(0)
    while i > start:
        code, p = before(data, i, start)
        kind = kinds[code]
        if kind == WHITE:
            spaced = True
        elif kind != INVISIBLE_SIGN:
            break
        i = p
    if i == start:
        return START, start
    if kind != IN_WORD:
        outer = p == start
        if not outer:
            beyond, _ = before(data, p, start)
            outer = kinds[beyond] != IN_WORD
        return _sign(code, spaced, outer, True), p
    first = p
    while first > start:
        while first > start and _letter(data, first - 1, kinds):
            first -= 1  # most of all
        if first == start:
            break
        code, p = before(data, first, start)
        if kinds[code] == IN_WORD or kinds[code] == INVISIBLE_SIGN:
            first = p
            continue
        if joins(code) and p > start:
            beyond, q = before(data, p, start)
            if kinds[beyond] == IN_WORD:
                first = q
                continue
        break
    return _word_class(data, first, i, digests, classes), first


@no_type_check
@njit(nogil=True, cache=True)
def token_right(data, end, i, kinds, digests, classes):
    """The class of the token after a place, and where it ends."""
    spaced, kind, q, code = False, OTHER_SIGN, i, np.int64(0)
    while i < end:
        code, q = code_at(data, i, end)
        kind = kinds[code]
        if kind == WHITE:
            spaced = True
        elif kind != INVISIBLE_SIGN:
            break
        i = q
    if i == end:
        return END, end
    if kind != IN_WORD:
        outer = q >= end
        if not outer:
            beyond, _ = code_at(data, q, end)
            outer = kinds[beyond] != IN_WORD
        return _sign(code, spaced, outer, False), q
    last = q
    while last < end:
        while last < end and _letter(data, last, kinds):
            last += 1  # most of all
        if last == end:
            break
        code, q = code_at(data, last, end)
        if kinds[code] == IN_WORD or kinds[code] == INVISIBLE_SIGN:
            last = q
            continue
        if joins(code) and q < end:
            beyond, after = code_at(data, q, end)
            if kinds[beyond] == IN_WORD:
                last = after
                continue
        break
    return _word_class(data, i, last, digests, classes), last


@no_type_check
@njit(nogil=True, cache=True)
def asks_for_third(nearest, second):
    """Whether any rule of mending looks at the third token to the left, by the two before it."""
    if nearest == INTENSIFIER:
        return second != START and second != NONE
    return _may_follow_negation(nearest) and (
        _may_follow_negation(second) or second == COMMA or second == OF or second == PREPOSITION
    )


@no_type_check
@njit(nogil=True, cache=True)
def asks_for_second(nearest):
    """Whether any rule of mending looks at the second token to the right, by the one before it."""
    return nearest == COMMA or nearest == CONJUNCTION or nearest == STOP


@no_type_check
@njit(nogil=True, cache=True)
def _may_follow_negation(kind):
    return (
        kind == ADJECTIVE
        or kind == INTENSIFIER
        or kind == ARTICLE
        or kind == DETERMINER
        or kind == CONJUNCTION
        or kind == WORD
        or kind == INFLECTED
    )
