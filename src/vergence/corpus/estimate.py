"""Selection and perturbation bias, estimated from captions and labels of what their images show.

For each factor: how often captions say anything of it (selection), and how often what they say is another value than
the image's (perturbation), as observed, and as the probability ρ of a uniform redraw that would explain it:
wrong-value rate = ρ (1 − 1/k) for k values. Errors of the lexicon and of a detector that labels the images are taken
out in expectation, so a corrected estimate can leave [0, 1]; its interval does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from scipy.stats import chi2, t

from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Captions, compiled
from vergence.errors import ConfigError, FactorError, ShapeError, unknown
from vergence.misalignment import Misalignment

NOT_ASSESSABLE = "not assessable without image labels"


@dataclass(frozen=True, eq=False)
class BiasEstimate:
    """Estimated selection and perturbation, by factor and by value.

    Args:
        factors: One row per factor: factor, values (k), images (labelled), selection, wrong_value, rho, each of these
            three with _low and _high; NaN for a factor without labels, whose note says so, and for a rate among
            captions that may not be any: none found, or no more than the lexicon's errors explain.
        values: The same by factor and value shown.
        dependence: Pairs of labelled factors: a, b, cramers_v (in [0, 1]) and p_value of independence.
        level: Nominal coverage of the intervals.
    """

    factors: pd.DataFrame
    values: pd.DataFrame
    dependence: pd.DataFrame
    level: float = 0.95

    @property
    def not_assessable(self) -> tuple[str, ...]:
        """Factors without image-side labels."""
        return tuple(self.factors.loc[self.factors["note"] == NOT_ASSESSABLE, "factor"])

    def to_misalignment(self, threshold: float = 0.5) -> Misalignment:
        """The nearest all-or-nothing description of the captions.

        Args:
            threshold: A factor counts as selected if captions mention it at this rate or above, and as perturbed if
                the estimated ρ of a selected factor is this or above. In (0, 1].

        Returns:
            The misalignment over the factors that have labels.

        Raises:
            ConfigError: If the threshold is not in (0, 1].
            FactorError: If no factor reaches it, or every selected one is perturbed.
        """
        if not 0 < threshold <= 1:
            raise ConfigError(f"threshold must be in (0, 1]; got {threshold!r}")
        known = self.factors[self.factors["note"] != NOT_ASSESSABLE]
        selected = known[known["selection"] >= threshold]
        return Misalignment(selected["factor"], selected.loc[selected["rho"] >= threshold, "factor"])


@dataclass(frozen=True, kw_only=True)
class _Items:
    """One factor's labelled items: what their captions say, what their images show, and which belong together."""

    found: Float64[np.ndarray, "n values"]
    weights: Float64[np.ndarray, "n values"]
    clusters: Int64[np.ndarray, " n"]
    corrected: bool

    def ratio(
        self, numerator: np.ndarray, denominator: np.ndarray, level: float, *, added: float = 0.0
    ) -> tuple[float, float, float]:
        """A ratio of sums with the interval that its clusters, and variance added to theirs, allow."""
        bottom = denominator.sum()
        per_cluster = np.bincount(self.clusters, weights=denominator)
        # A corrected count within two standard errors of nothing is no denominator: the ratio could be anything.
        if bottom <= (2 * (len(per_cluster) ** 0.5) * per_cluster.std() if self.corrected else 0):
            return float("nan"), 0.0, 1.0
        estimate = float(numerator.sum() / bottom)
        by_cluster = np.bincount(self.clusters, weights=(numerator - estimate * denominator) / bottom)
        sizes = np.bincount(self.clusters, weights=np.abs(denominator))
        n = int((sizes > 0).sum())
        if n < 2:
            return estimate, 0.0, 1.0
        variance = n / (n - 1) * float((by_cluster**2).sum()) + added
        z = float(t.ppf(0.5 + level / 2, n - 1))
        if self.corrected:
            half = z * variance**0.5
            return estimate, float(np.clip(estimate - half, 0, 1)), float(np.clip(estimate + half, 0, 1))
        return estimate, *_score_interval(estimate, variance, n, z)


