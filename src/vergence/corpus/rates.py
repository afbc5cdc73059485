"""Rates of omission and of wrong values for one factor: ratios of sums over clusters, and when they may be stated."""

from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.stats import t

from vergence.corpus.channel import corrected_p_value, redraw_p_value
from vergence.corpus.errata import LexiconError

RATES = tuple(f"{rate}{limit}" for rate in ("selection", "wrong_value", "rho") for limit in ("", "_low", "_high"))

NOT_DETERMINED = "not determined"

FIT_LEVEL = 0.01
"""A uniform redraw is rejected below this p-value: the share of true uniform redraws that is refused by mistake."""

_CLEAR_OF_NOTHING = 4.0  # standard errors
_SEED = 0


@dataclass(frozen=True)
class Rate:
    """A rate with its interval, and why it is NaN if it is.

    Args:
        value: The estimate.
        low: Lower end of the interval, in [0, 1].
        high: Upper end, in [0, 1].
        note: Why the rate is not determined; empty where it is.
    """

    value: float = nan
    low: float = 0.0
    high: float = 1.0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Items:
    """One factor's labelled items: what their captions say, what their images show, and which belong together.

    Args:
        found: Which values each caption mentions.
        shown: The label of each image.
        weights: How much of each image shows each value: one 1 in a row, or a detector's labels, errors taken out.
        clusters: Which items belong together.
        detected: Whether the weights are those of a detector.
        shifts: By how much the weights of each label move with each way in which the detector's rates may be off.
        error: The lexicon's error rates, if they are to be taken out.
    """

    found: Bool[np.ndarray, "n values"]
    shown: Int64[np.ndarray, " n"]
    weights: Float64[np.ndarray, "n values"]
    clusters: Int64[np.ndarray, " n"]
    detected: bool
    shifts: Float64[np.ndarray, "ways labels values"]
    error: LexiconError | None

    def by_label(self, per_item: Float64[np.ndarray, "n columns"]) -> Float64[np.ndarray, "labels columns"]:
        """Sums of what items hold, by the label of their images."""
        k = self.weights.shape[1]
        return np.stack([np.bincount(self.shown, column, minlength=k) for column in per_item.T], axis=1)

    @property
    def corrected(self) -> bool:
        """Whether errors are taken out, so that sums are not counts."""
        return self.detected or self.error is not None

    def ratio(
        self,
        numerator: np.ndarray,
        denominator: np.ndarray,
        level: float,
        *,
        counted: bool,
        added: float,
        unsure: float,
    ) -> Rate:
        """A ratio of sums with the interval that its clusters, and variance added to theirs, allow.

        A corrected denominator has noise in common with its numerator. Were the ratio stated where that same noise
        makes the denominator large, what is stated would be biased. So a random quarter of the clusters settles whether
        the denominator is clear of nothing, and the others estimate, with the ratio's bias taken out to first order.
        `unsure` is what error rates that were estimated add to the variance of the denominator.
        """
        clusters = self.clusters
        if not counted:
            decides = np.random.default_rng(_SEED).permutation(int(clusters.max(initial=-1)) + 1) % 4 == 0
            sums = np.bincount(clusters, denominator, minlength=len(decides))[decides]
            noise = len(sums) * (sums.var() if len(sums) > 1 else np.inf) + unsure * decides.mean() ** 2
            if not sums.sum() > _CLEAR_OF_NOTHING * noise**0.5:
                return Rate(note="too few images or mentions to tell them from errors of lexicon or detector")
            kept = ~decides[clusters]
            clusters, numerator, denominator = clusters[kept], numerator[kept], denominator[kept]
        bottom = denominator.sum()
        if not bottom > 0:
            return Rate(note="no caption mentions it")
        estimate = float(numerator.sum() / bottom)
        by_cluster = np.bincount(clusters, weights=(numerator - estimate * denominator) / bottom)
        n = int((np.bincount(clusters, weights=np.abs(denominator)) > 0).sum())
        if not counted:
            estimate += float((by_cluster * np.bincount(clusters, weights=denominator) / bottom).sum())
        if n < 2:
            return Rate(estimate)
        variance = n / (n - 1) * float((by_cluster**2).sum()) + added
        z = float(t.ppf(0.5 + level / 2, n - 1))
        if not self.corrected:
            return Rate(estimate, *score_interval(estimate, variance, n, z))
        low, high = estimate - z * variance**0.5, estimate + z * variance**0.5
        if high < 0 or low > 1:
            return Rate(note="the corrected rate is outside [0, 1] by more than its error: the error rates do not fit")
        return Rate(estimate, max(0.0, low), min(1.0, high))


