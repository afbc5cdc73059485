"""The edits that follow from runs and rules: which bytes go, what comes, which article; compiled by numba."""

from typing import no_type_check

import numpy as np

from vergence.compiled import njit
from vergence.curation.codes import (
    CAPTION,
    EMPTIED,
    FACTORS,
    FIRST,
    IN_WORD,
    INVISIBLE_SIGN,
    KEEP,
    LAST,
    LAST_SPAN,
    LEFT,
    NO_FORM,
    NO_PLACE,
    OMIT,
    RIGHT,
    SIGNATURE,
    SPAN,
    START,
    STOP,
    TANGLED,
    VALUE,
    WHITE,
)
from vergence.curation.tokens import back, code_at, joins


@no_type_check
@njit(nogil=True, cache=True)
def _vowel(b):
    return b == 97 or b == 101 or b == 105 or b == 111 or b == 117


@no_type_check
@njit(nogil=True, cache=True)
def wants_an(data, i, end, lower):
    """Whether "an" goes before a word: 1 yes, 0 no, -1 not known; by its letters, as in "hour" and "unit"."""
    if i >= end or data[i] >= 128:
        return -1
    length = 0
    while i + length < end and (65 <= (data[i + length] & 0xDF) <= 90):
        length += 1
    if length == 0:
        if data[i] == 56:
            return 1
        two = i + 1 < end and data[i] == 49 and (data[i + 1] == 49 or data[i + 1] == 56)
        return int(two and not (i + 2 < end and 48 <= data[i + 2] <= 57)) if 48 <= data[i] <= 57 else -1
    capitals = 0
    for k in range(min(length, 5)):
        capitals += data[i + k] < 97
    a, b = data[i] | 32, data[i + 1] | 32 if length > 1 else 0
    c, d = data[i + 2] | 32 if length > 2 else 0, data[i + 3] | 32 if length > 3 else 0
    if lower and capitals == length and length <= 4 and not (length > 1 and _vowel(b) and not _vowel(a)):
        return int(a in (97, 101, 102, 104, 105, 108, 109, 110, 111, 114, 115, 120))  # as letters are called
    if not _vowel(a):
        h = a == 104
        silent = (b == 111 and c == 117 and d == 114) or (b == 111 and c == 110 and (d == 101 or d == 111))
        silent |= b == 101 and c == 105 and d == 114
        return int(h and silent)
    if a == 101 and (b == 117 or b == 119):
        return 0
    if a == 111 and b == 110 and ((c == 101 and length <= 4) or (c == 99 and d == 101)):
        return 0
    if a == 117:
        if b == 110 and c == 105 and not (d == 110 or d == 109 or d == 100):
            return 0
        if b in (98, 102, 107, 113, 114, 115, 116) and _vowel(c):
            return 0
    return 1


@no_type_check
@njit(nogil=True, cache=True)
def _skip(data, i, end, kinds):
    """Past white space."""
    while i < end:
        code, q = code_at(data, i, end)
        if kinds[code] != WHITE and kinds[code] != INVISIBLE_SIGN:
            break
        i = q
    return i


@no_type_check
@njit(nogil=True, cache=True)
def _skip_back(data, i, start, kinds):
    while i > start:
        p = back(data, i, start)
        code, _ = code_at(data, p, i)
        if kinds[code] != WHITE:
            break
        i = p
    return i


@no_type_check
@njit(nogil=True, cache=True)
def _has_line_end(data, i, j):
    for k in range(i, j):
        if data[k] == 10 or data[k] == 13:
            return True
    return False


@no_type_check
@njit(nogil=True, cache=True)
def _region(run, left, right, begin, end, data, kinds):
    """The bytes that go when a run is taken out with tokens beside it and the white space that is then too much."""
    first = run[FIRST] if left == 0 else run[LEFT + left - 1]
    last = run[LAST] if right == 0 else run[RIGHT + right - 1]
    before, after = _skip_back(data, first, begin, kinds), _skip(data, last, end, kinds)
    closing = after == end
    if not closing:
        code, _ = code_at(data, after, end)
        closing = code in (44, 46, 59, 58, 33, 63, 41, 93, 125, 0x2026)
    if closing:
        if after == end and before == begin:
            return begin, end
        return before, last
    if before == begin:
        return begin if first == before else first, after
    if before < first and after > last:
        if _has_line_end(data, last, after) and not _has_line_end(data, before, first):
            return before, last
        return first, after
    if before < first:
        code, _ = code_at(data, back(data, before, begin), first)
        if code == 40 or code == 91:
            return before, after
    return first, last


