"""The equations of the losses, written out as loops over float64 numbers. Slow; to be read beside the papers."""

from math import exp, log, sqrt

from torch import Tensor

Rows = list[list[float]]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: list[float], b: list[float]) -> float:
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))


def squared_distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def slow_info_nce(
    z_image: Tensor, z_text: Tensor, *, temperature: float = 0.07, similarity=cosine, label_smoothing: float = 0.0
) -> float:
    forward = slow_one_way(z_image, z_text, temperature, similarity, label_smoothing)
    backward = slow_one_way(z_text, z_image, temperature, lambda a, b: similarity(b, a), label_smoothing)
    return (forward + backward) / 2


def slow_one_way(anchors: Tensor, candidates: Tensor, temperature: float, similarity, label_smoothing: float) -> float:
    a, b = anchors.tolist(), candidates.tolist()
    total = 0.0
    for i in range(len(a)):
        scores = [similarity(a[i], b[j]) / temperature for j in range(len(b))]
        normaliser = log(sum(exp(score) for score in scores))
        for j in range(len(b)):
            target = (1 - label_smoothing) * (i == j) + label_smoothing / len(b)
            total -= target * (scores[j] - normaliser)
    return total / len(a)


def slow_alignment_penalty(z_image: Tensor, z_text: Tensor, *, distance: str = "squared") -> float:
    total = 0.0
    for a, b in zip(z_image.tolist(), z_text.tolist(), strict=True):
        total += squared_distance(a, b) if distance == "squared" else 1 - cosine(a, b)
    return total / len(z_image)


def slow_standardize(z: Tensor, *, eps: float) -> Rows:
    columns = []
    for column in z.T.tolist():
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        columns.append([(value - mean) / sqrt(variance + eps) for value in column])
    return [list(row) for row in zip(*columns, strict=True)]
