"""Loops over Arrow's string buffers, compiled by numba; all of them release the interpreter's lock.

The automaton's loop advances four captions at once. Each step waits for two dependent loads; with four chains
interleaved the processor works on three others meanwhile. The four lanes walk four stretches of the batch, so their
hits, put one after the other, are in the order of the captions.
"""

from typing import no_type_check

import numpy as np

from vergence.compiled import njit

# Classes of code points: what ends a word, what does not, white space, what is not there; then the forms' characters.
# Here, because numba compiles them in and looks for changes in this file alone.
OTHER, WORD, SPACE, ABSENT, FIRST = range(5)


@no_type_check
@njit(nogil=True, cache=True)
def decode(data, i, end):
    """Code point at i, and where the next begins; a byte that fits nowhere is taken alone, as the code point 0."""
    b = np.int64(data[i])
    if b >= 0xF0:
        if i + 4 <= end and b < 0xF5:
            code = (b & 7) << 18 | (data[i + 1] & 63) << 12 | (data[i + 2] & 63) << 6 | (data[i + 3] & 63)
            return (code if code < 0x110000 else np.int64(0)), i + 4
    elif b >= 0xE0:
        if i + 3 <= end:
            return (b & 15) << 12 | (data[i + 1] & 63) << 6 | (data[i + 2] & 63), i + 3
    elif b >= 0xC0 and i + 2 <= end:
        return (b & 31) << 6 | (data[i + 1] & 63), i + 2
    return np.int64(0), i + 1


@no_type_check
@njit(nogil=True, cache=True)
def _report(state, caption, width, final, outputs, stamps, hits, n):
    """Append what ends in a state, unless the caption has it already; returns the new number of hits."""
    row = state // width
    for j in range(final[row], final[row + 1]):
        number = outputs[j]
        if stamps[number] != caption:
            stamps[number] = caption
            hits[n] = (np.int64(caption) << 32) | number
            n += 1
    return n


@no_type_check
@njit(nogil=True, cache=True)
def _next(offsets, caption, last):
    """The lane's next caption that is not empty, and where it ends."""
    caption += 1
    while caption < last and offsets[caption + 1] == offsets[caption]:
        caption += 1
    return caption, np.int64(offsets[min(caption + 1, last)])


