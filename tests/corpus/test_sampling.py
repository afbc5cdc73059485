"""The sample of captions: exact, of fixed size, and the same in whatever order and division captions come."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.corpus import sampling
from vergence.corpus.matching import text_buffers
from vergence.corpus.measures import digest_and_measure
from vergence.corpus.sampling import CaptionSample

LETTERS = st.lists(st.text("abé狗 ", max_size=3), max_size=60)


def digests(texts: list[str]) -> np.ndarray:
    return digest_and_measure(*text_buffers(pa.array(texts, type=pa.large_string())))[0]


def of(texts: list[str], size: int) -> CaptionSample:
    sample = CaptionSample()
    if texts:
        seen = np.unique(digests(texts))
        sample.add(pa.array(texts, type=pa.large_string()), digests(texts), seen[: 4 * size])
    return sample


def content(sample: CaptionSample) -> tuple[list[int], list[int], list[bytes]]:
    return sample.digests.tolist(), sample.counts.tolist(), sample.texts.to_pylist()


@given(LETTERS, st.lists(st.integers(0, 60), max_size=5), st.randoms(use_true_random=False), st.sampled_from([1, 3, 8]))
def test_order_and_division_change_nothing_and_counts_are_exact(texts: list[str], cuts, random, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "SIZE", size)
        whole = of(texts, size)
        shuffled = random.sample(texts, len(texts))
        bounds = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
        parts = [of(shuffled[a:b], size) for a, b in pairwise(bounds)]
        random.shuffle(parts)
        merged = CaptionSample()
        for part in parts:
            merged.merge(CaptionSample.from_arrays(part.arrays()) if random.random() < 0.5 else part)
        assert content(merged) == content(whole)
        smallest = sorted(set(digests(texts).tolist()))[:size] if texts else []
        assert whole.digests.tolist() == smallest
        often = Counter(texts)
        assert [often[text.decode()] for text in whole.texts.to_pylist()] == whole.counts.tolist()
        assert whole.is_whole == (len(set(texts)) < size)


def test_a_sample_is_of_fixed_size_however_long_and_many_the_captions() -> None:
    sample, rng = CaptionSample(), np.random.default_rng(0)
    seen = np.empty(0, dtype=np.uint64)
    for _ in range(3):
        texts = [f"{k} " + "wörter " * 1000 for k in rng.integers(0, 10**9, 4000)]
        seen = np.unique(np.concatenate([seen, digests(texts)]))
        sample.add(pa.array(texts), digests(texts), seen)
    assert len(sample.digests) == sampling.SIZE
    assert sample.texts.nbytes < 1000 * sampling.SIZE
    assert all(set(text.split()[1:]) == {"wörter"} for text in sample.captions())


def test_shares_in_a_sample_are_those_of_the_corpus_within_their_error() -> None:
    """A text that comes often makes its sample worth less, and the effective size says so."""
    rng = np.random.default_rng(1)
    texts = [f"{'hund' if k % 3 == 0 else 'dog'} {k}" for k in rng.integers(0, 30_000, 60_000)]
    sample = of(texts, sampling.SIZE)
    share = (
        sum(n for text, n in zip(sample.captions(), sample.counts, strict=True) if "hund" in text) / sample.counts.sum()
    )
    assert share == pytest.approx(1 / 3, abs=4 * (2 / 9 / sample.effective) ** 0.5)
    assert not sample.is_whole
    assert sampling.SIZE / 2 < sample.effective < sample.counts.sum()


def test_samples_that_do_not_fit_together_are_refused() -> None:
    arrays = of(["a dog", "a cat"], 8).arrays()
    for name in ("sample_counts", "sample_text", "sample_lengths"):
        with pytest.raises(ValueError, match="the sample of captions is not whole"):
            CaptionSample.from_arrays({**arrays, name: arrays[name][:-1]})
