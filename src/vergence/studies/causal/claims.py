"""What the table of `awareness-causal` says of the paper's two claims and of the theory."""

from collections.abc import Iterator
from dataclasses import replace
from math import nan

import numpy as np
import pandas as pd

from vergence.plots.runs import agreement
from vergence.studies.causal.panels import PAPER_SCORE, alike, correlation, panel_of, reached, values_of
from vergence.studies.causal.predict import LIMIT, mentions_needed
from vergence.studies.causal.slopes import Estimate, difference_of, ratio_of, slope_of
from vergence.studies.causal.spec import ASSIGNED, DRAWINGS, EASY_FIRST, LABELS, NATURAL, OBSERVED, RENDERED
from vergence.studies.study import Claim

SETS = (RENDERED, DRAWINGS)
COVERED = 10 * LIMIT
"""Mentions of a value that counts as covered well."""
_FULL = 3  # seeds, below which nothing is claimed: a smoke run shows that it works
_NOTHING = Estimate(nan)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim; without bounds where fewer than three seeds were run, unless the table is empty."""
    narrow = int(table["width"].min()) if len(table) else 1
    found = [*_causal(table, narrow), *_observed(table, narrow), *_capacity(table), *_theory(table, narrow)]
    if len(table) and table["seed"].nunique() < _FULL:
        return [replace(claim, at_least=None, at_most=None) for claim in found]
    return found


def slopes(table: pd.DataFrame, width: int, score: str = PAPER_SCORE) -> Iterator[tuple[str, str, Estimate, float]]:
    """Of every kind of captions of every set: set, captions, slope in score per tenfold coverage, correlation."""
    for images in SETS:
        for captions in (ASSIGNED, *OBSERVED[images]):
            panel = panel_of(table, images, captions, width=width, score=score)
            if panel is not None:
                yield images, captions, slope_of(panel, generator=_stream()), correlation(panel)


def share_causal(table: pd.DataFrame, images: str, captions: str, *, width: int, score: str = PAPER_SCORE) -> Estimate:
    """The assigned slope as a share of the observed one."""
    both = [panel_of(table, images, name, width=width, score=score) for name in (ASSIGNED, captions)]
    causal, observed = both
    if causal is None or observed is None or not alike(causal, observed):
        return _NOTHING
    return ratio_of(causal, observed, generator=_stream())


def unseen(table: pd.DataFrame, width: int) -> pd.DataFrame:
    """Values that are mentioned often and yet not seen: F1 below half in the mean over runs where rates are assigned.

    Returns:
        A row for each: images, factor, value, ceiling, mentions (means), and why: "ceiling" if the encoder that labels
        train does not see it either (below half), "captions" otherwise.
    """
    rows = table[(table["captions"] == ASSIGNED) & (table["role"] == "value") & (table["metric"] == PAPER_SCORE)]
    rows = rows[(rows["width"] == width) & (rows["mentions"] >= COVERED)]
    means = rows.groupby(["images", "factor"], sort=False)[["value", "ceiling", "mentions"]].mean().reset_index()
    low = means[means["value"] < _HALF]
    return low.assign(why=np.where(low["ceiling"] < _HALF, "ceiling", "captions"))


_HALF = 0.5


def _causal(table: pd.DataFrame, width: int) -> Iterator[Claim]:
    for images in SETS:
        said = f"{images}: F1 per tenfold coverage, assigned, values fixed"
        yield _bounded(said, _slope(table, images, ASSIGNED, width), at_least=0.0)


def _observed(table: pd.DataFrame, width: int) -> Iterator[Claim]:
    for images in SETS:
        for captions in OBSERVED[images]:
            yield _bounded(
                f"{images}: F1 per tenfold coverage, observed over values, {captions}",
                _slope(table, images, captions, width),
                at_least=0.0,
            )
            ratio = share_causal(table, images, captions, width=width)
            said = f"{images}: causal share of the slope observed with {captions}"
            if captions == EASY_FIRST:  # coverage that follows ease overstates what coverage does
                yield Claim(statement=said, measured=ratio.value, at_least=0.0, at_most=1.0, where=_interval(ratio))
            else:
                yield Claim(statement=said, measured=ratio.value, where=_interval(ratio))


def _capacity(table: pd.DataFrame) -> Iterator[Claim]:
    """The larger model does not close the gap: its slope is no less than three quarters of the small one's."""
    widths = sorted(table["width"].unique()) if len(table) else []
    same = table[table["assignment"] == 0] if len(table) else table  # all that wide encoders have learned from
    for images in SETS:
        for captions in (ASSIGNED, *(name for name in OBSERVED[images] if name == NATURAL)):
            pair = [panel_of(same, images, captions, width=int(width)) for width in (widths[:1] + widths[-1:])]
            both = [panel for panel in pair if panel is not None]
            share, change = nan, _NOTHING
            if len(widths) > 1 and len(both) == 2 and both[0].x.shape == both[1].x.shape:
                change = difference_of(both[0], both[1], generator=_stream())
                share = both[1].slope / both[0].slope if both[0].slope > 0 else nan
            yield Claim(
                statement=f"{images}: slope of the wide encoder over that of the narrow one, {captions}",
                measured=share,
                at_least=0.75,
                where=f"difference {change}",
            )