@no_type_check
@njit(nogil=True, cache=True)
def _four(table, classes, width, final, outputs, offsets, data, stamps, h0, h1, h2, h3, lanes):
    """Advance four lanes until one is through, or has no room left for all that a caption can hold."""
    t0, t1, t2, t3 = stamps
    c0, l0, s0, i0, n0 = lanes[0]
    e0 = np.int64(offsets[c0 + 1])
    c1, l1, s1, i1, n1 = lanes[1]
    e1 = np.int64(offsets[c1 + 1])
    c2, l2, s2, i2, n2 = lanes[2]
    e2 = np.int64(offsets[c2 + 1])
    c3, l3, s3, i3, n3 = lanes[3]
    e3 = np.int64(offsets[c3 + 1])
    most = len(h0) - len(t0)
    while c0 < l0 and c1 < l1 and c2 < l2 and c3 < l3 and max(n0, n1, n2, n3) <= most:
        burst = min(e0 - i0, e1 - i1, e2 - i2, e3 - i3)
        for _ in range(burst):
            # Unsigned, so that no index can count from the end: that would cost a comparison each.
            b0, b1, b2, b3 = data[np.uint64(i0)], data[np.uint64(i1)], data[np.uint64(i2)], data[np.uint64(i3)]
            if (b0 | b1 | b2 | b3) >= 128:
                break
            x0, x1 = table[np.uint64(s0) + classes[b0]], table[np.uint64(s1) + classes[b1]]
            x2, x3 = table[np.uint64(s2) + classes[b2]], table[np.uint64(s3) + classes[b3]]
            if (x0 | x1 | x2 | x3) < 0:
                if x0 < 0:
                    n0 = _report(s0, c0, width, final, outputs, t0, h0, n0)
                    x0 = ~x0
                if x1 < 0:
                    n1 = _report(s1, c1, width, final, outputs, t1, h1, n1)
                    x1 = ~x1
                if x2 < 0:
                    n2 = _report(s2, c2, width, final, outputs, t2, h2, n2)
                    x2 = ~x2
                if x3 < 0:
                    n3 = _report(s3, c3, width, final, outputs, t3, h3, n3)
                    x3 = ~x3
            s0, s1, s2, s3 = x0, x1, x2, x3
            i0, i1, i2, i3 = i0 + 1, i1 + 1, i2 + 1, i3 + 1
        if i0 == e0:
            if table[s0] < 0:  # the end of a caption is no word character
                n0 = _report(s0, c0, width, final, outputs, t0, h0, n0)
            c0, e0 = _next(offsets, c0, l0)
            s0 = 0
        elif data[i0] >= 128:
            code, i0 = decode(data, i0, e0)
            x0 = table[s0 + classes[code]]
            if x0 < 0:
                n0 = _report(s0, c0, width, final, outputs, t0, h0, n0)
                x0 = ~x0
            s0 = x0
        if i1 == e1:
            if table[s1] < 0:  # the end of a caption is no word character
                n1 = _report(s1, c1, width, final, outputs, t1, h1, n1)
            c1, e1 = _next(offsets, c1, l1)
            s1 = 0
        elif data[i1] >= 128:
            code, i1 = decode(data, i1, e1)
            x1 = table[s1 + classes[code]]
            if x1 < 0:
                n1 = _report(s1, c1, width, final, outputs, t1, h1, n1)
                x1 = ~x1
            s1 = x1
        if i2 == e2:
            if table[s2] < 0:  # the end of a caption is no word character
                n2 = _report(s2, c2, width, final, outputs, t2, h2, n2)
            c2, e2 = _next(offsets, c2, l2)
            s2 = 0
        elif data[i2] >= 128:
            code, i2 = decode(data, i2, e2)
            x2 = table[s2 + classes[code]]
            if x2 < 0:
                n2 = _report(s2, c2, width, final, outputs, t2, h2, n2)
                x2 = ~x2
            s2 = x2
        if i3 == e3:
            if table[s3] < 0:  # the end of a caption is no word character
                n3 = _report(s3, c3, width, final, outputs, t3, h3, n3)
            c3, e3 = _next(offsets, c3, l3)
            s3 = 0
        elif data[i3] >= 128:
            code, i3 = decode(data, i3, e3)
            x3 = table[s3 + classes[code]]
            if x3 < 0:
                n3 = _report(s3, c3, width, final, outputs, t3, h3, n3)
                x3 = ~x3
            s3 = x3
    return ((c0, l0, s0, i0, n0), (c1, l1, s1, i1, n1), (c2, l2, s2, i2, n2), (c3, l3, s3, i3, n3))


@no_type_check
@njit(nogil=True, cache=True)
def _one(table, classes, width, final, outputs, offsets, data, stamps, hits, lane):
    """Advance one lane until it is through, or has no room left for all that a caption can hold."""
    caption, last, state, i, n = lane
    end = np.int64(offsets[caption + 1])
    most = len(hits) - len(stamps)
    while caption < last and n <= most:
        entry = np.int64(table[state])  # the end of a caption is no word character
        ended = i == end
        if not ended:
            code, i = decode(data, i, end) if data[i] >= 128 else (np.int64(data[i]), i + 1)
            entry = np.int64(table[state + classes[code]])
        if entry < 0:
            n = _report(state, caption, width, final, outputs, stamps, hits, n)
            entry = ~entry
        state = entry
        if ended:
            caption, end = _next(offsets, caption, last)
            state = np.int64(0)
    return caption, last, state, i, n


