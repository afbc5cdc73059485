"""What stands around the mentions that are to be edited, found in captions' bytes by loops that numba compiles.

Positions are bytes of the batch's data. A caption's mentions come as rows of `find_spans`; a *run* is what is edited at
once: mentions that only commas, conjunctions and white space part.
"""

from typing import no_type_check

import numpy as np

from vergence.compiled import njit
from vergence.curation.codes import (
    CAPTION,
    COMMA,
    CONJUNCTION,
    END,
    FACTORS,
    FIRST,
    INVISIBLE_SIGN,
    KEEP,
    LAST,
    LAST_SPAN,
    LEFT,
    MARKUP,
    NONE,
    OMIT,
    OVERLAP,
    REPLACED,
    RIGHT,
    SIGNATURE,
    SLASH,
    SPAN,
    START,
    VALUE,
    WHITE,
    WIDTH,
)
from vergence.curation.tokens import asks_for_second, asks_for_third, back, code_at, token_left, token_right


@no_type_check
@njit(nogil=True, cache=True)
def _in_tag(data, start, i, end):
    """Whether a place is inside a tag of HTML: after a < that a letter or / follows, with no > in between."""
    for p in range(i - 1, start - 1, -1):
        b = data[p]
        if b == 62:
            return False
        if b == 60:
            after = data[p + 1] if p + 1 < end else 0
            return after == 47 or 65 <= (after & 0xDF) <= 90
    return False


@no_type_check
@njit(nogil=True, cache=True)
def _listed_apart(data, i, j, kinds, digests, classes):
    """Whether only commas, conjunctions, slashes and white space are between two places."""
    while i < j:
        kind, after = token_right(data, j, i, kinds, digests, classes)
        if kind == END:
            return True
        if kind != COMMA and kind != CONJUNCTION and kind != SLASH:
            return False
        i = after
    return True


@no_type_check
@njit(nogil=True, cache=True)
def weigh(spans, targets, n_forms, n_not_cues, offsets, data, kinds):
    """Mark in column 4 what each occurrence is: 1 a mention, 2 negated by a cue, 0 excluded, -1 none of a concept."""
    first = 0
    while first < len(spans):
        last = first
        special = False
        while last < len(spans) and spans[last, 0] == spans[first, 0]:
            special |= spans[last, 1] >= n_forms
            last += 1
        start = offsets[spans[first, 0]]
        for n in range(first, last):
            if spans[n, 1] >= n_forms:
                spans[n, 4] = -1
                continue
            spans[n, 4] = 1
            if not special:
                continue
            before, spaced = spans[n, 2], False
            while before > start:
                p = back(data, before, start)
                code, _ = code_at(data, p, spans[n, 2])
                if kinds[code] == WHITE:
                    spaced = True
                elif kinds[code] != INVISIBLE_SIGN:
                    break
                before = p
            for m in range(first, last):
                form = spans[m, 1]
                if form < n_forms:
                    continue
                if form >= n_not_cues:
                    if spaced and spans[m, 3] == before and spans[n, 4] == 1:
                        spans[n, 4] = 2
                elif (
                    targets[form] == targets[spans[n, 1]] and spans[m, 2] <= spans[n, 2] and spans[n, 3] <= spans[m, 3]
                ):
                    spans[n, 4] = 0
                    break
        first = last


