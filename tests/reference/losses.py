"""The equations of the losses, written out as loops over float64 numbers. Slow; to be read beside the papers.

A number is a tensor without dimensions, so that the loops can be differentiated too.
"""

from math import gamma, pi

import torch
from torch import Tensor

Number = Tensor | float
Rows = list[list[Tensor]]


def numbers(z: Tensor) -> Rows:
    return [list(row.unbind()) for row in z]


def exp(x: Number) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float64).exp()


def log(x: Number) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float64).log()


def sqrt(x: Number) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float64).sqrt()


def dot(a: list[Tensor], b: list[Tensor]) -> Number:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: list[Tensor], b: list[Tensor]) -> Number:
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))


def squared_distance(a: list[Tensor], b: list[Tensor]) -> Number:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def slow_info_nce(
    z_image: Tensor, z_text: Tensor, *, temperature: float = 0.07, similarity=cosine, label_smoothing: float = 0.0
) -> Number:
    forward = slow_one_way(z_image, z_text, temperature, similarity, label_smoothing)
    backward = slow_one_way(z_text, z_image, temperature, lambda a, b: similarity(b, a), label_smoothing)
    return (forward + backward) / 2


def slow_one_way(
    anchors: Tensor, candidates: Tensor, temperature: float, similarity=cosine, label_smoothing: float = 0.0
) -> Number:
    a, b = numbers(anchors), numbers(candidates)
    total: Number = 0.0
    for i in range(len(a)):
        scores = [similarity(a[i], b[j]) / temperature for j in range(len(b))]
        normaliser = log(sum(exp(score) for score in scores))
        for j in range(len(b)):
            target = (1 - label_smoothing) * (i == j) + label_smoothing / len(b)
            total -= target * (scores[j] - normaliser)
    return total / len(a)


def slow_alignment_penalty(z_image: Tensor, z_text: Tensor, *, distance: str = "squared") -> Number:
    total: Number = 0.0
    for a, b in zip(numbers(z_image), numbers(z_text), strict=True):
        total += squared_distance(a, b) if distance == "squared" else 1 - cosine(a, b)
    return total / len(z_image)


def slow_standardize(z: Tensor, *, eps: float) -> Rows:
    columns = []
    for column in numbers(z.T):
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        columns.append([(value - mean) / sqrt(variance + eps) for value in column])
    return [list(row) for row in zip(*columns, strict=True)]


def slow_nt_xent(z_image: Tensor, z_text: Tensor, *, temperature: float = 1.0) -> Number:
    z = numbers(z_image) + numbers(z_text)
    n, total = len(z_image), 0.0
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        others = sum(exp(cosine(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= log(exp(cosine(z[i], z[partner]) / temperature) / others)
    return total / (2 * n)


def slow_sigmoid_loss(z_image: Tensor, z_text: Tensor, *, temperature: float = 0.1, bias: float = -10.0) -> Number:
    a, b = numbers(z_image), numbers(z_text)
    total: Number = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            sign = 1 if i == j else -1
            total += log(1 + exp(-sign * (cosine(a[i], b[j]) / temperature + bias)))
    return total / len(a)


def slow_lp_info_nce(
    z_image: Tensor,
    z_text: Tensor,
    *,
    p: float = 2.0,
    temperature: float = 1.0,
    negatives_image: Tensor | None = None,
    negatives_text: Tensor | None = None,
) -> Number:
    images, texts = numbers(z_image), numbers(z_text)
    total: Number = 0.0
    for anchors, partners, fresh in ((images, texts, negatives_image), (texts, images, negatives_text)):
        for i, (anchor, partner) in enumerate(zip(anchors, partners, strict=True)):
            others = partners[:i] + partners[i + 1 :] if fresh is None else numbers(fresh)
            mean = sum(exp(-power(anchor, n, p) / temperature) for n in [partner, *others]) / (1 + len(others))
            total += power(anchor, partner, p) / temperature + log(mean)
    return total / (2 * len(images))


def power(a: list[Tensor], b: list[Tensor], p: float) -> Number:
    return sum(abs(x - y) ** p for x, y in zip(a, b, strict=True))


def slow_neighbour_entropy(z: Rows, *, neighbours: int) -> Number:
    n, dim = len(z), len(z[0])
    total: Number = 0.0
    for i in range(n):
        distances = sorted(sqrt(squared_distance(z[i], z[j])) for j in range(n) if j != i)
        total += log(distances[neighbours - 1])
    ball = pi ** (dim / 2) / gamma(dim / 2 + 1)
    harmonic = sum(1 / m for m in range(neighbours, n))  # digamma(n) - digamma(k)
    return harmonic + log(ball) + dim * total / n


def slow_align_max_entropy(z_image: Tensor, z_text: Tensor, *, bound, neighbours: int) -> Number:
    a, b = bound(z_image), bound(z_text)
    distance = sum(sqrt(squared_distance(x, y)) for x, y in zip(a, b, strict=True)) / len(a)
    entropies = slow_neighbour_entropy(a, neighbours=neighbours) + slow_neighbour_entropy(b, neighbours=neighbours)
    return distance - entropies / 2


def slow_variational_bottleneck(mean_a: Rows, log_variance_a: Rows, mean_b: Rows, log_variance_b: Rows) -> Number:
    total: Number = 0.0
    for means_a, logs_a, means_b, logs_b in zip(mean_a, log_variance_a, mean_b, log_variance_b, strict=True):
        for m_a, l_a, m_b, l_b in zip(means_a, logs_a, means_b, logs_b, strict=True):
            total += ((exp(l_a) + (m_a - m_b) ** 2) / exp(l_b) - 1 - log(exp(l_a) / exp(l_b))) / 2
    return total / len(mean_a)
