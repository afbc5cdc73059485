"""What captions taught, in a few words: every sentence is computed from scores between floor and ceiling."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType

from vergence.probes.floors import Standing, share, standing
from vergence.reports.words import capitalised, listed, metric_name, show, spread, words
from vergence.terminal import grid, plain

Says = Mapping[str, Mapping[str, str]]
"""By captions and factor, what they do with it: a key of `DOES`."""

DOES = {"named": "named", "rarely": "mentioned at times", "omitted": "never mentioned", "perturbed": "often wrong"}
"""What captions do with a factor, in words."""

_OUTCOMES = {"not determined": "open", "below the prediction": "below it", "above the prediction": "above it"}
"""Outcomes in the width that a terminal leaves, under the heading "theory"."""

_STYLES = {Standing.LEARNED: "green", Standing.PARTLY: "yellow", Standing.NOT_LEARNED: "red", Standing.UNTOLD: "dim"}


def headline(scores: pd.DataFrame, says: Says) -> str:
    """The finding: what became of the factor that captions treat most differently.

    Args:
        scores: One row for each captions, factor and seed, all at one output size: captions, factor, seed, value,
            floor, ceiling. Captions in the order in which they are to be compared; the first that name everything are
            what others are compared with.
        says: What each captions do with each factor.

    Returns:
        A sentence; with several seeds, scores are ranges over them.

    Example:
        >>> rows = [("faithful", 0.79), ("omit", 0.17)]
        >>> scores = pd.DataFrame([{"captions": name, "value": value} for name, value in rows])
        >>> scores = scores.assign(factor="tone", seed=0, floor=0.29, ceiling=0.85)
        >>> headline(scores, {"faithful": {"tone": "named"}, "omit": {"tone": "omitted"}})
        'Tone: never mentioned → 0.17, less than an untrained encoder (0.29); named → 0.79, near the ceiling (0.85)'
    """
    captions = list(dict.fromkeys(scores["captions"]))
    scored = scores.dropna(subset=["value"])
    biased = [
        (name, factor)
        for name in captions
        for factor in dict.fromkeys(scored["factor"])
        if says.get(name, {}).get(factor) in ("omitted", "perturbed", "rarely") and (scored["captions"] == name).any()
    ]
    right = {
        factor: next((name for name in _by_names(captions, says) if says[name].get(factor) == "named"), None)
        for factor in dict.fromkeys(scored["factor"])
    }
    counts = Counter(factor for _, factor in biased if right.get(factor))
    if not counts:
        return _plain_headline(scored)
    factor = max(counts, key=lambda name: (counts[name], _fall(scored, name, right[name])))
    told = [name for name, other in biased if other == factor] + [str(right[factor])]
    parts: dict[str, list[str]] = {}  # what stands alike is said once
    for name in told:
        score, stands = _part(scored, name, factor)
        parts.setdefault(stands, []).append(f"{DOES[says[name][factor]]} → {score}")
    return f"{capitalised(words(factor))}: " + "; ".join(f"{listed(who)}, {stands}" for stands, who in parts.items())


def relation(value: float, *, floor: float, ceiling: float) -> str:
    """Where a score stands, in words with the number that it stands by.

    Example:
        >>> relation(0.5, floor=0.2, ceiling=0.8)
        'between untrained (0.20) and the ceiling (0.80)'
    """
    stands = standing(value, floor=floor, ceiling=ceiling)
    if stands is Standing.UNTOLD:
        return f"where an untrained encoder has {show(floor)} and the ceiling is {show(ceiling)}"
    if value < floor:
        return f"less than an untrained encoder ({show(floor)})"
    if stands is Standing.NOT_LEARNED:
        return f"hardly more than an untrained encoder ({show(floor)})"
    if stands is Standing.LEARNED:
        return f"{'at' if value >= ceiling else 'near'} the ceiling ({show(ceiling)})"
    return f"between untrained ({show(floor)}) and the ceiling ({show(ceiling)})"


def board(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """For each captions, and each factor, the score and what it stands for; what the page and the terminal show.

    Args:
        scores: The columns of `headline`, with metric, low, high and outcome.

    Returns:
        A record for each captions: name, and cells by factor: value, low, high, floor, ceiling, share (in [0, 1] and
        rounded, for a bar), standing, outcome and seeds (the range over all seeds).
    """
    rows = []
    for name, part in scores.groupby("captions", sort=False):
        cells = {}
        for factor, of_factor in part.groupby("factor", sort=False):
            first = of_factor.sort_values("seed").iloc[0]
            ends = {"floor": float(first["floor"]), "ceiling": float(first["ceiling"])}
            up = share(float(first["value"]), **ends)
            cells[factor] = {
                **{key: float(first[key]) for key in ("value", "low", "high")},
                **ends,
                "share": round(min(max(up, 0.0), 1.0), 3) if isfinite(up) else 0.0,
                "standing": standing(float(first["value"]), **ends),
                "outcome": str(first["outcome"]),
                "reason": str(first["reason"]),
                "seeds": spread(of_factor["value"]) if len(of_factor) > 1 else "",
            }
        rows.append({"name": name, "cells": cells})
    return rows


def terminal(scores: pd.DataFrame, *, title: str) -> RenderableType:
    """The board as a terminal shows it: factor by factor, floor, measured and ceiling.

    Args:
        scores: As for `board`.
        title: Above the table.

    Returns:
        What rich prints within 80 columns.
    """
    rows: list[tuple[object, ...]] = []
    shown = board(scores)
    for factor in dict.fromkeys(scores["factor"]):
        for position, row in enumerate(entry for entry in shown if factor in entry["cells"]):
            cell = row["cells"][factor]
            rows.append(
                (
                    words(factor) if position == 0 else "",
                    row["name"],
                    show(cell["floor"]),
                    show(cell["value"]),
                    f"{show(cell['low'])}–{show(cell['high'])}",
                    show(cell["ceiling"]),
                    plain(str(cell["standing"]), style=_STYLES[cell["standing"]]),
                    _OUTCOMES.get(cell["outcome"], cell["outcome"]),
                )
            )
    headings = ("factor", "captions", "floor", "score", "95 %", "ceiling", "", "theory")
    metrics = ", ".join(dict.fromkeys(map(metric_name, scores["metric"])))
    said = plain(f"{metrics} on unseen concepts. Floor: untrained. Ceiling: trained on the labels.")
    return Group(
        plain(title), "", grid(headings, rows, left=("factor", "captions", "", "theory"), pad_edge=False), said
    )


def _by_names(captions: Sequence[str], says: Says) -> list[str]:
    """Captions, those first that get the most right."""
    return sorted(captions, key=lambda name: -Counter(says.get(name, {}).values())["named"])


def _part(scores: pd.DataFrame, name: str, factor: str) -> tuple[str, str]:
    """The score, and where it stands."""
    rows = scores[(scores["captions"] == name) & (scores["factor"] == factor)]
    mean = rows[["value", "floor", "ceiling"]].mean()
    return spread(rows["value"]), relation(mean["value"], floor=mean["floor"], ceiling=mean["ceiling"])


def _fall(scores: pd.DataFrame, factor: str, right: str | None) -> float:
    means = scores[scores["factor"] == factor].groupby("captions")["value"].mean()
    return float(means.get(right, 0.0) - means.min()) if len(means) else 0.0


def _plain_headline(scores: pd.DataFrame) -> str:
    if scores.empty:
        return "Nothing was measured"
    name = scores["captions"].iloc[0]
    rows = scores[scores["captions"] == name].groupby("factor", sort=False)[["value", "floor", "ceiling"]].mean()
    parts = [
        f"{words(str(factor))} {show(row['value'])} ({show(row['floor'])} untrained)" for factor, row in rows.iterrows()
    ]
    return f"Under {name} captions: {', '.join(parts)}"