def estimate_misalignment(
    captions: Captions,
    labels: pd.DataFrame,
    lexicon: Lexicon,
    *,
    clusters: Sequence[Any] | np.ndarray | None = None,
    lexicon_errors: Mapping[str, LexiconError] | None = None,
    detectors: Mapping[str, DetectorError] | None = None,
    match: str = "word",
    level: float = 0.95,
) -> BiasEstimate:
    r"""Estimate what captions omit and what they get wrong.

    Selection is $P(\text{some value mentioned} \mid \text{present})$, the wrong-value rate
    $P(\text{another value mentioned} \mid \text{present, some value mentioned})$. [cai2025] Sec. 3 names the factors
    for which they are above 0; differs: here they are rates. With a lexicon error given, a caption is taken to speak of
    one value at most.

    Variances are those of ratios of sums over clusters, linearised; limits without correction are Wilson's at the
    effective sample size, with Student's quantile for the number of clusters. Where the lexicon's error rates were
    themselves estimated, their variances are added by the delta method.

    Args:
        captions: One for each row of the labels; a null says nothing.
        labels: A column per factor, named as the lexicon's group, holding names of its concepts; missing where the
            image shows no one value. With a detector, its labels. Other columns are left alone.
        lexicon: Groups are factors, concepts their values, as `lexicon_from_factors` makes it.
        clusters: Which rows belong together, such as captions of one image; every row is its own if not given.
        lexicon_errors: By factor, the lexicon's error rates, to be taken out.
        detectors: By factor, the detector's error rates, to be taken out.
        match: "word" or "substring".
        level: Nominal coverage, in (0, 1).

    Returns:
        Rates with intervals. A group without a column of labels is listed as not assessable.

    Raises:
        ShapeError: If numbers of captions, labels and clusters differ.
        FactorError: If a label is no concept of its group, or an error rate is for an unknown factor.
        ConfigError: If the level is not inside (0, 1).

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> from vergence.corpus import lexicon_from_factors
        >>> space = FactorSpace((Factor("size", ("small", "big")), Factor("hue", ("red", "blue"))))
        >>> lexicon = lexicon_from_factors(space)
        >>> labels = pd.DataFrame({"size": ["small", "small", "big", "big"]})
        >>> estimate = estimate_misalignment(["a small cup", "cup", "small", "big"], labels, lexicon)
        >>> estimate.factors[["factor", "selection", "wrong_value", "rho"]].round(2).values.tolist()[0]
        ['size', 0.75, 0.33, 0.67]
        >>> estimate.not_assessable
        ('hue',)
    """
    if not 0 < level < 1:
        raise ConfigError(f"level must be inside (0, 1); got {level!r}")
    mentions = compiled(lexicon, match).mentions(captions)
    members = np.arange(len(labels)) if clusters is None else pd.factorize(np.asarray(clusters))[0]
    if not mentions.n_captions == len(labels) == len(members):
        raise ShapeError(
            f"each caption needs one row of labels and one cluster; got {mentions.n_captions} captions, {len(labels)}"
            f" rows and {len(members)} clusters"
        )
    names = [group.name for group in lexicon.groups]
    for name in (*(lexicon_errors or {}), *(detectors or {})):
        if name not in names:
            raise FactorError(unknown("factor", name, names))
    found = np.zeros((len(labels), len(lexicon.concepts)))
    found[mentions.captions, mentions.concepts] = 1
    factors, values, first, codes = [], [], 0, {}
    for group in lexicon.groups:
        own = slice(first, first + len(group.concepts))
        first = own.stop
        kinds = tuple(concept.name for concept in group.concepts)
        if group.name not in labels:
            factors.append({"factor": group.name, "values": len(kinds), "images": 0, "note": NOT_ASSESSABLE})
            continue
        shown = _codes(group.name, labels[group.name], kinds)
        codes[group.name] = shown
        known = shown >= 0
        error, detector = (lexicon_errors or {}).get(group.name), (detectors or {}).get(group.name)
        if detector is not None and detector.values != kinds:
            raise FactorError(f"detector of {group.name!r} knows {detector.values}, the lexicon {kinds}; use one order")
        items = _Items(
            found=found[known, own],
            weights=np.eye(len(kinds))[shown[known]] if detector is None else detector.weights(shown[known]),
            clusters=members[known],
            corrected=error is not None or detector is not None,
        )
        total, by_value = _rates(items, kinds, error, level)
        factors.append({"factor": group.name, "values": len(kinds), "images": int(known.sum()), **total, "note": ""})
        values += [{"factor": group.name, "value": value, **rates} for value, rates in by_value.items()]
    columns = ["factor", "values", "images", *_RATES, "note"]
    return BiasEstimate(
        factors=pd.DataFrame(factors).reindex(columns=columns),
        values=pd.DataFrame(values, columns=["factor", "value", "images", *_RATES]),
        dependence=_dependence(codes),
        level=level,
    )