def rates(items: Items, values: tuple[str, ...], level: float) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Rates of a factor, and for each value shown, with the notes that say which are not determined."""
    k, error = len(values), items.error
    said, other = np.empty(items.found.shape), np.empty(items.found.shape)  # by the value that is taken to be shown
    gain, variances = np.zeros(k), np.zeros((2, k))
    for v, value in enumerate(values):
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
    moved = [(items.shifts * items.by_label(part)).sum(axis=1) for part in (np.ones_like(said), said, other)]

    def describe(columns: Any, *, whole: bool = False) -> tuple[Rate, Rate]:
        images, mentioned, mistaken = (part[:, columns].sum(axis=1) for part in parts)
        # Weights of an image add up to 1 over the values: together they count, however the detector errs.
        counted = whole or not items.detected
        if whole:
            images = np.ones(len(images))
            mentioned = items.found.any(axis=1).astype(float) if error is None else mentioned
        # How the sums move with recall and with false positives of each value: the delta method.
        shown, stated, erred = (part[:, columns].sum(axis=0) for part in parts)
        m_shown, m_stated, m_erred = (part[:, columns].sum(axis=1) for part in moved)
        if whole:
            m_shown, m_stated = 0 * m_shown, m_stated * (error is not None)
        by_rate = np.stack([-stated, stated - k * shown]), np.stack([-erred, erred - (k - 1) * shown])
        d_stated, d_erred = (gain[columns] * slopes for slopes in by_rate)

        def added(slopes: np.ndarray, ways: np.ndarray, total: float) -> float:
            if not total > 0:
                return 0.0
            return float(((slopes / total) ** 2 * variances[:, columns]).sum() + ((ways / total) ** 2).sum())

        share = mentioned.sum() / images.sum() if images.sum() > 0 else 0.0
        more = added(d_stated, m_stated - share * m_shown, images.sum())
        unsure = float((m_shown**2).sum())
        selection = items.ratio(mentioned, images, level, counted=counted, added=more, unsure=unsure)
        share = mistaken.sum() / mentioned.sum() if mentioned.sum() > 0 else 0.0
        more = added(d_erred - share * d_stated, m_erred - share * m_stated, mentioned.sum())
        unsure = added(d_stated, m_stated, 1.0)
        wrong = items.ratio(mistaken, mentioned, level, counted=counted and error is None, added=more, unsure=unsure)
        return selection, wrong

    refusal = _misfit(items, parts[1], moved[1], values)
    total = _described(*describe(slice(None), whole=True), k, refusal)
    if _TOO_OFTEN in total["note"]:
        refusal = f"{_TOO_OFTEN}, all values together"
    by_value = {
        value: {"images": float(items.weights[:, v].sum()), **_described(*describe([v]), k, refusal)}
        for v, value in enumerate(values)
    }
    return total, by_value


_TOO_OFTEN = "captions say another value more often than a uniform redraw could"


def _described(selection: Rate, wrong: Rate, k: int, refusal: str) -> dict[str, Any]:
    rho = _rho(wrong, k, refusal)
    found = [limit for rate in (selection, wrong, rho) for limit in (rate.value, rate.low, rate.high)]
    notes = dict.fromkeys(rate.note for rate in (selection, wrong, rho) if rate.note)
    return {**dict(zip(RATES, found, strict=True)), "note": f"{NOT_DETERMINED}: {'; '.join(notes)}" if notes else ""}


def _rho(wrong: Rate, k: int, refusal: str) -> Rate:
    r"""The probability of a uniform redraw that explains a wrong-value rate: $\rho = w / (1 - 1/k)$, where one does."""
    if k == 1:
        return Rate(note="one value leaves nothing to get wrong")
    if np.isnan(wrong.value):
        return Rate(note=wrong.note)
    value, low, high = (limit / (1 - 1 / k) for limit in (wrong.value, wrong.low, wrong.high))
    if low > 1:
        return Rate(note=f"{_TOO_OFTEN} (wrong-value rate {wrong.value:.3g}, at most {1 - 1 / k:.3g})")
    if refusal:
        return Rate(note=refusal)
    high = min(1.0, high)
    if value > 1:
        return Rate(nan, low, high, f"rho is estimated above 1, by no more than its error, so at least {low:.3g}")
    if value < 0:
        return Rate(nan, low, high, f"rho is estimated below 0, by no more than its error, so at most {high:.3g}")
    return Rate(value, low, high)


def _misfit(items: Items, mentioned: np.ndarray, moved: np.ndarray, values: tuple[str, ...]) -> str:
    """Why no uniform redraw explains what captions say, if it is rejected."""
    if len(values) == 1 or not len(items.shown):
        return ""
    if items.corrected:
        known = items.error is None or not items.error.variances
        p = corrected_p_value(
            partial(_wrong_cells, items, values),
            mentioned,
            items.clusters,
            rates_known=known,
            moved=_moved_cells(items, values),
            moved_mentions=moved,
        )
    else:
        p = redraw_p_value(items.found, items.shown, items.clusters, rng=np.random.default_rng(_SEED))
    return f"the redraw is not uniform (p = {p:.2g})" if p < FIT_LEVEL else ""


def _wrong_cells(items: Items, values: tuple[str, ...], v: int) -> np.ndarray:
    """What each caption adds to the wrong mentions of images that show a value, errors taken out."""
    return np.asarray(items.weights[:, [v]] * _others(items, values, v))


def _others(items: Items, values: tuple[str, ...], v: int) -> np.ndarray:
    """What each caption says but a value."""
    others = items.found.astype(float)
    others[:, v] = 0
    if items.error is None:
        others /= np.maximum(others.sum(axis=1, keepdims=True), 1)
    else:
        recall, wrong = items.error.rates(values[v])
        others = (others - wrong) / (recall - wrong)
    return others


def _moved_cells(items: Items, values: tuple[str, ...]) -> Float64[np.ndarray, "ways values values"]:
    """By how much the wrong mentions by value shown move with each way in which the detector's rates may be off."""
    sums = [items.by_label(_others(items, values, v)) for v in range(len(values))]
    return np.stack([items.shifts[:, :, v] @ sums[v] for v in range(len(values))], axis=1)


def score_interval(estimate: float, variance: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's limits for as many independent trials as would have this variance."""
    p = min(1.0, max(0.0, estimate))
    trials = min(p * (1 - p) / variance, 1e15) if variance > 0 and 0 < p < 1 else float(n)
    middle, half = p + z * z / (2 * trials), z * np.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    low, high = (middle - half) / scale, (middle + half) / scale
    return (0.0 if p == 0 else float(low)), (1.0 if p == 1 else float(high))
