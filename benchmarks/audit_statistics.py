"""How often intervals of selection and perturbation hold the truth, and whether corrected estimates are unbiased.

Corpora are simulated: 200 images of one of four colours, three captions each, that mention it at one rate and redraw it
uniformly at another. Values are shares of corpora, and means.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from benchmarks.measure import Case, Run, Side
from vergence import Factor, FactorSpace
from vergence.corpus import LexiconError, estimate_misalignment, lexicon_from_factors

SEED = 0
RATES = (0.05, 0.2, 0.5, 0.8, 0.95)
_COLORS = np.array(["red", "green", "blue", "black"])


def cases() -> Iterator[Case]:
    """Every selection rate crossed with every redraw rate."""
    for name, make in (("intervals that hold the truth", coverage), ("corrected estimates", corrected)):
        ours = Side(make=make, sizes={"corpora": 500}, small={"corpora": 2})
        yield Case(name=f"{name}, 500 corpora for each of 25 pairs of rates", ours=ours, repeats=1, rounds=1)


def coverage(*, corpora: int) -> Run:
    """Share of nominal 95 % intervals that hold the injected rate, by pair of rates; the smallest; all together."""

    def run() -> dict[str, object]:
        cells = {}
        for selection, rho in product(RATES, RATES):
            found = _estimates(selection, rho, corpora)
            shares = [
                found[f"{rate}_low"].le(truth) & found[f"{rate}_high"].ge(truth)
                for rate, truth in (("selection", selection), ("rho", rho))
            ]
            cells[f"selection {selection}, rho {rho}"] = [round(float(share.mean()), 3) for share in shares]
        pooled = np.mean(list(cells.values()), axis=0).round(4).tolist()
        return {"pooled": pooled, "smallest": np.min(list(cells.values()), axis=0).tolist(), "cells": cells}

    return run


def corrected(*, corpora: int) -> Run:
    """Mean error of estimates corrected for a recall of 0.8 and false positives of 0.02, in standard errors too."""
    error = LexiconError(recall=0.8, false_positive=0.02)

    def run() -> dict[str, object]:
        cells = {}
        for selection, rho in product(RATES, RATES):
            found = _estimates(selection, rho, corpora, error)
            apart = found[["selection", "rho"]] - [selection, rho]  # rho is missing where it cannot be estimated
            standard = apart.mean() / (apart.std() / apart.count() ** 0.5)
            numbers = [*apart.mean().round(4), *standard.round(1), round(float(apart["rho"].notna().mean()), 3)]
            cells[f"selection {selection}, rho {rho}"] = [float(number) for number in numbers]
        columns = ["selection", "rho", "selection, in standard errors", "rho, the same", "share with rho estimated"]
        return {"columns": columns, "cells": cells}

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
        rows.append(estimate.factors.iloc[0])
    rates = [f"{rate}{end}" for rate in ("selection", "rho") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows)[rates].astype(float)
