r"""What the spectrum says of each value before anything is trained.

A value of frequency p is mentioned with probability q, and "nothing said" is the same for all values. The indicator of
the value and that of its mention then correlate with $\sigma = \sqrt{q (1 - p) / (1 - p q)}$. The n strongest
directions are held; of these, the ones for which N pairs are too few, $N\sigma^2 < 20$, are not found
(docs/spectrum-study.md). N counts the pairs whose image shows the value: no other says anything of it.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float64

from vergence.studies.causal.said import coverage_of
from vergence.studies.causal.sets import ConceptSet
from vergence.studies.causal.spec import RENDERED, CausalRun
from vergence.studies.causal.train import SCORES
from vergence.studies.study import Row
from vergence.theory import kept

LIMIT = 20.0
"""N σ² below which a direction is not found; measured with other encoders, as is the constant."""
_REST = {RENDERED: 10}
"""Directions of what else captions say, each word in half of them: 2 of sizes, 8 of places; 7 of tone and gender."""
_OTHER = 7


def strengths(rates: Float64[np.ndarray, " k"], shares: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """Correlation of showing a value and of being said to.

    Args:
        rates: Of the captions of a value's images, how many mention it.
        shares: Of all images, how many show it.
    """
    found: np.ndarray = np.sqrt(rates * (1 - shares) / (1 - shares * rates))
    return found


def predictions(run: CausalRun, concepts: ConceptSet) -> list[Row]:
    """A row for each value and score; bounds and expectation as shares of the way from chance to ceiling."""
    coverage, shares = coverage_of(run, concepts), concepts.shares()
    sigma = strengths(coverage.rates, shares)
    held = _held(sigma, run)
    pairs = shares * len(concepts.parts["train"]) * run.epochs * sigma**2
    rows = []
    for place, name in enumerate(concepts.names):
        low, high, reason = _bounds(sigma[place], held[place], pairs[place])
        said = {"predicted_low": low, "predicted_high": high, "expected": high, "reason": reason}
        rows += [
            {"side": "image", "factor": name, "metric": score, **said, "strength": float(sigma[place])}
            for score in SCORES
        ]
    return rows


def _held(sigma: Float64[np.ndarray, " k"], run: CausalRun) -> Float64[np.ndarray, " k"]:
    """Which values' directions are among the strongest that the outputs can hold."""
    rest = (("rest",), 1, 0.5**0.5, _REST.get(run.data.name, _OTHER))
    rows = [*(((f"value {place}",), 1, float(one), 1) for place, one in enumerate(sigma)), rest]
    table = pd.DataFrame(rows, columns=["factors", "order", "strength", "multiplicity"])
    found: np.ndarray = kept(table, encoding_size=run.encoding_size)["kept"].to_numpy()[: len(sigma)]
    return found


def _bounds(sigma: float, held: float, pairs: float) -> tuple[float, float, str]:
    if sigma == 0:
        return 0.0, 0.0, "captions never mention it"
    if held < 0.5:
        return 0.0, 0.0, "stronger directions fill the outputs"
    if pairs < LIMIT:
        return 0.0, 0.0, f"fewer pairs tell of it than are needed, N σ² < {LIMIT:g}"
    return float(sigma**2), 1.0, "held, and told by pairs enough; at least what a single text tells of it, σ²"


def mentions_needed(mentions: Float64[np.ndarray, " n"], reached: Float64[np.ndarray, " n"]) -> float:
    """Mentions from which on half of the ceiling is reached: the cut that calls fewest values wrongly.

    Args:
        mentions: Of each value, in each run.
        reached: Awareness as a share of the way from chance to ceiling.

    Returns:
        The middle, on a logarithmic scale, between the mentions on both sides of the cut; NaN if all reach
        half, or none.

    Example:
        >>> mentions_needed(np.array([1.0, 4.0, 25.0, 100.0]), np.array([0.0, 0.1, 0.8, 0.9]))
        10.0
    """
    seen = reached >= 0.5
    order = np.argsort(mentions, kind="stable")
    if seen.all() or not seen.any():
        return float("nan")
    wrong = np.concatenate([[0], np.cumsum(seen[order])]) + np.concatenate([np.cumsum(~seen[order][::-1])[::-1], [0]])
    cuts = np.flatnonzero(wrong[1:-1] == wrong[1:-1].min()) + 1
    cut = int(cuts[len(cuts) // 2])
    return float(np.sqrt(mentions[order[cut - 1]] * mentions[order[cut]]))
