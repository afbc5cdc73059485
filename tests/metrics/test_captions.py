"""Scores of captions against those of the published evaluation, and against their definitions written out."""

import json
from collections import Counter
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import bleu, caption_scores, cider, rouge_l, tokenize

PUBLISHED = json.loads(Path(__file__).with_name("captions.json").read_text())
CANDIDATES, REFERENCES = PUBLISHED["candidates"], PUBLISHED["references"]

WORDS = st.lists(st.sampled_from(["a", "red", "cup", "on", "the", "table"]), min_size=1, max_size=7).map(" ".join)
CORPUS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=2, max_size=6)


def test_words_are_those_of_the_published_tokenizer():
    wrong = [text for text, words in PUBLISHED["tokens"] if " ".join(tokenize(text)) != words]
    assert wrong == []
    assert len(PUBLISHED["tokens"]) >= 140


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_is_the_published_one(order):
    score = bleu(CANDIDATES, REFERENCES, order=order)
    assert score.corpus == pytest.approx(PUBLISHED["bleu"][order - 1], abs=1e-9)
    np.testing.assert_allclose(score.items, PUBLISHED["bleu_items"][order - 1], atol=1e-9)


def test_cider_and_rouge_are_the_published_ones():
    score = cider(CANDIDATES, REFERENCES)
    assert score.corpus == pytest.approx(PUBLISHED["cider_d"], abs=1e-9)
    np.testing.assert_allclose(score.items, PUBLISHED["cider_d_items"], atol=1e-9)
    np.testing.assert_allclose(rouge_l(CANDIDATES, REFERENCES).items, PUBLISHED["rouge_l_items"], atol=1e-9)


def grams(text, n):
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


@given(CORPUS)
def test_bleu_2_is_its_definition(corpus):
    right, tried = [0, 0], [0, 0]
    for said, refs in corpus:
        for n in (1, 2):
            for gram, count in grams(said, n).items():
                right[n - 1] += min(count, max(grams(ref, n)[gram] for ref in refs))
                tried[n - 1] += count
    c = sum(len(said.split()) for said, _ in corpus)
    r = sum(
        min((abs(len(ref.split()) - len(said.split())), len(ref.split())) for ref in refs)[1] for said, refs in corpus
    )
    expected = exp(min(0, 1 - r / c)) * (right[0] / tried[0]) ** 0.5 * (right[1] / max(1, tried[1])) ** 0.5
    found = bleu([said for said, _ in corpus], [refs for _, refs in corpus], order=2).corpus
    assert found == pytest.approx(expected, abs=2e-3)  # nothing right, or nothing to be right, is almost 0, not 0


@given(CORPUS)
def test_cider_without_clipping_is_a_mean_of_cosines(corpus):
    n_items = len(corpus)

    def weights(text, n):
        rare = {
            gram: log(n_items) - log(max(1, sum(any(gram in grams(ref, n) for ref in refs) for _, refs in corpus)))
            for gram in grams(text, n)
        }
        return {gram: count * rare[gram] for gram, count in grams(text, n).items()}

    def cosine(a, b):
        norms = (sum(v**2 for v in a.values()) * sum(v**2 for v in b.values())) ** 0.5
        return sum(a[gram] * b.get(gram, 0) for gram in a) / norms if norms else 0

    expected = np.mean(
        [
            np.mean([cosine(weights(said, n), weights(ref, n)) for ref in refs for n in (1, 2, 3, 4)])
            for said, refs in corpus
        ]
    )
    found = cider([said for said, _ in corpus], [refs for _, refs in corpus], clipped=False, scale=1.0)
    assert found.corpus == pytest.approx(expected, abs=1e-9)
    clipped = cider([said for said, _ in corpus], [refs for _, refs in corpus], scale=1.0)
    assert (clipped.items <= found.items + 1e-12).all()


@given(CORPUS)
def test_scores_lie_in_their_range_and_order_of_references_is_of_no_account(corpus):
    said, refs = [said for said, _ in corpus], [refs for _, refs in corpus]
    for score, top in ((bleu, 1), (cider, 10), (rouge_l, 1)):
        items = score(said, refs).items
        assert (items >= 0).all()
        assert (items <= top * (1 + 1e-6)).all()
        np.testing.assert_allclose(score(said, [one[::-1] for one in refs]).items, items, atol=1e-12)


def test_intervals_cover_the_score_of_other_items():
    draw = np.random.default_rng(0)
    pool = [(said, refs) for said, refs in zip(CANDIDATES, REFERENCES, strict=True)]
    whole = bleu(CANDIDATES, REFERENCES).corpus
    covered = 0
    for _ in range(60):
        said, refs = zip(*[pool[i] for i in draw.integers(len(pool), size=len(pool))], strict=True)
        interval = bleu(said, refs).interval(generator=draw, n_resamples=300)
        covered += interval.low <= whole <= interval.high
    assert covered >= 50
    alike = bleu(["a red cup now"] * 3, [["a red cup now"]] * 3).interval(generator=draw)
    assert alike.low == pytest.approx(alike.high)


def test_bad_input_is_named():
    with pytest.raises(ShapeError, match="2 candidates, 1 of references"):
        bleu(["a", "b"], [["a"]])
    with pytest.raises(ConfigError, match="item 1 has none"):
        cider(["a", "b"], [["a"], []])
    with pytest.raises(ShapeError, match="list of lists"):
        rouge_l(["a"], ["a"])
    assert bleu(["", "..."], [["a cup"], ["a cup"]]).corpus < 1e-6
    assert rouge_l([""], [["a cup"]]).corpus == 0


def test_all_scores_at_once_are_those_of_each_and_clusters_widen_their_intervals():
    candidates, references = CANDIDATES[:12] * 6, REFERENCES[:12] * 6
    clusters = list(range(12)) * 6
    scores, items = caption_scores(candidates, references, clusters=clusters, generator=np.random.default_rng(0))
    alone, _ = caption_scores(candidates, references, generator=np.random.default_rng(0))
    assert scores["value"].tolist() == alone["value"].tolist()
    expected = [
        *(bleu(candidates, references, order=order).corpus for order in (1, 2, 3, 4)),
        cider(candidates, references, clipped=False).corpus,
        cider(candidates, references).corpus,
        rouge_l(candidates, references).corpus,
    ]
    assert scores["value"].tolist() == expected
    assert items["rouge_l"].mean() == pytest.approx(expected[-1])
    ratio = (scores["high"] - scores["low"]) / (alone["high"] - alone["low"])
    assert ((ratio > 1.9) & (ratio < 3.1)).all()  # six copies of each: the root of 6
    assert ((scores["low"] < scores["value"]) & (scores["value"] < scores["high"])).all()


def test_clusters_must_be_as_many_as_items():
    with pytest.raises(ShapeError, match="got 1 clusters and 2 items"):
        rouge_l(["a", "b"], [["a"], ["b"]]).interval(generator=np.random.default_rng(0), clusters=["x"])
