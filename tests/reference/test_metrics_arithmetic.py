"""Arithmetic on embeddings, and similarity to several vectors, written out item by item in float64."""

from sys import modules

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.metrics import arithmetic, retrieve
from vergence.metrics import retrieval as retrieval_module
from vergence.metrics.retrieval import Ranks

from .test_metrics_alignment import slow_hit

PHRASES = [("tone", "light"), ("tone", "dark"), ("age", "old"), ("age", "young")]


def gallery(seed: int, n: int = 40) -> tuple[pd.DataFrame, list[str]]:
    rng = np.random.default_rng(seed)
    labels = pd.DataFrame(
        {
            "tone": rng.choice(["light", "dark", None], n),  # "dusk" has no phrase
            "age": rng.choice(["old", "young", "dusk"], n),
            "view": rng.choice(["left", None], n),
        }
    )
    return labels, rng.choice(["cup", "hat", "jug"], n).tolist()


def length_1(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def slow_queries(labels: pd.DataFrame, concepts: list[str]):
    """By factor, source image and target value: which images answer."""
    rows = labels.where(labels.notna(), "-").to_dict("records")
    for factor in ("tone", "age"):
        values = [value for name, value in PHRASES if name == factor]
        for item, row in enumerate(rows):
            for target in values:
                wanted = row | {factor: target}
                right = {
                    j for j in range(len(rows)) if j != item and rows[j] == wanted and concepts[j] == concepts[item]
                }
                if row[factor] in values and row[factor] != target and right:
                    yield factor, item, target, right


@pytest.mark.parametrize("move", ["best", "each"])
@pytest.mark.parametrize("queries", [None, 3])
def test_arithmetic_is_its_definition(queries: int | None, move: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules["vergence.metrics.arithmetic"], "_BLOCK", 40 * 3 * 7)  # seven queries at once, or 21
    rng = np.random.default_rng(0)
    labels, concepts = gallery(1)
    z_image, z_text = rng.normal(size=(40, queries or 1, 5)), rng.normal(size=(4, 5))
    images, texts = length_1(z_image), length_1(z_text)
    found = arithmetic(z_image if queries else z_image[:, 0], z_text, PHRASES, labels, concepts, step=0.8, move=move)
    own = found.queries[found.queries["method"] == "arithmetic"].set_index(["factor", "item", "target"])
    expected = list(slow_queries(labels, concepts))
    assert len(own) == len(expected) > 20
    for factor, item, target, right in expected:
        source = texts[PHRASES.index((factor, labels[factor][item]))]
        difference = 0.8 * (texts[PHRASES.index((factor, target))] - source)
        if move == "best":
            at = max(range(len(images[item])), key=lambda q: images[item, q] @ source)
            moved = length_1(images[item, at] + difference)
            scores = [max(moved @ vector for vector in image) for image in images]
        else:
            moved = length_1(images[item] + difference)
            scores = [np.mean([a @ b for a, b in zip(moved, image, strict=True)]) for image in images]
        order = sorted((j for j in range(40) if j != item), key=lambda j: -scores[j])
        rank = 1 + min(order.index(j) for j in right)
        row = own.loc[(factor, item, target)]
        assert row["rank"] == rank
        assert row["reciprocal_rank"] == pytest.approx(1 / rank)
        assert (row["recall@1"], row["recall@5"]) == (rank == 1, rank <= 5)
        assert row["first"] == order[0]
        assert row["source_first"] == (scores[item] > scores[order[0]])
        same, value = concepts[order[0]] == concepts[item], labels[factor][order[0]]
        outcome = (
            "exact" if order[0] in right
            else "unchanged" if same and value == labels[factor][item]
            else "strayed" if same
            else "value_only" if value == target
            else "neither"
        )  # fmt: skip
        assert row[outcome] == 1


def test_similarity_to_several_vectors_is_that_of_the_nearest_whatever_the_block(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    images, texts = rng.normal(size=(6, 4, 3)), rng.normal(size=(15, 3))
    image_of_text = torch.from_numpy(rng.permutation(np.arange(15) % 5))  # five captions of none, three of the others
    scores = np.array([[max(length_1(t) @ v for v in length_1(i)) for i in images] for t in texts])
    whole = retrieve(images, texts, image_of_text=image_of_text)
    monkeypatch.setattr(retrieval_module, "_BLOCK", 50)  # two texts at once
    found = retrieve(images, texts, image_of_text=image_of_text)
    assert found.table() == whole.table()
    by_text = [1 + int((row > row[own]).sum()) for row, own in zip(scores, image_of_text, strict=True)]
    by_image = [
        1 + int((scores[:, i] > scores[image_of_text.numpy() == i, i].max()).sum())
        for i in range(6)
        if (image_of_text == i).any()
    ]
    assert found.image_retrieval.expected_ranks().tolist() == by_text
    assert found.text_retrieval.expected_ranks().tolist() == by_image


def test_reciprocal_rank_is_the_average_over_the_orders_of_tied_items() -> None:
    scores = [3.0, 2.0, 2.0, 2.0, 2.0, 1.0]
    ranks = Ranks(better=torch.tensor([1]), tied=torch.tensor([4]), tied_relevant=torch.tensor([2]), gallery=6)
    hits = [0.0, *(slow_hit(scores, {2, 3}, k) for k in range(1, 7))]
    expected = sum((hits[k] - hits[k - 1]) / k for k in range(1, 7))
    assert float(ranks.reciprocal_ranks()) == pytest.approx(expected, rel=1e-12)