_RATES = tuple(f"{rate}{limit}" for rate in ("selection", "wrong_value", "rho") for limit in ("", "_low", "_high"))


def _rates(
    items: _Items, kinds: tuple[str, ...], error: LexiconError | None, level: float
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Rates of the factor, and for each value shown."""
    k = len(kinds)
    said, other = np.empty_like(items.found), np.empty_like(items.found)  # by the value that is taken to be shown
    gain, variances = np.zeros(k), np.zeros((2, k))
    for v, value in enumerate(kinds):
        others = np.delete(items.found, v, axis=1)
        if error is None:
            said[:, v], other[:, v] = items.found.any(axis=1), others.any(axis=1)
        else:
            # E[found] = f + (r − f) P(said) for each value, summed over values of which one at most is said.
            recall, wrong = error.rates(value)
            gain[v], variances[:, v] = 1 / (recall - wrong), error.variances.get(value, (0.0, 0.0))
            said[:, v] = (items.found.sum(axis=1) - k * wrong) * gain[v]
            other[:, v] = (others.sum(axis=1) - (k - 1) * wrong) * gain[v]
    parts = items.weights, items.weights * said, items.weights * other

    def describe(columns: Any) -> dict[str, float]:
        images, mentioned, mistaken = (part[:, columns].sum(axis=1) for part in parts)
        # How the sums move with recall and with false positives of each value: the delta method.
        shown, stated, erred = (part[:, columns].sum(axis=0) for part in parts)
        by_rate = np.stack([-stated, stated - k * shown]), np.stack([-erred, erred - (k - 1) * shown])
        d_stated, d_erred = (gain[columns] * slopes for slopes in by_rate)

        def added(slopes: np.ndarray, total: float) -> float:
            return float(((slopes / total) ** 2 * variances[:, columns]).sum()) if total > 0 else 0.0

        selection = items.ratio(mentioned, images, level, added=added(d_stated, shown.sum()))
        share = erred.sum() / stated.sum() if stated.sum() > 0 else 0.0
        wrong = items.ratio(mistaken, mentioned, level, added=added(d_erred - share * d_stated, stated.sum()))
        rho = tuple(rate / (1 - 1 / k) for rate in wrong) if k > 1 else (float("nan"), 0.0, 1.0)
        rates = (*selection, *wrong, rho[0], min(1.0, rho[1]), min(1.0, rho[2]))
        return dict(zip(_RATES, rates, strict=True))

    by_value = {value: {"images": float(items.weights[:, v].sum()), **describe([v])} for v, value in enumerate(kinds)}
    return describe(slice(None)), by_value


def _score_interval(estimate: float, variance: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's limits for as many independent trials as would have this variance."""
    p = min(1.0, max(0.0, estimate))
    trials = min(p * (1 - p) / variance, 1e15) if variance > 0 and 0 < p < 1 else float(n)
    middle, half = p + z * z / (2 * trials), z * np.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    low, high = (middle - half) / scale, (middle + half) / scale
    return (0.0 if p == 0 else float(low)), (1.0 if p == 1 else float(high))


def _codes(factor: str, column: pd.Series, kinds: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
    codes = np.full(len(column), -1, dtype=np.int64)
    numbers = {value: number for number, value in enumerate(kinds)}
    for place, value in enumerate(column.tolist()):
        if isinstance(value, str):
            if value not in numbers:
                raise FactorError(unknown(f"value of factor {factor!r}", value, kinds))
            codes[place] = numbers[value]
        elif not pd.isna(value):
            raise FactorError(f"labels of factor {factor!r} must be names of values; got {value!r} in row {place}")
    return codes


def _dependence(codes: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Pearson's test and Cramér's V, bias-corrected as in [bergsma2013], for every pair of labelled factors."""
    rows = []
    names = list(codes)
    for place, a in enumerate(names):
        for b in names[place + 1 :]:
            both = (codes[a] >= 0) & (codes[b] >= 0)
            table = pd.crosstab(codes[a][both], codes[b][both]).to_numpy(dtype=np.float64)
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
