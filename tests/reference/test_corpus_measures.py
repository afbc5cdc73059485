"""What is measured beside mentions, against loops that transcribe it."""

import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from vergence.corpus.matching import text_buffers
from vergence.corpus.measures import add_hits, digest_and_measure, keep_smallest
from vergence.corpus.sketch import DistinctSketch

BITS = 2**64


def slow_mix(h: int) -> int:
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 % BITS
    h = (h ^ h >> 27) * 0x94D049BB133111EB % BITS
    return h ^ h >> 31


def slow_digest(caption: bytes) -> int:
    h = slow_mix(len(caption))
    for start in range(0, len(caption), 8):
        h = (h ^ int.from_bytes(caption[start : start + 8], "little")) * 0x9E3779B97F4A7C15 % BITS
        h ^= h >> 32
    return slow_mix(h)


@given(st.lists(st.text(st.sampled_from("ab é猫🐱"), max_size=30), max_size=8), st.integers(0, 8))
def test_digests_and_lengths_equal_the_slow_ones_wherever_the_captions_lie(texts: list[str], first: int) -> None:
    array = pa.array(texts, type=pa.string())[first:]
    digests, lengths = digest_and_measure(*text_buffers(array))
    assert digests.tolist() == [slow_digest(text.encode()) for text in texts[first:]]
    assert lengths.tolist() == [len(text) for text in texts[first:]]


def test_the_digest_of_bytes_that_fill_their_buffer_is_the_same() -> None:
    data = np.frombuffer(b"0123456789abcdefghi", dtype=np.uint8)
    for bounds in ([0, 3, 19], [0, 8, 16], [1, 1, 18], [0, 12, 19]):
        offsets = np.array(bounds, dtype=np.int64)
        expected = [slow_digest(data[a:b].tobytes()) for a, b in pairwise(bounds)]
        assert digest_and_measure(offsets, data)[0].tolist() == expected


@given(st.lists(st.sets(st.integers(0, 3)), max_size=20), st.integers(1, 3), st.integers(1, 10))
def test_hits_are_counted_and_examples_kept_as_by_sets(found: list[set[int]], size: int, different: int) -> None:
    hits = np.array([c << 32 | k for c, numbers in enumerate(found) for k in sorted(numbers)], dtype=np.int64)
    concepts, groups, pairs = np.zeros(4, np.int64), np.zeros(2, np.int64), np.zeros((4, 4), np.int64)
    add_hits(hits, np.array([0, 0, 1, 1]), concepts, groups, pairs)
    assert concepts.tolist() == [sum(k in numbers for numbers in found) for k in range(4)]
    assert groups.tolist() == [sum(bool(numbers & of) for numbers in found) for of in ({0, 1}, {2, 3})]
    assert pairs.tolist() == [[sum({j, k} <= numbers for numbers in found) for k in range(4)] for j in range(4)]

    digest = np.array([slow_mix(c % different) for c in range(len(found))], dtype=np.uint64)
    salts = np.arange(1, 5, dtype=np.uint64)
    priorities, owners = np.full((4, size), BITS - 1, np.uint64), np.full((4, size), -1)
    keep_smallest(hits, digest, salts, priorities, owners)
    for k in range(4):
        mentioning = [c for c, numbers in enumerate(found) if k in numbers]
        expected = sorted({slow_mix(int(digest[c]) ^ k + 1) for c in mentioning})[:size]
        assert priorities[k, : len(expected)].tolist() == expected
        kept = owners[k, : len(expected)].tolist()
        assert [slow_mix(int(digest[c]) ^ k + 1) for c in kept] == expected
        assert set(kept) <= set(mentioning)


def test_a_full_sketch_keeps_the_smallest_different_digests_however_many_are_equal() -> None:
    draw = random.Random(0)
    for different, parts in ((20_000, (70_000,)), (100_000, (30_000, 90_000, 5)), (17_000, (60_000, 60_000))):
        known = [draw.getrandbits(64) for _ in range(different)]
        sketch, seen = DistinctSketch(), set[int]()
        for n in parts:
            digests = draw.choices(known, k=n)
            seen.update(digests)
            sketch.add(np.array(digests, dtype=np.uint64))
        assert sketch.smallest.tolist() == sorted(seen)[: 1 << 14]