@no_type_check
@njit(nogil=True, cache=True)
def _doubled(hits, n):
    larger = np.empty(2 * len(hits), np.int64)
    larger[:n] = hits[:n]
    return larger


@no_type_check
@njit(nogil=True, cache=True)
def _start(offsets, caption, last):
    caption, _ = _next(offsets, caption - 1, last)
    return (np.int64(caption), np.int64(last), np.int64(0), offsets[caption], np.int64(0))


@no_type_check
@njit(nogil=True, cache=True)
def _first_from(offsets, place):
    """The first caption that begins at or after a place, or ends the last; NumPy's search takes seconds to compile."""
    low, high = 0, len(offsets) - 1
    while low < high:
        middle = (low + high) // 2
        if offsets[middle] < place:
            low = middle + 1
        else:
            high = middle
    return low


@no_type_check
@njit(nogil=True, cache=True)
def find_mentions(table, classes, width, final, outputs, n_numbers, offsets, data):
    """Which numbers each caption mentions, each once.

    Args:
        table: As in `Automaton`.
        classes: As in `Automaton`.
        width: Entries in a row of the table.
        final: Where each state's outputs begin.
        outputs: Numbers below `n_numbers`, state by state.
        n_numbers: How many different numbers there are.
        offsets: Where each caption begins in `data`, and the last one's end.
        data: The captions' UTF-8 bytes, one after the other.

    Returns:
        One int64 per hit, caption << 32 | number, in the order of the captions.
    """
    n_captions = len(offsets) - 1
    # Four stretches of about the same number of bytes.
    bounds = np.array([0, 0, 0, 0, n_captions])
    size = np.int64(offsets[n_captions] - offsets[0])
    for lane in range(1, 4):
        bounds[lane] = _first_from(offsets, offsets[0] + size * lane // 4)
    stamp = np.full((4, n_numbers), -1, np.int64)
    stamps = (stamp[0], stamp[1], stamp[2], stamp[3])
    room = 64 + n_numbers + n_captions
    h0, h1, h2, h3 = (
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
    )
    lanes = (
        _start(offsets, bounds[0], bounds[1]),
        _start(offsets, bounds[1], bounds[2]),
        _start(offsets, bounds[2], bounds[3]),
        _start(offsets, bounds[3], bounds[4]),
    )
    while lanes[0][0] < bounds[1] and lanes[1][0] < bounds[2] and lanes[2][0] < bounds[3] and lanes[3][0] < bounds[4]:
        lanes = _four(table, classes, width, final, outputs, offsets, data, stamps, h0, h1, h2, h3, lanes)
        if max(lanes[0][4], lanes[1][4], lanes[2][4], lanes[3][4]) > len(h0) - n_numbers:
            h0, h1 = _doubled(h0, lanes[0][4]), _doubled(h1, lanes[1][4])
            h2, h3 = _doubled(h2, lanes[2][4]), _doubled(h3, lanes[3][4])
    h0, n0 = _rest(table, classes, width, final, outputs, offsets, data, stamps[0], h0, lanes[0])
    h1, n1 = _rest(table, classes, width, final, outputs, offsets, data, stamps[1], h1, lanes[1])
    h2, n2 = _rest(table, classes, width, final, outputs, offsets, data, stamps[2], h2, lanes[2])
    h3, n3 = _rest(table, classes, width, final, outputs, offsets, data, stamps[3], h3, lanes[3])
    return np.concatenate((h0[:n0], h1[:n1], h2[:n2], h3[:n3]))


@no_type_check
@njit(nogil=True, cache=True)
def _rest(table, classes, width, final, outputs, offsets, data, stamps, hits, lane):
    while lane[0] < lane[1]:
        if lane[4] > len(hits) - len(stamps):
            hits = _doubled(hits, lane[4])
        lane = _one(table, classes, width, final, outputs, offsets, data, stamps, hits, lane)
    return hits, lane[4]


@no_type_check
@njit(nogil=True, cache=True)
def before(data, i, start):
    """The code point before a place, and where it begins."""
    i -= 1
    if data[i] < 128:
        return np.int64(data[i]), i
    first = i
    while first > start and (data[first] & 0xC0) == 0x80:
        first -= 1
    code, after = decode(data, first, i + 1)
    return (code, first) if after == i + 1 else (np.int64(0), i)  # bytes that fit nowhere are taken alone


@no_type_check
@njit(nogil=True, cache=True)
def _walked_back(classes, length, data, i, start):
    """Where the last characters that were compared begin and end; a run of white space is one, and is its first."""
    first, last = i, i
    compared, in_space = 0, False
    while i > start:
        code, p = before(data, i, start)
        kind = classes[code]
        if kind == SPACE and in_space:
            first = p
            last = i if compared == 1 else last
        elif kind != ABSENT:
            if compared == length:
                break
            first = p
            last = i if compared == 0 else last
            compared += 1
            in_space = kind == SPACE
        i = p
    return first, last


@no_type_check
@njit(nogil=True, cache=True)
def _fill(table, classes, width, final, outputs, lengths, offsets, data, spans, caption, n):
    """Fill rows from a caption on; returns the caption that there was no room for, and the number of rows before it."""
    while caption < len(offsets) - 1:
        i, end = np.int64(offsets[caption]), np.int64(offsets[caption + 1])
        start, state, ended, before = i, np.int64(0), False, n
        while not ended:
            here = i
            if i == end:
                entry = np.int64(table[np.uint64(state)])  # the end of a caption is no word character
                ended = True
            elif data[np.uint64(i)] < 128:
                entry = np.int64(table[np.uint64(state) + classes[data[np.uint64(i)]]])
                i += 1
            else:
                code, i = decode(data, i, end)
                entry = np.int64(table[state + classes[code]])
            if entry < 0:
                row = state // width
                if n + final[row + 1] - final[row] > len(spans):
                    return caption, before
                for j in range(final[row], final[row + 1]):
                    form = outputs[j]
                    spans[n, 0], spans[n, 1] = caption, form
                    spans[n, 2], spans[n, 3] = _walked_back(classes, lengths[form], data, here, start)
                    n += 1
                entry = ~entry
            state = entry
        caption += 1
    return caption, n


@no_type_check
@njit(nogil=True, cache=True)
def find_spans(table, classes, width, final, outputs, lengths, offsets, data):
    """Every occurrence of every form, as rows (caption, form, first byte in `data`, byte after the last)."""
    spans = np.empty((2 * len(offsets) + 256, 4), np.int64)
    caption, n = 0, 0
    while True:
        # In a loop of its own: one that an array is assigned in counts references for every byte.
        caption, n = _fill(table, classes, width, final, outputs, lengths, offsets, data, spans, caption, n)
        if caption == len(offsets) - 1:
            return spans[:n]
        larger = np.empty((2 * len(spans) + len(outputs), 4), np.int64)
        larger[:n] = spans[:n]
        spans = larger


@no_type_check
@njit(nogil=True, cache=True)
def to_points(spans, offsets, data):
    """Turn places in bytes of the data, in columns 2 and 3 of sorted rows, into code points of their captions."""
    caption, i, point = np.int64(-1), np.int64(0), np.int64(0)
    for n in range(len(spans)):
        if spans[n, 0] != caption:
            caption, i, point = spans[n, 0], offsets[spans[n, 0]], 0
        while i < spans[n, 2]:
            _, i = decode(data, i, offsets[caption + 1]) if data[i] >= 128 else (0, i + 1)
            point += 1
        j, after = i, point
        while j < spans[n, 3]:
            _, j = decode(data, j, offsets[caption + 1]) if data[j] >= 128 else (0, j + 1)
            after += 1
        spans[n, 2], spans[n, 3] = point, after
