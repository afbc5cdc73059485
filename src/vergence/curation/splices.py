"""Puts edits into captions, takes pieces out of them, and draws numbers for them; compiled by numba."""

from typing import no_type_check

import numpy as np

from vergence.compiled import njit


@no_type_check
@njit(nogil=True, cache=True)
def splice(edits, offsets, data, pool_offsets, pool_data):
    """Captions after their edits: new offsets, from 0, and bytes."""
    n_captions = len(offsets) - 1
    grown = np.int64(0)
    for n in range(len(edits)):
        text = edits[n, 3]
        grown += pool_offsets[text + 1] - pool_offsets[text] - (edits[n, 2] - edits[n, 1])
    new_offsets = np.empty(n_captions + 1, np.int64)
    out = np.empty(offsets[n_captions] - offsets[0] + grown, np.uint8)
    n, size = 0, 0
    for caption in range(n_captions):
        new_offsets[caption] = size
        i = offsets[caption]
        while n < len(edits) and edits[n, 0] == caption:
            stop, text = edits[n, 1], edits[n, 3]
            out[size : size + stop - i] = data[i:stop]
            size += stop - i
            a, b = pool_offsets[text], pool_offsets[text + 1]
            out[size : size + b - a] = pool_data[a:b]
            size += b - a
            i = edits[n, 2]
            n += 1
        stop = offsets[caption + 1]
        out[size : size + stop - i] = data[i:stop]
        size += stop - i
    new_offsets[n_captions] = size
    return new_offsets, out


@no_type_check
@njit(nogil=True, cache=True)
def gather(starts, ends, data):
    """Pieces of data one after the other: offsets and bytes."""
    offsets = np.empty(len(starts) + 1, np.int64)
    size = np.int64(0)
    for n in range(len(starts)):
        offsets[n] = size
        size += ends[n] - starts[n]
    offsets[len(starts)] = size
    out = np.empty(size, np.uint8)
    for n in range(len(starts)):
        out[offsets[n] : offsets[n + 1]] = data[starts[n] : ends[n]]
    return offsets, out


@no_type_check
@njit(nogil=True, cache=True)
def points(edits, offsets, data):
    """First and last place of each edit as code points of its caption."""
    out = np.empty((len(edits), 2), np.int64)
    caption, i, point = np.int64(-1), np.int64(0), np.int64(0)
    for n in range(len(edits)):
        if edits[n, 0] != caption:
            caption, i, point = edits[n, 0], offsets[edits[n, 0]], 0
        for column in range(2):
            while i < edits[n, 1 + column]:
                point += (data[i] & 0xC0) != 0x80
                i += 1
            out[n, column] = point
    return out


@no_type_check
@njit(nogil=True, cache=True)
def draws(offsets, data, key_offsets, key_data, seed):
    """A number of 64 bits for each caption: of the seed, its key and its own bytes, and of nothing else."""
    out = np.empty(len(offsets) - 1, np.uint64)
    prime = np.uint64(0x100000001B3)
    for n in range(len(out)):
        digest = np.uint64(0xCBF29CE484222325) ^ np.uint64(seed)
        for i in range(key_offsets[n], key_offsets[n + 1]):
            digest = (digest ^ np.uint64(key_data[i])) * prime
        digest = (digest ^ np.uint64(0x1F)) * prime
        for i in range(offsets[n], offsets[n + 1]):
            digest = (digest ^ np.uint64(data[i])) * prime
        out[n] = digest
    return out
