"""Skin tone forgotten: what still tells it, what that costs, and who pays.

Captions are curated to `forget: [skin_tone]`. At the size of the block, two outputs, no output is spare; above it, and
beside a bottleneck, something else than captions decides. Leakage is read by a probe, beside that of an untrained
encoder, and in nats beyond what gender and subgroup tell.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.plots.sweep import scores_over_sweep
from vergence.reports.page import Section, grid
from vergence.reports.words import words
from vergence.studies.demo.spec import FLOOR
from vergence.studies.guidance.guided import (
    MAIN,
    RECIPES,
    GuidedStudy,
    chosen,
    claim,
    ends,
    paired,
    scored,
    unless_quick,
)
from vergence.studies.guidance.lessons import PRECISION, PROBE, Lesson
from vergence.studies.guidance.planned import CURATED, RICH_FAITHFUL, RICH_FORGET
from vergence.studies.study import Claim, Drawing, Finished, Row

BLOCK, LARGE = 2, 32
"""Gender and subgroup; and more outputs than all that captions say has directions."""
BETAS = (10.0,)
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")

# Bounds, set when a few trainings of seeds from 100 on were known, and none that is reported.
COST, UNEVEN = 0.1, 0.1
"""What the other factors may lose in score; how much farther apart tones may come in how often gender is told."""


class EthicsStudy(GuidedStudy):
    """Forget a sensitive factor, and look for it."""

    name = "guidance-ethics"
    description = "captions that forget skin tone: what still tells it, what forgetting costs, and who pays"

    def seeds(self, scale: str) -> int:
        """Five, for paired intervals."""
        return 1 if scale == "smoke" else 5

    def runs(self, scale: str, seeds: int) -> list[Lesson]:
        """Captions that forget and captions that keep, over sizes and bottlenecks."""
        recipe = RECIPES[scale]
        sizes = [BLOCK, MAIN, LARGE]
        at = [(RICH_FORGET, BLOCK, 0.0), (RICH_FAITHFUL, MAIN, 0.0), (RICH_FORGET, MAIN, 0.0)]
        if scale != "smoke":
            at += [(RICH_FORGET, MAIN, beta) for beta in BETAS]
            at += [(RICH_FORGET, LARGE, beta) for beta in (0.0, *BETAS)]
        found = ends(seeds, sizes[: 2 if scale == "smoke" else 3], recipe)
        for seed in range(seeds):
            found += [
                Lesson(name=name, captions=CURATED[name], encoding_size=n, bottleneck=beta, seed=seed, recipe=recipe)
                for name, n, beta in at
            ]
        return found

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """Leakage by size and bottleneck, cost in the other factors and in retrieval, and who pays."""
        found = _leaks(table)
        rows = scored(table)
        at_main = chosen(rows, encoding_size=MAIN, bottleneck=0.0)
        keep, forget = chosen(at_main, captions=RICH_FAITHFUL), chosen(at_main, captions=RICH_FORGET)
        tone = paired(chosen(forget, factor="skin_tone"), chosen(keep, factor="skin_tone"), column="value")
        found.append(
            claim(
                f"{MAIN} outputs: score of skin tone gained by forgetting it, upper end over seeds",
                tone, end="high", at_most=0.0,
            )
        )  # fmt: skip
        for factor in ("gender", "subgroup"):
            change = paired(chosen(forget, factor=factor), chosen(keep, factor=factor), column="value")
            found.append(
                claim(
                    f"{MAIN} outputs: score of {factor} gained by forgetting skin tone, mean over seeds",
                    change, at_least=-COST,
                )
            )  # fmt: skip
        asked = chosen(table, metric=PRECISION, encoding_size=MAIN, bottleneck=0.0)
        found.append(
            claim(
                f"{MAIN} outputs: precision at 10 of gender and subgroup gained by forgetting, mean over seeds",
                paired(chosen(asked, captions=RICH_FORGET), chosen(asked, captions=RICH_FAITHFUL), column="value"),
                at_least=-COST,
            )
        )
        return unless_quick([*found, *_who_pays(table), *_levers(table)], table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """What is told of skin tone, by outputs and bottleneck."""
        if not len(table):
            return {}
        rows = table[(table["metric"] == PROBE) & table["captions"].isin((RICH_FORGET, FLOOR))]
        rows = rows.assign(
            kind=[
                "untrained" if name == FLOOR else f"β = {beta:g}"
                for name, beta in zip(rows["captions"], rows["bottleneck"], strict=True)
            ]
        )
        if not len(rows):
            return {}
        wide, narrow = (
            scores_over_sweep(
                rows.assign(predicted_low=np.nan, predicted_high=np.nan, expected=np.nan),
                over="encoding_size", label="outputs", panels="factor",
                titles={name: words(name) for name in ("skin_tone", "gender", "subgroup")},
                score="Matthews correlation", spacing="log", layout=layout,
            )
            for layout in ("wide", "narrow")
        )  # fmt: skip
        caption = (
            "What a linear probe tells of unseen drawings when captions forget skin tone, by outputs and bottleneck. "
            "Points are means over seeds, bars the range of the seeds."
        )
        return {"leakage": Drawing(caption, wide, narrow)}

    def sections(
        self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]], pictures: Mapping[str, Markup]
    ) -> list[Section]:
        """The figure, and how often gender is told of people of each tone."""
        rows = _of_tones(table)
        cells = [
            (name, words(tone), f"{before:.2f}", f"{after:.2f}")
            for name, tone, before, after in rows.itertuples(index=False)
        ]
        return [
            Section("Leakage", Markup("").join(pictures.values())),
            Section(
                "Who pays",
                grid(("told", "of people of tone", "kept", "forgotten"), cells, label="Accuracy by tone, means"),
            ),
        ]

    def summary(self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]]) -> Row:
        """How often gender and subgroup are told of people of each tone, with and without it in captions."""
        return {"by_tone": _of_tones(table).round(4).to_dict("records")}


def _leaks(table: pd.DataFrame) -> list[Claim]:
    """Of captions that forget: scores above the floor's upper end, and nats beyond the other factors."""
    found = []
    for size in (BLOCK, MAIN, LARGE):
        for beta in (0.0, *BETAS):
            own = chosen(table, captions=RICH_FORGET, encoding_size=size, bottleneck=beta, factor="skin_tone")
            floor = chosen(table, captions=FLOOR, encoding_size=size, factor="skin_tone")
            if len(table) and not len(own):
                continue
            score, end = (
                chosen(part, metric=PROBE).groupby("seed")[column].mean() if len(part) else pd.Series(dtype=float)
                for part, column in ((own, "value"), (floor, "high"))
            )
            above = (score - end).dropna()
            at = f"{size} outputs{f', β = {beta:g}' if beta else ''}"
            found.append(
                Claim(
                    statement=f"{at}: skin tone told beyond the upper end of an untrained encoder's score, mean over "
                    "seeds",
                    measured=float(above.mean()) if len(above) else None,
                    at_most=0.0 if size == BLOCK and not beta else None,
                    where=f"worst seed {above.max():+.2f}" if len(above) else "",
                )
            )
            nats = [chosen(part, metric="nats given the rest") for part in (own, floor)]
            more = paired(*nats, column="value")
            found.append(
                claim(
                    f"{at}: nats of skin tone beyond gender and subgroup, more than an untrained encoder's, "
                    + ("lower end over seeds" if size == BLOCK and not beta else "mean over seeds"),
                    more,
                    end="low" if size == BLOCK and not beta else "mean",
                    at_most=0.0 if size == BLOCK and not beta else None,
                )
            )
    return found


