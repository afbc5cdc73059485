"""Loops over Arrow's string buffers, compiled by numba; all of them release the interpreter's lock.

The automaton's loop advances four captions at once. Each step waits for two dependent loads; with four chains
interleaved the processor works on three others meanwhile. The four lanes walk four stretches of the batch, so their
hits, put one after the other, are in the order of the captions.
"""

from typing import no_type_check

import numpy as np

from vergence.corpus.compiled import njit


@no_type_check
@njit(nogil=True, cache=True)
def _decode(data, i, end):
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
            code, i0 = _decode(data, i0, e0)
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
            code, i1 = _decode(data, i1, e1)
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
            code, i2 = _decode(data, i2, e2)
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
            code, i3 = _decode(data, i3, e3)
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
            code, i = _decode(data, i, end) if data[i] >= 128 else (np.int64(data[i]), i + 1)
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
        bounds[lane] = min(np.searchsorted(offsets, offsets[0] + size * lane // 4), n_captions)
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
def find_spans(table, classes, width, final, outputs, lengths, offsets, data):
    """Every occurrence of every form, as rows (caption, form, first code point, code point after the last)."""
    spans = np.empty((256, 4), np.int64)
    n = 0
    for caption in range(len(offsets) - 1):
        i, end = offsets[caption], offsets[caption + 1]
        state, place = np.int32(0), 0
        while True:
            entry = np.int32(-1)  # at the end of the caption, report whatever ends there
            if i < end:
                code, i = _decode(data, i, end) if data[i] >= 128 else (np.int64(data[i]), i + 1)
                entry = table[state + classes[code]]
            else:
                i = end + 1
            if entry < 0:
                row = state // width
                if n + final[row + 1] - final[row] > len(spans):
                    larger = np.empty((2 * len(spans) + final[row + 1] - final[row], 4), np.int64)
                    larger[:n] = spans[:n]
                    spans = larger
                for j in range(final[row], final[row + 1]):
                    form = outputs[j]
                    spans[n] = np.array([caption, form, place - lengths[form], place])
                    n += 1
                entry = ~entry
            if i > end:
                break
            state = entry
            place += 1
    return spans[:n]


@no_type_check
@njit(nogil=True, cache=True)
def _word(data, i, end):
    """The next eight bytes as one number, or what is left of them, filled with zeros."""
    word = np.uint64(0)
    at = np.uint64(i)  # unsigned, so that no index can count from the end and eight loads become one
    if i + 8 <= end:
        for j in range(8):
            word |= np.uint64(data[at + np.uint64(j)]) << np.uint64(8 * j)
    else:
        for j in range(end - i):
            word |= np.uint64(data[at + np.uint64(j)]) << np.uint64(8 * j)
    return word


@no_type_check
@njit(nogil=True, cache=True)
def ill_formed(offsets, data):
    """Whether each caption is not well-formed UTF-8 (Unicode's table 3-7: no overlong form, no surrogate)."""
    n_captions = len(offsets) - 1
    bad = np.zeros(n_captions, np.bool_)
    for caption in range(n_captions):
        i, end = offsets[caption], offsets[caption + 1]
        while i < end and _word(data, i, end) & np.uint64(0x8080808080808080) == 0:
            i += 8
        while i < end:
            b = data[i]
            if b < 128:
                i += 1
                continue
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
                break
            for j in range(i + 2, i + 1 + more):
                if data[j] & 0xC0 != 0x80:
                    bad[caption] = True
            if bad[caption]:
                break
            i += 1 + more
    return bad


@no_type_check
@njit(nogil=True, cache=True)
def digest_and_measure(offsets, data):
    """A 64-bit digest of each caption's bytes, the same on every machine and in every run, and its code points."""
    n_captions = len(offsets) - 1
    digests = np.empty(n_captions, np.uint64)
    lengths = np.empty(n_captions, np.int64)
    for caption in range(n_captions):
        i, end = offsets[caption], offsets[caption + 1]
        h = mix(np.uint64(end - i))
        continuing = np.uint64(0)
        while i < end:
            word = _word(data, i, end)
            h = (h ^ word) * np.uint64(0x9E3779B97F4A7C15)
            h ^= h >> np.uint64(32)
            # Bytes 10xxxxxx continue a code point: bit 7 set and bit 6 not, counted for all eight by one product.
            tops = (word >> np.uint64(7)) & ~(word >> np.uint64(6)) & np.uint64(0x0101010101010101)
            continuing += (tops * np.uint64(0x0101010101010101)) >> np.uint64(56)
            i += 8
        digests[caption] = mix(h)
        lengths[caption] = end - offsets[caption] - np.int64(continuing)
    return digests, lengths


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
        place = np.searchsorted(row, priority)
        if row[place] == priority:
            continue
        for j in range(size - 1, place, -1):
            row[j], owners[j] = row[j - 1], owners[j - 1]
        row[place], owners[place] = priority, caption