@no_type_check
@njit(nogil=True, cache=True)
def find_runs(spans, targets, factor_of, what_of, value_of, ops, offsets, data, kinds, digests, classes, refused):
    """The runs of mentions that are to be edited, with what stands around them.

    Args:
        spans: Occurrences: caption, form, first byte, byte after the last, what it is (`weigh`).
        targets: The concept of each form.
        factor_of: The factor of each concept.
        what_of: What is taken out with each form: an attribute, a noun or a plural.
        value_of: The place of each concept among its factor's values.
        ops: What to do, captions × factors.
        offsets: Where captions begin.
        data: Their bytes.
        kinds: What each code point is.
        digests: Of words, in slots (`words.word_classes`).
        classes: Of these words.
        refused: Captions × factors, receives reasons.

    Returns:
        A row for each run, and how many there are.
    """
    runs = np.zeros((len(spans) + 1, WIDTH), np.int64)
    n, open_run = 0, False
    said_right = np.zeros(ops.shape[1], np.bool_)
    replaced = np.zeros(ops.shape[1], np.bool_)
    for k in range(len(spans)):
        caption = spans[k, 0]
        if k == 0 or spans[k - 1, 0] != caption:
            open_run = False
            said_right[:] = False
            replaced[:] = False
            j = k
            while j < len(spans) and spans[j, 0] == caption:  # does it say the right value already?
                if spans[j, 4] == 1:
                    concept = targets[spans[j, 1]]
                    factor = factor_of[concept]
                    if ops[caption, factor] == value_of[concept]:
                        said_right[factor] = True
                j += 1
        if spans[k, 4] != 1:
            continue
        concept = targets[spans[k, 1]]
        factor = factor_of[concept]
        op = ops[caption, factor]
        begin, end = offsets[caption], offsets[caption + 1]
        if op == KEEP:
            continue
        for m in (k - 1, k + 1):  # words that are also of another factor, nearest neighbours first
            step = -1 if m < k else 1
            while 0 <= m < len(spans) and spans[m, 0] == caption:
                if spans[m, 4] == 1 and spans[m, 2] < spans[k, 3] and spans[k, 2] < spans[m, 3]:
                    other = factor_of[targets[spans[m, 1]]]
                    if other != factor and not (op == OMIT and ops[caption, other] == OMIT):
                        refused[caption, factor] = OVERLAP
                m += step
        if _in_tag(data, begin, spans[k, 2], end):
            refused[caption, factor] = MARKUP
        right = op >= 0 and op == value_of[concept]
        value = op if (op >= 0 and not said_right[factor] and not replaced[factor]) else OMIT
        bits = np.int64(1) << factor
        if open_run:
            last = runs[n - 1]
            same = (last[VALUE] == OMIT and value == OMIT and op == OMIT and last[SIGNATURE] == OMIT) or (
                last[FACTORS] == bits and op >= 0
            )
            within = spans[k, 2] < last[LAST]
            if within or (same and _listed_apart(data, last[LAST], spans[k, 2], kinds, digests, classes)):
                last[LAST] = max(last[LAST], spans[k, 3])
                last[FACTORS] |= bits
                last[LAST_SPAN] = k
                if op >= 0 and right and last[VALUE] != KEEP:
                    last[VALUE] = op  # the list holds the right one
                elif op >= 0 and not right and last[VALUE] == KEEP:
                    last[VALUE] = op
                continue
        runs[n, CAPTION], runs[n, FIRST], runs[n, LAST] = caption, spans[k, 2], spans[k, 3]
        runs[n, FACTORS], runs[n, SPAN], runs[n, LAST_SPAN] = bits, k, k
        runs[n, SIGNATURE] = op  # until it is known
        runs[n, VALUE] = KEEP if right else value
        replaced[factor] |= value >= 0
        n += 1
        open_run = True
    _describe(runs, n, spans, what_of, offsets, data, kinds, digests, classes)
    return runs[:n]


@no_type_check
@njit(nogil=True, cache=True)
def _describe(runs, n, spans, what_of, offsets, data, kinds, digests, classes):
    """Put down what stands around each run, and its signature."""
    for r in range(n):
        begin, end = offsets[runs[r, CAPTION]], offsets[runs[r, CAPTION] + 1]
        signature = REPLACED
        if runs[r, VALUE] == OMIT:
            signature = what_of[spans[runs[r, LAST_SPAN], 1]]
        i, nearest, kind = runs[r, FIRST], NONE, NONE
        for t in range(3):
            if t == 0 or (t == 1 and kind != START) or (t == 2 and asks_for_third(nearest, kind)):
                kind, i = token_left(data, begin, end, i, kinds, digests, classes)
            else:
                kind = NONE
            nearest = kind if t == 0 else nearest
            signature = signature << 5 | kind
            runs[r, LEFT + t] = i
        kind, i = token_right(data, end, runs[r, LAST], kinds, digests, classes)
        runs[r, RIGHT] = i
        beyond = NONE
        if asks_for_second(kind):
            beyond, _ = token_right(data, end, i, kinds, digests, classes)
        signature = (signature << 5 | kind) << 5 | beyond
        runs[r, SIGNATURE] = signature << 5