def _of_tones(table: pd.DataFrame) -> pd.DataFrame:
    """By what is told and tone, accuracy of captions that keep the tone and that forget it, means over seeds."""
    rows = chosen(table, encoding_size=MAIN, bottleneck=0.0)
    found = []
    for factor in ("gender", "subgroup"):
        for tone in TONES:
            own = chosen(rows, factor=factor, metric=f"accuracy, {tone}")
            keep, forget = (chosen(own, captions=name) for name in (RICH_FAITHFUL, RICH_FORGET))
            if len(keep) and len(forget):
                found.append((factor, tone, keep["value"].mean(), forget["value"].mean()))
    return pd.DataFrame(found, columns=["told", "tone", "kept", "forgotten"])


def _who_pays(table: pd.DataFrame) -> list[Claim]:
    """How far apart people of different tones are in what is told of them, and the worst off among them."""
    rows = chosen(table, encoding_size=MAIN, bottleneck=0.0)
    found = []
    for factor in ("gender", "subgroup"):
        own = chosen(rows, factor=factor)
        own = own[own["metric"].isin([f"accuracy, {tone}" for tone in TONES])] if len(own) else own
        worst, spread = [], []
        for name in (RICH_FORGET, RICH_FAITHFUL):
            part = chosen(own, captions=name)
            by_seed = part.groupby("seed")["value"] if len(part) else None
            worst.append(pd.DataFrame() if by_seed is None else by_seed.min().reset_index())
            spread.append(pd.DataFrame() if by_seed is None else (by_seed.max() - by_seed.min()).reset_index())
        found += [
            claim(
                f"{MAIN} outputs: accuracy of {factor} among the tone worst off, gained by forgetting, mean over seeds",
                paired(*worst, column="value"), at_least=-COST,
            ),
            claim(
                f"{MAIN} outputs: how far tones are apart in accuracy of {factor}, more by forgetting, mean over seeds",
                paired(*spread, column="value"), at_most=UNEVEN,
            ),
        ]  # fmt: skip
    return found


def _levers(table: pd.DataFrame) -> list[Claim]:
    """What a bottleneck adds to forgetting captions above the block's size."""
    found = []
    probed = chosen(table, metric=PROBE)
    for name, size in ((RICH_FORGET, MAIN), (RICH_FORGET, LARGE)):
        rows = chosen(probed, captions=name, encoding_size=size)
        for factors, what in ((["skin_tone"], "skin tone"), (["gender", "subgroup"], "the other factors")):
            part = rows[rows["factor"].isin(factors)] if len(rows) else rows
            change = paired(chosen(part, bottleneck=BETAS[-1]), chosen(part, bottleneck=0.0), column="value")
            found.append(
                claim(f"{name}, {size} outputs: score of {what} gained by β = {BETAS[-1]:g}, mean over seeds", change)
            )
    return found
