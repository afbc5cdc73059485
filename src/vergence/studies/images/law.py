"""What the law on the sphere says of a run of the image studies, beside the bounds that `predict` gives.

Shares of the variance by factor, how alike both sides are, and how many images are found by their texts. The law is of
Gaussian directions, symmetric InfoNCE and an infinite batch; factors of image sets have k values, batches 128 pairs.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import prod, sqrt

from vergence.misalignment import Misalignment
from vergence.studies.images.spec import TEST, ImageRun, SetSpec
from vergence.studies.study import Row
from vergence.theory import kept, spectrum
from vergence.theory.amplitudes import threshold

_LAW = "the law on the sphere: symmetric, Gaussian, an infinite batch"
_LEARNED = "the law on the sphere at the first temperature; this one is learned"
_RECALL = "an encoder that holds all that texts tell finds the right cell, and one of its images by chance"


def law_rows(run: ImageRun) -> list[Row]:
    """What is expected of shares, linear CKA and recall; nothing is bounded.

    Args:
        run: Of texts; its factors are discrete.

    Returns:
        Rows as a study's table has them: "share" of every factor on the image's side; "cka" and "recall1" of both.
    """
    shares, alike = of_sphere(run)
    why = _LEARNED if run.learned else _LAW
    rows = [_row("image", name, "share", share, why) for name, share in shares.items()]
    return [*rows, _row("both", "all", "cka", alike, why), _row("both", "all", "recall1", recall(run), _RECALL)]


def _row(side: str, factor: str, metric: str, expected: float, reason: str) -> Row:
    return {
        "side": side,
        "factor": factor,
        "metric": metric,
        "predicted_low": None,
        "predicted_high": None,
        "expected": expected,
        "reason": reason,
        "told": None,
    }


def cutoff(run: ImageRun) -> float:
    """σ*, up to which a bottleneck leaves nothing of a direction of outputs of free scale."""
    return threshold(run.bottleneck, 2 * run.temperature)  # of squared distances of unit vectors


def of_sphere(run: ImageRun) -> tuple[Mapping[str, float], float]:
    """Shares of the variance of the image's outputs by factor, and linear CKA of both sides."""
    shares, alike = _of_sphere(run.data, (run.mention, run.redraw), run.encoding_size, run.bottleneck, run.temperature)
    return dict(shares), alike


_Rates = tuple[tuple[str, float], ...]


@lru_cache(maxsize=512)
def _of_sphere(
    data: SetSpec, texts: tuple[_Rates, _Rates], encoding_size: int, bottleneck: float, temperature: float
) -> tuple[_Rates, float]:
    space = data.scenes.space
    mention, redraw = map(dict, texts)
    said = spectrum(Misalignment.of_rates(mention, redraw=redraw), space)
    found = kept(said, encoding_size=encoding_size, bottleneck=bottleneck, temperature=temperature, constraint="unit")
    by_factor = found.groupby(found["factors"].str[0])["share"].sum()
    own = found[found["kept"] > 0]
    # Of a side's covariance the eigenvalues are the shares of single directions; texts hold none that is not taught.
    squares = own["share"] ** 2 / own["kept"]
    taught = own["strength"] > 0
    shared = float((squares * own["strength"] ** 2)[taught].sum())
    sizes = float(squares.sum()), float(squares[taught].sum())
    alike = shared / sqrt(sizes[0] * sizes[1]) if min(sizes) > 0 else 0.0
    return tuple((name, float(by_factor.get(name, 0.0))) for name in space), alike


def recall(run: ImageRun) -> float:
    r"""Recall@1 of images found by their texts, of encoders that hold all that texts tell.

    A text names a cell of the grid; of the images in it one is found by chance: the chance that all it says is right
    times the number of cells that are not empty, over that of images.
    """
    space, redraw = run.data.scenes.space, dict(run.redraw)
    n = max(1, int(run.data.n_images * TEST))
    expected = 0.0
    rates = [(len(space[name].values or ()), q, redraw.get(name, 0.0)) for name, q in run.mention if q > 0]
    sure = [one for one in rates if one[1] == 1]
    unsure = [one for one in rates if one[1] < 1]
    for pattern in range(2 ** len(unsure)):
        named = [pattern >> place & 1 for place in range(len(unsure))]
        chance = prod(q if one else 1 - q for (_, q, _), one in zip(unsure, named, strict=True))
        said = [*sure, *(rate for rate, one in zip(unsure, named, strict=True) if one)]
        right = prod(1 - rho + rho / k for k, _, rho in said)
        cells = prod(k for k, _, _ in said)
        filled = cells * (1 - (1 - 1 / cells) ** n)
        expected += chance * right * filled / n
    return min(1.0, expected)