def _theory(table: pd.DataFrame, width: int) -> Iterator[Claim]:
    rows = values_of(table, RENDERED, ASSIGNED)
    rows = rows[rows["width"] == width]
    rows = rows.assign(reached=reached(rows)).dropna(subset=["reached", "mentions"]) if len(rows) else rows
    few, many = (rows[cut]["reached"].mean() if len(rows) else nan for cut in _cuts(rows))
    yield Claim(
        statement=f"{RENDERED}: share of the ceiling reached below N σ² = {LIMIT:g}", measured=few, at_most=0.35
    )
    yield Claim(
        statement=f"{RENDERED}: share of the ceiling reached from {COVERED:g} mentions on", measured=many, at_least=0.75
    )
    needed = mentions_needed(rows["mentions"].to_numpy(), rows["reached"].to_numpy()) if len(rows) else nan
    yield Claim(
        statement=f"{RENDERED}: mentions from which half of the ceiling is reached, by law {LIMIT:g}",
        measured=needed,
        at_least=LIMIT / 3,
        at_most=3 * LIMIT,
    )
    rho = agreement(rows)[0] if len(rows) else nan
    yield Claim(statement=f"{RENDERED}: rank correlation of expected and measured F1", measured=rho, at_least=0.6)
    for images in SETS:
        covered = unseen(table, width) if len(table) else pd.DataFrame({"images": [], "why": []})
        own = covered[covered["images"] == images]
        yield Claim(
            statement=f"{images}: of values mentioned {COVERED:g} times yet unseen, share whose ceiling is as low",
            measured=float((own["why"] == "ceiling").mean()) if len(own) else nan,
            where=f"{len(own)} values with F1 below {_HALF:g}",
        )


def _cuts(rows: pd.DataFrame) -> tuple[object, object]:
    return (rows["mentions"] < LIMIT, rows["mentions"] >= COVERED) if len(rows) else (slice(0), slice(0))


def _slope(table: pd.DataFrame, images: str, captions: str, width: int) -> Estimate:
    panel = panel_of(table, images, captions, width=width) if len(table) else None
    return _NOTHING if panel is None else slope_of(panel, generator=_stream())


def _bounded(statement: str, found: Estimate, *, at_least: float) -> Claim:
    """The lower end of the interval is what has to reach the bound."""
    return Claim(statement=f"{statement}, lower end", measured=found.low, at_least=at_least, where=str(found))


def _interval(found: Estimate) -> str:
    return f"95 % interval {found.low:.2f} to {found.high:.2f}"


def _stream() -> np.random.Generator:
    return np.random.default_rng(0)


__all__ = ["COVERED", "LABELS", "SETS", "claims", "share_causal", "slopes", "unseen"]
