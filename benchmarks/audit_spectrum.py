"""How often intervals of strengths hold the truth: singular values of sampled said × shown tables beside the true ones.

A grid of 2, 3, 5 and 8 values, equally frequent or each 0.6 times as frequent as the one before; of what captions do to
them; and of corpora. The truth is `vergence.theory.of_table` of the population's table, in float64. Shares are of
corpora, for the leading direction, and for the worst of all directions.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from benchmarks.measure import Case, Run, Side
from vergence.corpus.strength import Tables, strengths
from vergence.theory import of_table

SEED = 0
VALUES = (2, 3, 5, 8)
_GROUPS = 400
_PER_IMAGE = 3


def _channel(k: int, mention: Any = 1.0, redraw: float = 0.0, swap: Any = 0.0) -> np.ndarray:
    """What is said (values, then nothing) by what is shown."""
    said = (1 - redraw) * (np.eye(k) * (1 - swap) + np.roll(np.eye(k), 1, axis=0) * swap) + redraw / k
    return np.vstack([said * mention, np.ones(k) * (1 - mention)])


CHANNELS = {
    "exact": _channel,
    "omitted in 10 %": lambda k: _channel(k, mention=0.9),
    "omitted in 50 %": lambda k: _channel(k, mention=0.5),
    "omitted in 90 %": lambda k: _channel(k, mention=0.1),
    "never mentioned": lambda k: _channel(k, mention=0.0),
    "mentioned in 90 to 5 %, by value": lambda k: _channel(k, mention=np.linspace(0.9, 0.05, k)),
    "redrawn in 5 %": lambda k: _channel(k, redraw=0.05),
    "redrawn in 50 %": lambda k: _channel(k, redraw=0.5),
    "redrawn always": lambda k: _channel(k, redraw=1.0),
    "omitted in 40 %, redrawn in 30 %": lambda k: _channel(k, mention=0.6, redraw=0.3),
    "always swapped with the next": lambda k: _channel(k, swap=1.0),
    "swapped with the next in 90 %": lambda k: _channel(k, swap=0.9),
    "swapped with the next in 0 to 90 %, by value": lambda k: _channel(k, swap=np.linspace(0, 0.9, k)),
}
CORPORA = {
    "100 images": (100, 1),
    "300 images of three captions, in half of them all alike": (300, _PER_IMAGE),
    "1000 images": (1000, 1),
    "10,000 images": (10_000, 1),
}


def cases() -> Iterator[Case]:
    """One for each kind of corpus."""
    for name in CORPORA:
        ours = Side(make=coverage, sizes={"corpus": name, "corpora": 200}, small={"corpus": name, "corpora": 1})
        yield Case(
            name=f"strengths within their intervals, 200 corpora of {name} a cell", ours=ours, repeats=1, rounds=1
        )


def coverage(*, corpus: str, corpora: int) -> Run:
    """Share of nominal 95 % intervals that hold the true strength."""
    images, captions = CORPORA[corpus]

    def run() -> dict[str, Any]:
        cells = {}
        for k, uneven, (name, make) in product(VALUES, (False, True), CHANNELS.items()):
            shares = 0.6 ** np.arange(k) if uneven else np.ones(k)
            joint = make(k) * shares / shares.sum()
            truth = np.zeros(k - 1)
            exact = of_table(joint)[: k - 1]
            truth[: len(exact)] = exact
            rng = np.random.default_rng([SEED, k, uneven, images])
            found = np.stack([strengths(_drawn(joint, images, captions, rng), level=0.95) for _ in range(corpora)])
            held = ((found[:, :, 1] <= truth + 1e-9) & (truth <= found[:, :, 2] + 1e-9)).mean(axis=0)
            width = (found[:, 0, 2] - found[:, 0, 1]).mean()
            numbers = [held[0], held.min(), truth[0], (found[:, 0, 0] - truth[0]).mean(), width]
            cells[f"{k} {'uneven' if uneven else 'equal'} values, {name}"] = [round(float(one), 3) for one in numbers]
        columns = [
            "leading",
            "worst direction",
            "true leading strength",
            "mean error of it",
            "mean width of its interval",
        ]
        table = np.array(list(cells.values()))[:, :2]
        below = (table < 0.92).sum(axis=0).tolist()
        return {
            "columns": columns, "smallest": table.min(axis=0).tolist(), "mean": table.mean(axis=0).round(3).tolist(),
            "cells below 0.92": below, "of": len(cells), "cells": cells,
        }  # fmt: skip

    return run


def _drawn(joint: np.ndarray, images: int, captions: int, rng: np.random.Generator) -> Tables:
    """A corpus as sums over groups of images; captions of one image say something each, or in half of them the same."""
    n_groups = min(images, _GROUPS)
    groups = np.zeros((n_groups, joint.size))
    if captions == 1:
        sizes = np.bincount(np.arange(images) % n_groups)
        groups += rng.multinomial(sizes, joint.ravel())
        return Tables(groups.reshape(-1, *joint.shape), np.zeros((0, *joint.shape)), images)
    shown = rng.choice(joint.shape[1], images, p=joint.sum(axis=0))
    levels = (joint / joint.sum(axis=0)).cumsum(axis=0).T[shown]
    dice = rng.random((images, captions))
    alike = rng.random(images) < 0.5
    dice[alike] = dice[alike, :1]
    said = (dice[:, :, None] > levels[:, None, :-1]).sum(axis=2)
    where = (np.arange(images) % n_groups).repeat(captions)
    np.add.at(groups, (where, (said * joint.shape[1] + shown[:, None]).ravel()), 1)
    return Tables(groups.reshape(-1, *joint.shape), np.zeros((0, *joint.shape)), images)
