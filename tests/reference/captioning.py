"""The equations of the query-wise losses as loops over float64 numbers; decoding by trying every caption."""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from tests.reference.losses import Number, cosine, exp, log, numbers
from torch import Tensor

BEGIN, END = 2, 3


def slow_best_query(z_image: Tensor, z_text: Tensor) -> list[list[Tensor]]:
    return [
        [
            max((torch.as_tensor(cosine(query, text)) for query in numbers(queries)), key=lambda cosine: cosine.item())
            for text in numbers(z_text)
        ]
        for queries in z_image
    ]


def slow_query_contrast(
    z_image: Tensor, z_text: Tensor, *, temperature: float, label_smoothing: float, same: Tensor | None = None
) -> Number:
    s = slow_best_query(z_image, z_text)
    n = len(s)
    shared = torch.zeros(n, n, dtype=torch.bool) if same is None else same

    def one_way(similarity: Callable[[int, int], Tensor], hidden: Callable[[int, int], bool]) -> Number:
        total: Number = 0.0
        for i in range(n):
            candidates = [j for j in range(n) if j == i or not hidden(i, j)]
            whole = sum(exp(similarity(i, j) / temperature) for j in candidates)
            logs = {j: similarity(i, j) / temperature - log(whole) for j in candidates}
            total += -(1 - label_smoothing) * logs[i] - label_smoothing / len(candidates) * sum(logs.values())
        return total / n

    of_images = one_way(lambda i, j: s[i][j], lambda i, j: bool(shared[i, j]))
    of_texts = one_way(lambda i, j: s[j][i], lambda i, j: bool(shared[j, i]))
    return (of_images + of_texts) / 2


def slow_query_penalty(z_image: Tensor, z_text: Tensor) -> Number:
    s = slow_best_query(z_image, z_text)
    return sum(1 - s[i][i] for i in range(len(s))) / len(s)


def slow_variational_query_penalty(
    mean_image: Tensor, log_variance_image: Tensor, mean_text: Tensor, log_variance_text: Tensor
) -> Number:
    total: Number = 0.0
    for i, queries in enumerate(mean_image):
        cosines = [float(cosine(list(query), list(mean_text[i]))) for query in queries]
        best = cosines.index(max(cosines))
        for d in range(mean_text.shape[1]):
            of_image, of_text = exp(log_variance_image[i, best, d]), exp(log_variance_text[i, d])
            apart = (queries[best, d] - mean_text[i, d]) ** 2
            total += ((of_image + apart) / of_text - 1 - log(of_image / of_text)) / 2
    return total / len(mean_image)


def slow_matching_loss(logits: Tensor, targets: Tensor) -> Number:
    terms = [-log(1 / (1 + exp(-logit if belongs else logit))) for logit, belongs in zip(logits, targets, strict=True)]
    return sum(terms) / len(terms)


def slow_captioning_loss(logits: Tensor, ids: Tensor, *, label_smoothing: float = 0.0) -> Number:
    terms = []
    for row, words in zip(logits, ids.tolist(), strict=True):
        for place, word in enumerate(words[1:]):
            if word:
                whole = sum(exp(value) for value in row[place])
                logs = [value - log(whole) for value in row[place]]
                terms.append(-(1 - label_smoothing) * logs[word] - label_smoothing / len(logs) * sum(logs))
    return sum(terms) / len(terms)


def every_caption(words: list[int], most: int) -> Iterator[tuple[list[int], bool]]:
    """All captions of at most so many words, and whether each ends or is cut: one as long as that has no end."""
    for length in range(most + 1):
        for said in product(words, repeat=length):
            yield list(said), length < most


def slow_beam(
    log_probabilities: Callable[[list[int]], Tensor], words: list[int], most: int, *, length_penalty: float
) -> tuple[list[int], float]:
    """The best of all captions, and its score."""
    best: tuple[list[int], float] = ([], -torch.inf)
    for said, ends in every_caption(words, most):
        logs = log_probabilities([BEGIN, *said])
        score = sum(float(logs[place, word]) for place, word in enumerate([*said, END] if ends else said))
        score /= (len(said) + ends) ** length_penalty
        if score > best[1]:
            best = said, score
    return best
