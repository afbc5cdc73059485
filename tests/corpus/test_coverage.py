"""Coverage: counts, merging, and what is read off."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.corpus import Concept, Group, Lexicon, concepts_146
from vergence.corpus.coverage import Coverage, wilson
from vergence.corpus.sketch import DistinctSketch
from vergence.errors import ConfigError, CorpusError

PETS = Lexicon(
    "pets",
    (
        Group("animal", (Concept("dog", ("dog", "puppy"), exclude=("hot dog",), inflect="noun"), Concept("cat"))),
        Group("color", (Concept("red"), Concept("rust", ("rust", "red rust")))),
    ),
    negation=("no", "without"),
)
WORDS = ["dog", "dogs", "puppies", "hot dog", "no dog", "cat", "red", "rust", "red rust", "without a cat", "ſea"]
captions = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(", ".join), max_size=12)


def state(coverage: Coverage) -> str:
    return json.dumps(coverage.to_dict(), sort_keys=True)


def of(texts: list[str]) -> Coverage:
    coverage = Coverage(PETS)
    coverage.add(texts)
    return coverage


@given(captions, st.randoms(use_true_random=False))
def test_the_order_of_captions_does_not_matter(texts: list[str], random) -> None:
    shuffled = random.sample(texts, len(texts))
    assert state(of(shuffled)) == state(of(texts))


@given(captions, st.lists(st.integers(0, 12)), st.booleans())
def test_splitting_anywhere_and_merging_changes_nothing(texts: list[str], cuts: list[int], store: bool) -> None:
    bounds = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
    parts = [of(texts[a:b]) for a, b in pairwise(bounds)]
    merged = Coverage(PETS)
    for part in reversed(parts):
        merged.merge(Coverage.from_bytes(part.to_bytes(), PETS) if store else part)
    assert state(merged) == state(of(texts))


@given(captions, st.permutations(["dog", "puppy", "pup"]))
def test_the_order_of_forms_does_not_matter(texts: list[str], forms: list[str]) -> None:
    counts = []
    for order in (forms, sorted(forms)):
        coverage = Coverage(Lexicon("x", (Group("g", (Concept("dog", tuple(order)),)),)))
        coverage.add(texts)
        counts.append(coverage.concepts.tolist())
    assert counts[0] == counts[1]


def test_exclusion_negation_and_inflection_apply_as_the_lexicon_asks() -> None:
    coverage = of(
        ["a hot dog", "a hot dog and a dog", "no dog here", "no dog but dogs", "without any  puppies", "no red dog"]
    )
    dog = coverage.table().set_index("concept").loc["dog"]
    assert (dog["captions"], dog["negated"]) == (3, 2)
    assert coverage.table().set_index("concept")["negated"]["red"] == 1
    plain = Coverage(Lexicon("plain", (Group("animal", (Concept("dog"),)),)))
    plain.add(["a hot dog", "no dog", "dogs"])
    assert plain.concepts.tolist() == [2]


def test_a_form_shared_by_several_concepts_counts_for_all() -> None:
    coverage = Coverage(concepts_146())
    coverage.add(["a bike", None, ""])
    table = coverage.table().query("captions > 0")
    assert table["concept"].tolist() == ["motorcycle", "bicycle"]
    assert coverage.captions == 2
    assert coverage.group_table().set_index("group")["captions"]["vehicle"] == 1
    assert coverage.co_mentions().values.tolist() == [["vehicle", "motorcycle", "vehicle", "bicycle", 1]]


def test_lengths_and_duplicates() -> None:
    coverage = of(["é" * 10, "é" * 10, "x", "", "y" * 5000])
    assert coverage.length_quantiles() == {"mean": 5021 / 5, "p5": 0, "p50": 10, "p95": 1024, "max": 5000}
    assert coverage.duplicate_share() == pytest.approx(1 / 5)


def test_duplicates_of_a_large_corpus_are_estimated_within_three_percent() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 60_000, 200_000)
    coverage = Coverage(PETS)
    coverage.add(pa.array([f"caption {k}" for k in drawn]))
    truth = 1 - len(np.unique(drawn)) / len(drawn)
    assert coverage.duplicate_share() == pytest.approx(truth, abs=0.03 * (1 - truth))


@given(st.lists(st.lists(st.integers(0, 40)), max_size=4))
def test_small_sketches_count_exactly(parts: list[list[int]]) -> None:
    sketch = DistinctSketch()
    for part in parts:
        other = DistinctSketch()
        other.add(np.array(part, dtype=np.uint64))
        sketch.merge(other)
    assert sketch.count() == len({value for part in parts for value in part})


def test_examples_are_different_captions_that_mention_the_concept_and_uniform() -> None:
    texts = [f"dog {k}" for k in range(20)] * 3
    coverage = of(texts)
    assert len(set(coverage.examples()[0])) == 5
    assert set(coverage.examples()[0]) <= set(texts)
    chosen: Counter[str] = Counter()
    for trial in range(400):
        some = of([f"{trial} dog {k}" for k in range(10)])
        chosen.update(text.rpartition(" ")[2] for text in some.examples()[0])
    assert min(chosen.values()) > 150  # 200 expected of each, standard deviation 10
    assert max(chosen.values()) < 250


def test_wilson_reproduces_published_limits_and_knows_its_extremes() -> None:
    low, high = wilson(np.array([81, 15, 0, 1, 0]), np.array([263, 148, 20, 29, 0]))
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0, 0.0061, 0], atol=5e-5)  # newcombe1998, table I, method 3
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718, 1], atol=5e-5)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
def test_damaged_counts_are_refused_or_read(edits: list[tuple[int, int]], packed: bool) -> None:
    """Wherever they are damaged, packed or not yet: no other error, and what is read can be shown."""
    data = of(["a dog", "a red puppy", "no cat"]).to_bytes()
    plain = bytearray(data if packed else pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    for place, value in edits:
        plain[place % len(plain)] = value
    sink = pa.BufferOutputStream()
    if not packed:
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(bytes(plain))
    try:
        json.dumps(Coverage.from_bytes(bytes(plain) if packed else bytes(sink.getvalue()), PETS).to_dict())
    except CorpusError as error:
        assert str(error).startswith(("damaged counts", "these counts come from another lexicon"))  # noqa: PT017


def test_contradictions_are_refused() -> None:
    with pytest.raises(CorpusError, match="cannot merge coverage by"):
        of([]).merge(Coverage(PETS, match="substring"))
    with pytest.raises(ConfigError, match=r"unknown match 'words'; known: word, substring\. Did you mean 'word'"):
        Coverage(PETS, match="words")
    with pytest.raises(CorpusError, match="damaged counts"):
        Coverage.from_bytes(of(["dog"]).to_bytes()[:-40], PETS)
    renamed = Lexicon("other", PETS.groups, PETS.negation)
    with pytest.raises(CorpusError, match="another lexicon than"):
        Coverage.from_bytes(of(["dog"]).to_bytes(), renamed)
    with pytest.raises(CorpusError, match="captions must be text; got an array of int64"):
        of([]).add(pa.array([1, 2]))
