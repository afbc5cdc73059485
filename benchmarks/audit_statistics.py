"""How often intervals of selection and perturbation hold the truth, and whether corrected estimates are unbiased.

Corpora are simulated: 200 images of one of four colours, three captions each, that mention it at one rate and redraw it
uniformly at another. Values are shares of corpora, and means. A rare value is one of two colours, that 3 % of images
show, labelled by a detector that errs in one of ten.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from benchmarks.measure import Case, Run, Side
from vergence import Factor, FactorSpace
from vergence.corpus import LexiconError, estimate_misalignment, lexicon_from_factors
from vergence.corpus.errata import DetectorError

SEED = 0
RATES = (0.05, 0.2, 0.5, 0.8, 0.95)
_COLORS = np.array(["red", "green", "blue", "black"])


def cases() -> Iterator[Case]:
    """Every selection rate crossed with every redraw rate."""
    for name, make in (("intervals that hold the truth", coverage), ("corrected estimates", corrected)):
        ours = Side(make=make, sizes={"corpora": 200}, small={"corpora": 2})
        yield Case(name=f"{name}, 200 corpora for each of 25 pairs of rates", ours=ours, repeats=1, rounds=1)
    ours = Side(make=rare, sizes={"corpora": 100}, small={"corpora": 2})
    yield Case(name="a rare value labelled by a detector, 100 corpora of each size", ours=ours, repeats=1, rounds=1)


def coverage(*, corpora: int) -> Run:
    """Share of nominal 95 % intervals that hold the injected rate, by pair of rates; the smallest; all together.

    And the share of corpora whose uniform redraw was rejected, at a level of 0.01.
    """

    def run() -> dict[str, object]:
        cells, rejected = {}, []
        for selection, rho in product(RATES, RATES):
            found = _estimates(selection, rho, corpora)
            rejected.append(found["rejected"].mean())
            shares = [
                found[f"{rate}_low"].le(truth) & found[f"{rate}_high"].ge(truth)
                for rate, truth in (("selection", selection), ("rho", rho))
            ]
            cells[f"selection {selection}, rho {rho}"] = [round(float(share.mean()), 3) for share in shares]
        pooled = np.mean(list(cells.values()), axis=0).round(4).tolist()
        smallest = np.min(list(cells.values()), axis=0).tolist()
        redraw = {"pooled": round(float(np.mean(rejected)), 4), "largest": round(float(np.max(rejected)), 3)}
        return {"pooled": pooled, "smallest": smallest, "uniform redraw rejected": redraw, "cells": cells}

    return run


def corrected(*, corpora: int) -> Run:
    """Mean error of estimates corrected for a recall of 0.8 and false positives of 0.02, in standard errors too.

    The wrong-value rate stands for ρ here, as ρ times 0.75: ρ itself is not reported outside [0, 1].
    """
    error = LexiconError(recall=0.8, false_positive=0.02)

    def run() -> dict[str, object]:
        cells = {}
        for selection, rho in product(RATES, RATES):
            found = _estimates(selection, rho, corpora, error)
            apart = found[["selection", "wrong_value"]] - [selection, 0.75 * rho]  # missing where not determined
            standard = apart.mean() / (apart.std() / apart.count() ** 0.5)
            numbers = [*apart.mean().round(4), *standard.round(1), round(float(apart["wrong_value"].notna().mean()), 3)]
            cells[f"selection {selection}, rho {rho}"] = [float(number) for number in numbers]
        columns = ["selection", "wrong value", "selection, in standard errors", "wrong value, the same"]
        columns.append("share with a wrong-value rate")
        return {"columns": columns, "cells": cells}

    return run


def rare(*, corpora: int) -> Run:
    """Mean error of the wrong-value rate of the rare value where it is reported, by images and rate; and how often."""
    names, confusion = np.array(["red", "blue"]), np.full((2, 2), 0.1) + 0.8 * np.eye(2)
    lexicon = lexicon_from_factors(FactorSpace((Factor("color", tuple(names)),)))
    detector = {"color": DetectorError(tuple(names), confusion)}

    def one(rng: np.random.Generator, images: int, rho: float) -> float:
        shown = (rng.random(images) >= 0.03).astype(int)
        labels = np.where(rng.random(images) < 0.1, 1 - shown, shown)
        said = np.where(rng.random(images) < rho, rng.integers(0, 2, images), shown)
        table = pd.DataFrame({"color": names[labels]})
        found = estimate_misalignment(names[said].tolist(), table, lexicon, detectors=detector)
        return float(found.values["wrong_value"][0]) - rho / 2

    def run() -> dict[str, object]:
        cells = {}
        for images, rho in product((600, 2400, 9600, 24000), (0.0, 0.2)):
            rng = np.random.default_rng([SEED, images, round(100 * rho)])
            apart = pd.Series([one(rng, images, rho) for _ in range(corpora)]).dropna()
            numbers = [len(apart) / corpora]
            if len(apart) > 1:
                numbers += [apart.mean(), apart.mean() / (apart.std() / len(apart) ** 0.5)]
            cells[f"{images} images, rho {rho}"] = [round(float(number), 3) for number in numbers]
        return {"columns": ["share reported", "mean error", "in standard errors"], "cells": cells}

    return run


def _estimates(selection: float, rho: float, corpora: int, error: LexiconError | None = None) -> pd.DataFrame:
    rng = np.random.default_rng([SEED, round(100 * selection), round(100 * rho)])
    lexicon = lexicon_from_factors(FactorSpace((Factor("color", tuple(_COLORS)),)))
    recall, false_positive = (0.8, 0.02) if error else (1.0, 0.0)
    rows = []
    for _ in range(corpora):
        shown = np.repeat(rng.integers(0, 4, 200), 3)
        said = np.where(rng.random(600) < rho, rng.integers(0, 4, 600), shown)
        truly = (np.arange(4) == said[:, None]) & (rng.random(600) < selection)[:, None]
        found = rng.random((600, 4)) < np.where(truly, recall, false_positive)
        estimate = estimate_misalignment(
            ["a cup " + " ".join(_COLORS[row]) for row in found],
            pd.DataFrame({"color": _COLORS[shown]}),
            lexicon,
            clusters=np.repeat(np.arange(200), 3),
            lexicon_errors={"color": error} if error else None,
        )
        row = estimate.factors.iloc[0]
        rows.append({**row, "rejected": "not uniform" in row["note"]})
    rates = [f"{rate}{end}" for rate in ("selection", "wrong_value", "rho") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows)[[*rates, "rejected"]].astype(float)
