"""A compiled loop: numba is imported only where a dictionary of texts is met."""

from typing import no_type_check

from vergence.compiled import njit


@no_type_check
@njit(nogil=True, cache=True)
def longest_plain(data, count):
    """Bytes of the longest of `count` values in Parquet's plain encoding: four bytes of length before each."""
    at, longest = 0, 0
    for _ in range(count):
        if at + 4 > len(data):
            break
        length = int(data[at]) | (int(data[at + 1]) << 8) | (int(data[at + 2]) << 16) | (int(data[at + 3]) << 24)
        longest = max(longest, min(length, len(data)))
        at += 4 + length
    return longest
