"""Captions of rising richness, then of rising faithfulness: what each step teaches, and what it costs.

The poorest captions name the thing and say nothing else; curation inserts subgroup, gender and skin tone one after
another. Then the wrong captions of `guidance-plan` are corrected, and right ones redrawn.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.plots.sweep import scores_over_sweep
from vergence.reports.page import Section, grid
from vergence.reports.words import words
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
from vergence.studies.guidance.lessons import PRECISION, PROBE, ZERO_SHOT, Lesson
from vergence.studies.guidance.people import Captions
from vergence.studies.guidance.planned import CURATED, RICH_FAITHFUL, RICH_HALF_WRONG, WRONG
from vergence.studies.study import Claim, Drawing, Finished, Row

_NOTHING = (("skin_tone", 0.0), ("gender", 0.0), ("subgroup", 0.0))
RUNGS: dict[str, Captions] = {
    "name": Captions(mention=_NOTHING, named=True),
    "+ subgroup": Captions(mention=_NOTHING, target="{insert: [subgroup]}", named=True),
    "+ gender": Captions(mention=_NOTHING, target="{insert: [subgroup, gender]}", named=True),
    "+ skin tone": Captions(mention=_NOTHING, target="{insert: [subgroup, gender, skin_tone]}", named=True),
}
"""Captions of rising richness."""

LEFT_WRONG, CORRECTED, REDRAWN = "wrong, left so", "wrong, corrected", "rich, tone redrawn .9"
STEPS: dict[str, Captions] = {
    LEFT_WRONG: Captions(redraw=WRONG, target="{faithful: [subgroup]}"),  # which is right already
    CORRECTED: Captions(redraw=WRONG, target="{correct: [skin_tone, gender]}"),
    REDRAWN: Captions(target="{perturb: {skin_tone: 0.9}}"),
    RICH_HALF_WRONG: CURATED[RICH_HALF_WRONG],
    RICH_FAITHFUL: CURATED[RICH_FAITHFUL],
}
"""Captions of rising faithfulness."""

ADDED = (("gender", "+ subgroup", "+ gender"), ("skin_tone", "+ gender", "+ skin tone"))
"""Factors, with captions that do not say them and captions that do."""

# Bounds, set when a few trainings of seeds from 100 on were known, and none that is reported.
GAIN, UNNAMED, COST, CORRECTION = 0.3, 0.25, 0.15, 0.3


class PretrainingStudy(GuidedStudy):
    """Make captions richer, and right."""

    name = "guidance-pretraining"
    description = "captions made richer, then right: what unseen concepts are read by, and what is not named stays out"

    def runs(self, scale: str, seeds: int) -> list[Lesson]:
        """Every step at the main size."""
        recipe, found = RECIPES[scale], ends(seeds, [MAIN], RECIPES[scale])
        steps = {**RUNGS, **STEPS}
        names = ["name", "+ skin tone"] if scale == "smoke" else list(steps)
        for seed in range(seeds):
            found += [
                Lesson(name=name, captions=steps[name], encoding_size=MAIN, seed=seed, recipe=recipe) for name in names
            ]
        return found

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What naming adds, what stays out while it is not named, what it costs the rest, and what correcting buys."""
        rows = scored(table)
        asked = table[table["metric"] == ZERO_SHOT] if len(table) else table
        found = []
        for factor, before, after in ADDED:
            own = chosen(rows, factor=factor)
            gain = paired(chosen(own, captions=after), chosen(own, captions=before))
            found.append(
                claim(
                    f"{words(factor)} named: its way from floor (0) to ceiling (1) gained, mean over seeds",
                    gain, at_least=GAIN,
                )
            )  # fmt: skip
            silent = list(RUNGS)[: list(RUNGS).index(before) + 1]
            unnamed = own[own["captions"].isin(silent)] if len(own) else own
            found.append(
                claim(
                    f"{words(factor)} not named: its way from floor to ceiling, mean over captions and seeds",
                    float(unnamed["up"].mean()) if len(unnamed) else None,
                    at_most=UNNAMED,
                )
            )
            told = chosen(asked, factor=factor)
            heard = paired(chosen(told, captions=after), chosen(told, captions=before), column="value")
            found.append(
                claim(
                    f"{words(factor)} named: zero-shot score of unseen concepts gained, mean over seeds",
                    heard, at_least=GAIN / 2,
                )
            )  # fmt: skip
        for earlier, before in (("gender", "+ gender"), ("subgroup", "+ subgroup")):
            own = chosen(rows, factor=earlier)
            change = paired(chosen(own, captions="+ skin tone"), chosen(own, captions=before), column="value")
            found.append(
                claim(
                    f"{words(earlier)}: score gained when captions say more beside it, mean over seeds",
                    change, at_least=-COST,
                )
            )  # fmt: skip
        for factor in ("skin_tone", "gender"):
            own = chosen(rows, factor=factor)
            gain = paired(chosen(own, captions=CORRECTED), chosen(own, captions=LEFT_WRONG))
            found.append(
                claim(
                    f"{words(factor)} corrected: its way from floor to ceiling gained, mean over seeds",
                    gain, at_least=CORRECTION,
                )
            )  # fmt: skip
        own = chosen(rows, factor="skin_tone")
        order = [chosen(own, captions=name)["up"].mean() for name in (REDRAWN, RICH_HALF_WRONG, RICH_FAITHFUL)]
        steps = float(np.min(np.diff(order))) if len(own) else None
        found.append(claim("skin tone redrawn less often: least step of its way from .9 to .5 to 0", steps, at_least=0))
        found.append(claim("subgroup of captions that name the thing alone: way from floor to ceiling, mean over seeds",
                           _mean(chosen(rows, factor="subgroup", captions="name"))))  # fmt: skip
        for name in ("name", "+ subgroup", "+ gender", "+ skin tone"):
            part = chosen(table, metric=PRECISION, captions=name)
            found.append(
                claim(
                    f"{name}: precision at 10 of queries for gender and subgroup, mean over seeds",
                    float(part["value"].mean()) if len(part) else None,
                )
            )
        return unless_quick(found, table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Scores over the steps, by how they are read."""
        if not len(table):
            return {}
        rows = table[table["metric"].isin((PROBE, ZERO_SHOT))]
        found = {}
        for name, steps, caption in (
            ("richness", RUNGS, "What captions of rising richness teach of unseen concepts"),
            ("faithfulness", STEPS, "What captions of rising faithfulness teach of unseen concepts"),
        ):
            own = rows[rows["captions"].isin(list(steps))]
            if not len(own):
                continue
            place = own["captions"].map(list(steps).index)
            drawn = own.assign(kind=own["factor"].map(words), at=own["metric"], place=place).sort_values("place")
            drawn[["predicted_low", "predicted_high", "expected"]] = np.nan
            titles = {PROBE: "linear probe", ZERO_SHOT: "asked in words (zero-shot)"}
            wide, narrow = (
                scores_over_sweep(
                    drawn, over="captions", label="captions", panels="at", titles=titles,
                    score="Matthews correlation", spacing="names", layout=layout,
                )
                for layout in ("wide", "narrow")
            )  # fmt: skip
            found[name] = Drawing(f"{caption}. Points are means over seeds, bars the range of the seeds.", wide, narrow)
        return found

    def sections(
        self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]], pictures: Mapping[str, Markup]
    ) -> list[Section]:
        """Figures, and captions with their coverage."""
        rows = []
        for run in runs:
            if run.spec.captions is None or run.spec.seed:
                continue
            said = run.spec.captioned
            assert said is not None
            rows.append((run.spec.name, run.spec.captions.target, f"{said.edited:.0%}", said.texts[0]))
        return [
            Section("What each step teaches", Markup("").join(pictures.values())),
            Section("What captions say", grid(("captions", "target", "edited", "example"), rows, label="Captions")),
        ]

    def summary(self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]]) -> Row:
        """Mean scores by captions, factor and metric."""
        if not len(table):
            return {"means": []}
        rows = table[table["metric"].isin((PROBE, ZERO_SHOT, PRECISION))]
        means = rows.groupby(["captions", "factor", "metric"], sort=False)["value"].mean().round(4).reset_index()
        return {"means": means.to_dict("records")}


def _mean(rows: pd.DataFrame) -> float | None:
    return float(rows["up"].mean()) if len(rows) else None
