"""Which labelled factors depend on each other."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import chi2


def associations(codes: Mapping[str, np.ndarray], clusters: np.ndarray) -> pd.DataFrame:
    """Pearson's test and Cramér's V, bias-corrected as in [bergsma2013], for every pair of labelled factors.

    A pair of values counts once for each cluster: five captions of one image are one image.

    Args:
        codes: By factor, the number of each row's value, negative where it is not known.
        clusters: Which rows belong together.

    Returns:
        One row for each pair: a, b, cramers_v in [0, 1], p_value of independence; NaN where nothing can be said.
    """
    rows = []
    names = list(codes)
    for place, a in enumerate(names):
        for b in names[place + 1 :]:
            both = (codes[a] >= 0) & (codes[b] >= 0)
            pairs = np.unique(np.stack([clusters[both], codes[a][both], codes[b][both]]), axis=1)
            table = pd.crosstab(pairs[1], pairs[2]).to_numpy(dtype=np.float64)
            rows.append({"a": a, "b": b, **_association(table)})
    return pd.DataFrame(rows, columns=["a", "b", "cramers_v", "p_value"])


def _association(table: np.ndarray) -> dict[str, float]:
    n, (r, c) = table.sum(), table.shape
    if min(r, c) < 2 or n < 2:  # a factor that is constant wherever both are known tells nothing of the other
        return {"cramers_v": float("nan"), "p_value": 1.0 if n >= 2 else float("nan")}
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    statistic = float(((table - expected) ** 2 / expected).sum())
    spread = max(0.0, statistic / n - (r - 1) * (c - 1) / (n - 1))
    most = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    v = (spread / most) ** 0.5 if most > 0 else float("nan")
    return {"cramers_v": v, "p_value": float(chi2.sf(statistic, (r - 1) * (c - 1)))}
