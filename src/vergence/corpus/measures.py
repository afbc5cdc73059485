"""Loops that check, measure and count captions, compiled by numba; all of them release the interpreter's lock."""

from typing import no_type_check

import numpy as np
from numba import njit

_HIGH = np.uint64(0x8080808080808080)


@no_type_check
@njit(nogil=True, cache=True)
def _eight(data, i):
    """The next eight bytes as one number."""
    at = np.uint64(i)  # unsigned, so that no index can count from the end
    return (  # written out, so that eight loads become one: as a loop they do not, and that takes seven times as long
        np.uint64(data[at])
        | np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[at + np.uint64(4)]) << np.uint64(32)
        | np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[at + np.uint64(6)]) << np.uint64(48)
        | np.uint64(data[at + np.uint64(7)]) << np.uint64(56)
    )


@no_type_check
@njit(nogil=True, cache=True)
def _fewer(data, i, end):
    """The fewer than eight bytes that are left, filled with zeros."""
    if i + 8 <= len(data):
        return _eight(data, i) & ((np.uint64(1) << np.uint64(8 * (end - i))) - np.uint64(1))
    word = np.uint64(0)
    for j in range(end - i):
        word |= np.uint64(data[i + j]) << np.uint64(8 * j)
    return word


@no_type_check
@njit(nogil=True, cache=True)
def ill_formed(offsets, data):
    """Whether each caption is not well-formed UTF-8 (Unicode's table 3-7: no overlong form, no surrogate).

    Most text is ASCII, so captions are looked at one by one only where a byte is not.
    """
    n_captions = len(offsets) - 1
    bad = np.zeros(n_captions, np.bool_)
    caption, i, last = 0, offsets[0], offsets[n_captions]
    while i < last:
        while i + 8 <= last and _eight(data, i) & _HIGH == 0:
            i += 8
        if i == last:
            break
        b = data[i]
        if b < 128:
            i += 1
            continue
        while offsets[caption + 1] <= i:
            caption += 1
        end = offsets[caption + 1]
        low, top, more = 0x80, 0xBF, 0
        if 0xC2 <= b <= 0xDF:
            more = 1
        elif 0xE0 <= b <= 0xEF:
            more = 2
            low, top = (0xA0, 0xBF) if b == 0xE0 else (0x80, 0x9F) if b == 0xED else (0x80, 0xBF)
        elif 0xF0 <= b <= 0xF4:
            more = 3
            low, top = (0x90, 0xBF) if b == 0xF0 else (0x80, 0x8F) if b == 0xF4 else (0x80, 0xBF)
        if more == 0 or i + more >= end or not low <= data[i + 1] <= top:
            bad[caption] = True
        for j in range(i + 2, min(i + 1 + more, end)):
            if data[j] & 0xC0 != 0x80:
                bad[caption] = True
        i = end if bad[caption] else i + 1 + more
    return bad


@no_type_check
@njit(nogil=True, cache=True)
def digest_and_measure(offsets, data):
    """A 64-bit digest of each caption's bytes, the same on every machine and in every run, and its code points."""
    n_captions = len(offsets) - 1
    digests = np.empty(n_captions, np.uint64)
    lengths = np.empty(n_captions, np.int64)
    for caption in range(n_captions):
        first, end = offsets[caption], offsets[caption + 1]
        h, high, i = mix(np.uint64(end - first)), np.uint64(0), first
        while i + 8 <= end:
            word = _eight(data, i)
            h, high, i = _stirred(h, word), high | word, i + 8
        if i < end:
            word = _fewer(data, i, end)
            h, high = _stirred(h, word), high | word
        digests[caption] = mix(h)
        lengths[caption] = end - first
        if high & _HIGH:
            for i in range(first, end):
                lengths[caption] -= data[i] & 0xC0 == 0x80  # a byte that continues a code point
    return digests, lengths


@no_type_check
@njit(nogil=True, cache=True)
def _stirred(h, word):
    h = (h ^ word) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(32))


@no_type_check
@njit(nogil=True, cache=True)
def mix(h):
    """Spread every bit of h over all bits: the finaliser of [steele2014]'s generator, a bijection of 64 bits."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@no_type_check
@njit(nogil=True, cache=True)
def add_hits(hits, group_of, concepts, groups, pairs):
    """Count captions by concept and by group, and, if `pairs` has rows, by every ordered pair of concepts."""
    counted = np.full(len(groups), -1, np.int64)
    start = 0
    for stop in range(1, len(hits) + 1):
        if stop == len(hits) or hits[stop] >> 32 != hits[start] >> 32:
            for j in range(start, stop):
                concept = hits[j] & 0xFFFFFFFF
                concepts[concept] += 1
                group = group_of[concept]
                if counted[group] != start:
                    counted[group] = start
                    groups[group] += 1
                if len(pairs):
                    for k in range(start, stop):
                        pairs[concept, hits[k] & 0xFFFFFFFF] += 1
            start = stop


@no_type_check
@njit(nogil=True, cache=True)
def keep_smallest(hits, digest, salts, priorities, captions):
    """For each concept keep the captions of the smallest priorities, a pseudo-random function of caption and concept.

    `priorities` is sorted along its rows; `captions` says whose each one is and is moved along with it. Equal captions
    have equal priorities and are kept once.
    """
    size = priorities.shape[1]
    for hit in hits:
        caption, concept = hit >> 32, hit & 0xFFFFFFFF
        priority = mix(digest[caption] ^ salts[concept])
        row, owners = priorities[concept], captions[concept]
        if priority >= row[size - 1]:
            continue
        place = 0
        while row[place] < priority:
            place += 1
        if row[place] == priority:
            continue
        for j in range(size - 1, place, -1):
            row[j], owners[j] = row[j - 1], owners[j - 1]
        row[place], owners[place] = priority, caption
