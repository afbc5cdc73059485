"""Where captions and keys are in blocks of CSV and JSON lines, byte by byte; compiled by numba.

Of each record: where its caption's bytes begin and end, what they are, the same of its key, and where the record ends.
"""

from typing import no_type_check

import numpy as np

from vergence.compiled import njit

ABSENT, PLAIN, ESCAPED, NULL, QUOTED = 0, 1, 2, 4, 8
"""What a field is: not there or unusable; bytes as they are; bytes that stand for others; null; in quotes beside."""


@no_type_check
@njit(nogil=True, cache=True)
def _doubled(rows):
    """The same rows, with room for as many more."""
    larger = np.zeros((2 * len(rows), rows.shape[1]), np.int64)
    larger[: len(rows)] = rows
    return larger


@no_type_check
@njit(nogil=True, cache=True)
def csv_places(data, delimiter, quoting, caption, key, width, final):
    """Fields of complete records.

    Args:
        data: A block that begins with a record.
        delimiter: Between fields.
        quoting: Whether fields can be in quotes.
        caption: The number of the caption's field, from 0.
        key: That of the key's, -1 if there is none.
        width: How many fields a record must have.
        final: Whether the file ends with the block.

    Returns:
        Rows of caption start, end, state, key start, end, state; and how many bytes the records take.
    """
    rows = np.zeros((1024, 6), np.int64)
    n, i, size = 0, 0, len(data)
    while i < size:
        begin, field, done = i, 0, False
        row = np.zeros(6, np.int64)
        while not done:
            first, state = i, PLAIN
            if quoting and i < size and data[i] == 34:
                i += 1
                first = i
                closed = False
                while i < size:
                    if data[i] == 34:
                        if i + 1 < size and data[i + 1] == 34:
                            state = ESCAPED
                            i += 2
                            continue
                        closed = True
                        break
                    i += 1
                last = i
                i += 1
                if not closed:
                    i = size
                    field = -1
                    break
                if i < size and data[i] != delimiter and data[i] != 10 and data[i] != 13:
                    state = ABSENT  # more after the quote: whoever reads it differs
                    while i < size and data[i] != delimiter and data[i] != 10:
                        i += 1
                if i < size and data[i] == 13:
                    i += 1
                state |= QUOTED
            else:
                while i < size and data[i] != delimiter and data[i] != 10:
                    i += 1
                last = i
                ends = i == size or data[i] == 10
                if ends and last > first and data[last - 1] == 13:
                    last -= 1
                if last == first:
                    state = NULL
            if field == caption:
                row[0], row[1], row[2] = first, last, state
            if field == key:
                row[3], row[4], row[5] = first, last, state
            field += 1
            done = i >= size or data[i] != delimiter
            i += 1
        ended = 0 < i <= size and data[i - 1] == 10
        if not ended and not final:
            return rows[:n], begin
        blank = field == 1 and row[1] <= row[0] and width != 1
        if not blank:
            if field != width:
                row[2] = ABSENT
            if n == len(rows):
                rows = _doubled(rows)
            rows[n] = row
            n += 1
        i = min(i, size)
    return rows[:n], size


@no_type_check
@njit(nogil=True, cache=True)
def _blank(data, i, end):
    while i < end and (data[i] == 32 or data[i] == 9 or data[i] == 13 or data[i] == 10):
        i += 1
    return i


@no_type_check
@njit(nogil=True, cache=True)
def _string(data, i, end):
    """Where the string that begins after a quote ends, and whether it holds escapes; -1 if it does not end."""
    escaped = False
    while i < end:
        if data[i] == 34:
            return i, escaped
        if data[i] == 92:
            escaped = True
            i += 1
        i += 1
    return -1, escaped


@no_type_check
@njit(nogil=True, cache=True)
def _equal(data, first, last, name):
    if last - first != len(name):
        return False
    for k in range(len(name)):
        if data[first + k] != name[k]:
            return False
    return True


@no_type_check
@njit(nogil=True, cache=True)
def object_places(data, i, end, caption, key, row):
    """Fill in where the values at two keys of one JSON object are; nothing is filled in where it is none."""
    row[:] = 0
    i = _blank(data, i, end)
    if i >= end or data[i] != 123:
        return
    i = _blank(data, i + 1, end)
    times = 0
    while i < end and data[i] == 34:
        first = i + 1
        last, escaped = _string(data, first, end)
        if last < 0:
            row[2] = ABSENT
            return
        i = _blank(data, last + 1, end)
        if i >= end or data[i] != 58:
            row[2] = ABSENT
            return
        i = _blank(data, i + 1, end)
        a, b, state = i, i, ABSENT
        if i < end and data[i] == 34:
            a = i + 1
            b, inner = _string(data, a, end)
            if b < 0:
                row[2] = ABSENT
                return
            state = ESCAPED if inner else PLAIN
            i = b + 1
        else:
            depth = 0
            while i < end:
                c = data[i]
                if c == 34:
                    i, _ = _string(data, i + 1, end)
                    if i < 0:
                        row[2] = ABSENT
                        return
                elif c == 123 or c == 91:
                    depth += 1
                elif c == 125 or c == 93:
                    if depth == 0:
                        break
                    depth -= 1
                elif c == 44 and depth == 0:
                    break
                i += 1
            b = i
            while b > a and (data[b - 1] == 32 or data[b - 1] == 9 or data[b - 1] == 13 or data[b - 1] == 10):
                b -= 1
            if b - a == 4 and data[a] == 110:
                state = NULL
            elif b > a and (data[a] == 45 or 48 <= data[a] <= 57):
                state = PLAIN | QUOTED  # a number, which can be a key and no caption
        if not escaped and _equal(data, first, last, caption):
            times += 1
            row[0], row[1], row[2] = a, b, (ABSENT if state & QUOTED else state)
        if not escaped and len(key) and _equal(data, first, last, key):
            row[3], row[4], row[5] = a, b, state & ~QUOTED
        i = _blank(data, i, end)
        if i < end and data[i] == 44:
            i = _blank(data, i + 1, end)
        elif i < end and data[i] == 125:
            if times > 1 or _blank(data, i + 1, end) != end:
                row[2] = ABSENT
            return
        else:
            break
    row[2] = ABSENT


@no_type_check
@njit(nogil=True, cache=True)
def line_places(data, caption, key, final):
    """The same for lines of JSON, or where no name is given for lines that are captions."""
    rows = np.zeros((1024, 6), np.int64)
    n, i, size = 0, 0, len(data)
    row = np.zeros(6, np.int64)
    while i < size:
        end = i
        while end < size and data[end] != 10:
            end += 1
        if end == size and not final:
            return rows[:n], i
        if len(caption):
            object_places(data, i, end, caption, key, row)
        else:
            row[:] = 0
            last = end - 1 if end > i and data[end - 1] == 13 else end
            row[0], row[1], row[2] = i, last, (PLAIN if last > i else NULL)
        if n == len(rows):
            rows = _doubled(rows)
        rows[n] = row
        n += 1
        i = end + 1
    return rows[:n], size
