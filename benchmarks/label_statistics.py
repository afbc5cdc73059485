"""How often an audit's intervals hold the truth where a detector that errs has labelled the images.

Images are the embedded drawings with a known skin tone (five values, neighbours are confused) or gender (two); a
caption of each mentions the factor at one rate and redraws it uniformly at another. The detector confuses values at
fixed rates, is less sure where it errs, and gives no label where it is least sure. Its rates are known, or estimated
from so many drawings as `vergence label --ask` draws, answered rightly. A cell is a factor, a pair of rates and what is
known of the detector; values are shares of 1,000 simulated samples, of those in which the rate is stated.
"""

from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from benchmarks.measure import Case, Run, Side
from vergence.corpus import DetectorError
from vergence.corpus.asking import draw, strata_of
from vergence.corpus.errata import Stratum
from vergence.corpus.rates import Items, rates
from vergence.data import load_emoji
from vergence.errors import ConfigError

SEED = 0
RATES = ((0.9, 0.1), (0.5, 0.3), (0.2, 0.5))
KNOWN = ("known", 150, 400)
CONFUSION = {
    "gender": np.array([[0.92, 0.08], [0.15, 0.85]]),
    "skin_tone": np.array(
        [
            [0.85, 0.12, 0.03, 0, 0],
            [0.10, 0.78, 0.10, 0.02, 0],
            [0.02, 0.10, 0.78, 0.10, 0],
            [0, 0.02, 0.10, 0.78, 0.10],
            [0, 0, 0.03, 0.12, 0.85],
        ]
    ),
}
_UNSURE = 0.1  # margin below which there is no label


def cases() -> Iterator[Case]:
    """Each factor with known and with estimated rates."""
    for factor, known in product(CONFUSION, KNOWN):
        told = "known rates" if known == "known" else f"rates estimated from {known} answers"
        ours = Side(make=coverage, sizes={"factor": factor, "known": known, "samples": 1000}, small={"samples": 2})
        yield Case(name=f"intervals that hold the truth, {factor}, {told}", ours=ours, repeats=1, rounds=1)


def coverage(*, factor: str, known: int | str, samples: int, seed: int = SEED) -> Run:
    """By pair of rates: coverage of the factor's rates, and over its values; how often each is stated; mean widths."""

    def run() -> dict[str, object]:
        return {
            f"selection {selection}, rho {rho}": cell(factor, known, selection, rho, samples=samples, seed=seed)
            for selection, rho in RATES
        }

    return run


def cell(factor: str, known: int | str, selection: float, rho: float, *, samples: int, seed: int) -> dict[str, object]:
    """Coverage of one cell."""
    setting = [list(CONFUSION).index(factor), KNOWN.index(known), round(100 * selection), round(100 * rho)]
    rows: list[dict[str, object]] = []
    stated_in = 0
    for number in range(samples):
        rng = np.random.default_rng([seed, *setting, number])
        found = one(factor, known, selection, rho, rng=rng)
        if found is not None:
            rows += found
            stated_in += 1
    table = pd.DataFrame(rows)
    truths = {"selection": selection, "wrong_value": rho * (1 - 1 / len(CONFUSION[factor])), "rho": rho}
    result: dict[str, object] = {}
    if stated_in < samples:
        result["rates could be estimated in"] = stated_in / samples
    for of, part in (("factor", table[table["value"] == ""]), ("values", table[table["value"] != ""])):
        for rate, truth in truths.items():
            low, high, estimate = (part[f"{rate}{end}"].astype(float) for end in ("_low", "_high", ""))
            stated = estimate.notna() | (low > 0) | (high < 1)
            held = ((low <= truth) & (truth <= high))[stated]
            by = held.groupby(part["value"]).mean()
            result[f"{of}: {rate}"] = {
                "coverage": round(float(held.mean()), 3) if len(held) else None,
                **({"smallest": round(float(by.min()), 3)} if of == "values" and len(by) else {}),
                "stated": round(float(stated.mean()), 3),
                "bias": round(float((estimate[stated] - truth).mean()), 4) if stated.any() else None,
                "width": round(float((high - low)[stated].mean()), 3) if stated.any() else None,
            }
    return result


@cache
def drawings(factor: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """What the drawings show, as places of values, and the values."""
    emoji = load_emoji()
    values = tuple(emoji.space[factor].values or ())
    codes = emoji.labels[factor].map({value: number for number, value in enumerate(values)}).dropna()
    return codes.to_numpy(dtype=np.int64), values


def one(
    factor: str, known: int | str, selection: float, rho: float, *, rng: np.random.Generator
) -> list[dict[str, object]] | None:
    """Rates of one simulated sample with their intervals; `None` where the answers do not tell the detector's rates."""
    shown, values = drawings(factor)
    confusion, k, n = CONFUSION[factor], len(values), len(shown)
    labels = (rng.random(n)[:, None] > np.cumsum(confusion, axis=1)[shown]).sum(axis=1).clip(max=k - 1)
    two = np.sort(rng.random((n, 2)), axis=1)
    margins = np.where(labels == shown, two[:, 1], two[:, 0])
    told = np.where(margins < _UNSURE, -1, labels)
    detector = DetectorError(values, _labelled(confusion))
    if known != "known":
        try:
            detector = estimated(values, shown, told, margins, answers=int(known), rng=rng)
        except ConfigError:
            return None
    said = np.where(rng.random(n) < rho, rng.integers(0, k, n), shown)
    found = np.eye(k, dtype=bool)[said] & (rng.random(n) < selection)[:, None]
    here = told >= 0
    items = Items(
        found=found[here],
        shown=told[here],
        weights=detector.weights(told[here]),
        clusters=np.arange(here.sum()),
        detected=True,
        shifts=detector.shifts,
        error=None,
    )
    total, by_value = rates(items, values, 0.95)
    return [{"value": "", **total}, *({"value": value, **own} for value, own in by_value.items())]


def _labelled(confusion: np.ndarray) -> np.ndarray:
    """Of images with a label: the larger of two uniform numbers is below u in u², the smaller in 1 - (1 - u)²."""
    right = np.eye(len(confusion), dtype=bool)
    kept = confusion * np.where(right, 1 - _UNSURE**2, (1 - _UNSURE) ** 2)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def estimated(
    values: tuple[str, ...],
    shown: np.ndarray,
    told: np.ndarray,
    margins: np.ndarray,
    *,
    answers: int,
    rng: np.random.Generator,
) -> DetectorError:
    """The detector's rates from answers about a sample of its own images."""
    strata = strata_of(told, margins)
    asked = draw(strata, answers, generator=rng)
    found = []
    for stratum in np.unique(strata[strata >= 0]):
        own = asked[strata[asked] == stratum]
        seen = {values[v]: int((shown[own] == v).sum()) for v in np.unique(shown[own])}
        found.append(Stratum(values[stratum // 3], int((strata == stratum).sum()), seen))
    return DetectorError.from_sample(values, found)