@no_type_check
@njit(nogil=True, cache=True)
def _case(data, first, last):
    """0 as a form is written, 1 with a capital, 2 in capitals, by what stands there."""
    letters, capitals = 0, 0
    for i in range(first, last):
        if 65 <= (data[i] & 0xDF) <= 90 and data[i] < 128:
            letters += 1
            capitals += data[i] < 97
    if letters > 1 and capitals == letters:
        return 2
    return 1 if 65 <= data[first] <= 90 else 0


@no_type_check
@njit(nogil=True, cache=True)
def _put(edits, n, caption, first, last, text, factors, value):
    edits[n, 0], edits[n, 1], edits[n, 2] = caption, first, last
    edits[n, 3], edits[n, 4], edits[n, 5] = text, factors, value
    return n + 1


@no_type_check
@njit(nogil=True, cache=True)
def lay_out(
    runs,
    mends,
    refused,
    ops,
    mentioned,
    spans,
    offsets,
    data,
    kinds,
    inflection,
    phrase,
    insertion,
    concepts_from,
    letters,
    articles,
    pool_offsets,
    pool_data,
    allow_empty,
):
    """The edits of all captions, in order: caption, first byte, byte after the last, new text, factors as bits, value.

    Args:
        runs: From `find_runs`.
        mends: For each, how many tokens go to the left and right, and the reason why not.
        refused: Captions × factors, reasons; more are added.
        ops: What to do, captions × factors.
        mentioned: Captions × factors, whether anything is said of it.
        spans: As in `find_runs`.
        offsets: Where captions begin.
        data: Their bytes.
        kinds: What each code point is.
        inflection: Of each form.
        phrase: The first text of the pool for each factor, value and inflection; -1 where there is none.
        insertion: The text of the pool for each factor and value that is added.
        concepts_from: The values before those of each factor, generic ones included.
        letters: The pool's text for A; B to Z follow.
        articles: The pool's text for a; an, A, An, AN follow.
        pool_offsets: Where texts of the pool begin.
        pool_data: Their bytes.
        allow_empty: Whether a caption may end up without words.

    Returns:
        The edits, and how many there are.
    """
    n_captions, n_factors = ops.shape
    edits = np.empty((4 * len(runs) + n_captions * n_factors + 16, 6), np.int64)
    n, first_run = 0, 0
    regions = np.zeros((len(runs) + 1, 4), np.int64)  # first, last, new text, whether a sentence begins with it
    for caption in range(n_captions):
        last_run = first_run
        while last_run < len(runs) and runs[last_run, CAPTION] == caption:
            last_run += 1
        begin, end = offsets[caption], offsets[caption + 1]
        blocked = np.int64(0)
        for f in range(n_factors):
            if refused[caption, f]:
                blocked |= np.int64(1) << f
        reach = begin - 1
        for r in range(first_run, last_run):
            run = runs[r]
            reason = mends[r, 2]
            if run[VALUE] == KEEP:
                regions[r, 0] = -1
                continue
            left, right = mends[r, 0], mends[r, 1]
            if reason == EMPTIED and allow_empty:
                reason, left, right = 0, 0, 0
            if run[VALUE] == OMIT:
                a, b = _region(run, left, right, begin, end, data, kinds)
                text = 0
            else:
                a, b, text = run[FIRST], run[LAST], np.int64(-1)
                f = 0
                while run[FACTORS] >> f != 1:
                    f += 1
                text = phrase[concepts_from[f] + run[VALUE], inflection[spans[run[LAST_SPAN], 1]]]
                if text < 0:
                    reason, text = NO_FORM, 0
                else:
                    text += _case(data, a, spans[run[SPAN], 3])
            if a < reach and not reason:
                reason = TANGLED
            regions[r, 0], regions[r, 1], regions[r, 2] = a, b, text
            regions[r, 3] = 0
            if run[VALUE] == OMIT:
                kind = START if a == begin else (run[SIGNATURE] >> (5 * (5 - min(left, 2)))) & 31
                regions[r, 3] = kind == START or kind == STOP
            if reason:
                for f in range(n_factors):
                    if run[FACTORS] >> f & 1 and not refused[caption, f]:
                        refused[caption, f] = reason
                blocked |= run[FACTORS]
            else:
                reach = max(reach, b)
        moved = True
        while moved:  # what goes together stays together
            moved = False
            for r in range(first_run, last_run):
                if runs[r, FACTORS] & blocked and runs[r, FACTORS] & ~blocked:
                    why = 0
                    for f in range(n_factors):
                        if runs[r, FACTORS] >> f & 1 and refused[caption, f]:
                            why = refused[caption, f]
                    for f in range(n_factors):
                        if runs[r, FACTORS] >> f & 1 and not refused[caption, f]:
                            refused[caption, f] = why
                    blocked |= runs[r, FACTORS]
                    moved = True
        # Nothing but signs may be left of a caption that had words.
        left_over = allow_empty
        i = begin
        for r in range(first_run, last_run + 1):
            stop = end
            if r < last_run:
                if runs[r, FACTORS] & blocked or regions[r, 0] < 0:
                    continue
                stop = regions[r, 0]
                left_over |= runs[r, VALUE] >= 0
            while i < stop and not left_over:
                code, i = code_at(data, i, end)
                left_over = kinds[code] == IN_WORD
            if r < last_run:
                i = max(i, regions[r, 1])
        if not left_over and last_run > first_run:
            for r in range(first_run, last_run):
                for f in range(n_factors):
                    if runs[r, FACTORS] >> f & 1 and not refused[caption, f]:
                        refused[caption, f] = EMPTIED
                blocked |= runs[r, FACTORS]
        for r in range(first_run, last_run):
            run = runs[r]
            if run[FACTORS] & blocked or regions[r, 0] < 0:
                continue
            a, b, text = regions[r, 0], regions[r, 1], regions[r, 2]
            # The article right before, if what follows it now sounds otherwise.
            p = _skip_back(data, a, begin, kinds)
            w = p
            while w > begin and 65 <= (data[w - 1] & 0xDF) <= 90 and data[w - 1] < 128:
                w -= 1
            clear = w == begin
            if not clear:
                code, _ = code_at(data, back(data, w, begin), end)
                clear = kinds[code] != IN_WORD and not joins(code)
            is_a = p - w == 1 and (data[w] | 32) == 97
            is_an = p - w == 2 and (data[w] | 32) == 97 and (data[w + 1] | 32) == 110
            if clear and (is_a or is_an) and (n == 0 or edits[n - 1, 2] <= w or edits[n - 1, 0] < caption):
                wants = -1
                lower = data[w] >= 97
                if text > 0:
                    wants = wants_an(pool_data, pool_offsets[text], pool_offsets[text + 1], lower)
                else:
                    i = _skip(data, b, end, kinds)
                    told = False
                    for s in range(r + 1, last_run):
                        if runs[s, FACTORS] & blocked or regions[s, 0] < 0 or regions[s, 0] > i:
                            continue
                        if regions[s, 2] > 0:
                            text_s = regions[s, 2]
                            wants = wants_an(pool_data, pool_offsets[text_s], pool_offsets[text_s + 1], lower)
                            told = True
                            break
                        i = _skip(data, max(i, regions[s, 1]), end, kinds)
                    if not told:
                        wants = wants_an(data, i, end, lower)
                # What stood there decides whether the caption cared.
                first_word = _skip(data, p, end, kinds)
                had = wants_an(data, first_word, end, lower)
                if wants >= 0 and wants != int(is_an) and (had < 0 or had == int(is_an)):
                    variant = wants
                    if not lower:
                        after = first_word + 1
                        loud = (is_an and data[w + 1] < 97) or (is_a and after < end and 65 <= data[after] <= 90)
                        variant = (4 if loud else 3) if wants else 2
                    n = _put(edits, n, caption, w, p, articles + variant, run[FACTORS], run[VALUE])
            # A sentence that began with a capital still does.
            if text == 0 and regions[r, 3] and b < end and 97 <= data[b] <= 122:
                first = _skip(data, a, b, kinds)
                follows = r + 1 < last_run and regions[r + 1, 0] == b
                if first < b and 65 <= data[first] <= 90 and not follows:
                    text = letters + data[b] - 97
                    b += 1
            n = _put(edits, n, caption, a, b, text, run[FACTORS], run[VALUE])
        for f in range(n_factors):
            if ops[caption, f] >= 0 and not mentioned[caption, f] and not refused[caption, f]:
                text = insertion[concepts_from[f] + ops[caption, f]]
                place = _skip_back(data, end, begin, kinds)
                while place > begin and (data[place - 1] == 46 or data[place - 1] == 33 or data[place - 1] == 63):
                    place -= 1
                place = _skip_back(data, place, begin, kinds)
                if place == begin or text < 0:
                    refused[caption, f] = NO_PLACE
                    continue
                if n > 0 and edits[n - 1, 0] == caption and edits[n - 1, 2] > place:
                    place = edits[n - 1, 2]
                n = _put(edits, n, caption, place, place, text, np.int64(1) << f, ops[caption, f])
        first_run = last_run
    return edits[:n]
