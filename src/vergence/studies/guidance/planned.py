"""Whether captions that are curated to a target teach what the plan expects: its scores against measured ones.

Captions of three corpora (rich and right, sparse, often wrong) are curated to fifteen targets. The plan sees captions
and labels of the training half; it is written down before anything is trained.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.stats import spearmanr

from vergence.plots.planned import expected_and_measured
from vergence.reports.page import Section, grid, prose
from vergence.reports.words import words
from vergence.studies.guidance.guided import (
    MAIN,
    RECIPES,
    GuidedStudy,
    chosen,
    ends,
    scored,
    unless_quick,
)
from vergence.studies.guidance.lessons import Lesson
from vergence.studies.guidance.people import Captions
from vergence.studies.study import Claim, Drawing, Finished, Row

SPARSE = (("skin_tone", 0.3), ("gender", 0.5))
"""How often the sparse corpus speaks of them."""
WRONG = (("skin_tone", 0.7), ("gender", 0.5))
"""How often the third corpus redraws what it says of them."""

RICH_FAITHFUL, RICH_FORGET, RICH_HALF_WRONG = "rich, kept", "rich, tone forgotten", "rich, tone redrawn .5"

CURATED: Mapping[str, Captions] = MappingProxyType(
    {
        RICH_FAITHFUL: Captions(target="{faithful: [skin_tone, gender, subgroup]}"),
        RICH_FORGET: Captions(target="{forget: [skin_tone]}"),
        "rich, both omitted": Captions(target="{omit: [skin_tone, gender]}"),
        "rich, tone omitted .5": Captions(target="{omit: {skin_tone: 0.5}}"),
        "rich, gender omitted .6": Captions(target="{omit: {gender: 0.6}}"),
        "rich, tone omitted .2, gender .8": Captions(target="{omit: {skin_tone: 0.2, gender: 0.8}}"),
        "rich, tone omitted .8, gender .3": Captions(target="{omit: {skin_tone: 0.8, gender: 0.3}}"),
        RICH_HALF_WRONG: Captions(target="{perturb: {skin_tone: 0.5}}"),
        "rich, tone redrawn .9, gender .3": Captions(target="{perturb: {skin_tone: 0.9, gender: 0.3}}"),
        "rich, tone redrawn .2, gender .6": Captions(target="{perturb: {skin_tone: 0.2, gender: 0.6}}"),
        "sparse, balanced": Captions(mention=SPARSE, target="{balance: {skin_tone: 0.6, gender: 0.8}}"),
        "sparse, gender inserted": Captions(mention=SPARSE, target="{insert: [gender]}"),
        "sparse, made faithful": Captions(mention=SPARSE, target="{faithful: [skin_tone, gender]}"),
        "wrong, tone corrected": Captions(redraw=WRONG, target="{correct: [skin_tone]}"),
        "wrong, tone omitted, gender corrected": Captions(
            redraw=WRONG, target="{omit: [skin_tone], correct: [gender]}"
        ),
    }
)
"""Targets by name, with the corpus that they start from. They differ in how far they go, since a rank correlation of
expectations that are equal could not reach its bound however true they were."""

SMALL = ((RICH_FAITHFUL, 3), (RICH_FORGET, 2))
"""At the size of the block that is left: factors that all captions tell."""

WIDE_ENOUGH = 0.3
"""Of ceiling less floor: on less, a way between them cannot be told."""

RANKS, DISTANCE, SPREADS = 0.9, 0.15, 1.5
"""Bounds, stated with the question, before anything was trained."""


class PlannedStudy(GuidedStudy):
    """Curate captions to targets, train on them, and hold scores against the plan's."""

    name = "guidance-plan"
    description = "captions curated to fifteen targets: what the plan expects of each factor, against what is learned"

    def runs(self, scale: str, seeds: int) -> list[Lesson]:
        """Every target at the main size, and two at the size of their block."""
        recipe, found = RECIPES[scale], ends(seeds, [size for _, size in SMALL], RECIPES[scale])
        at_main = list(CURATED)[: 3 if scale == "smoke" else None]
        small = SMALL[: 1 if scale == "smoke" else None]
        for seed in range(seeds):
            found += [
                Lesson(name=name, captions=CURATED[name], encoding_size=size, seed=seed, recipe=recipe)
                for name, size in (*((name, MAIN) for name in at_main), *small)
            ]
        return found

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """Rank correlation and mean distance of expected and measured ways from floor to ceiling, and the misses."""
        points = points_of(table)
        main = chosen(points, encoding_size=MAIN)
        found = []
        small = points[points["encoding_size"] < MAIN] if len(points) else points
        for what, part, bounded in ((f"{MAIN} outputs", main, True), ("sizes of the blocks", small, False)):
            ranks = float(spearmanr(part["way"], part["up"])[0]) if len(part) > 2 and part["up"].nunique() > 1 else None
            distance = float(part["distance"].mean()) if len(part) else None
            found += [
                Claim(
                    statement=f"{what}: rank correlation of expected and measured ways from floor (0) to ceiling (1)",
                    measured=ranks,
                    at_least=RANKS if bounded else None,
                    where=f"{len(part)} of captions and factor",
                ),
                Claim(
                    statement=f"{what}: mean distance of expected and measured ways",
                    measured=distance,
                    at_most=DISTANCE if bounded else None,
                ),
                Claim(
                    statement=f"{what}: the same in standard deviations between seeds, median",
                    measured=float((part["distance"] / part["spread"]).median()) if len(part) else None,
                ),
                Claim(
                    statement=f"{what}: expected ways that are missed, by more than {DISTANCE:g} and by more than "
                    f"{SPREADS:g} standard deviations between seeds: share",
                    measured=float(part["missed"].mean()) if len(part) else None,
                ),
            ]
        inside = points[points["spread"].notna()] if len(points) else points
        found.append(
            Claim(
                statement="measured ways inside the plan's intervals, widened by .1 of the scale: share",
                measured=float(inside["inside"].mean()) if len(inside) else None,
            )
        )
        for factor in ("skin_tone", "gender", "subgroup"):
            own = chosen(main, factor=factor)
            found.append(
                Claim(
                    statement=f"{MAIN} outputs, {words(factor)}: mean distance of expected and measured ways",
                    measured=float(own["distance"].mean()) if len(own) else None,
                    where=f"{len(own)} captions" if len(own) else "ceiling and floor are too near",
                )
            )
        return unless_quick(found, table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Expected against measured ways."""
        points = points_of(table)
        if not len(points):
            return {}
        drawn = points.assign(at=np.where(points["encoding_size"] == MAIN, f"{MAIN} outputs", "size of the block"))
        return {
            "expected": Drawing(
                "How far up from floor (0) to ceiling (1) a factor is expected to be learned from curated captions, "
                "and how far up it is: means over seeds with their range.",
                expected_and_measured(drawn),
                expected_and_measured(drawn, width=400),
            )
        }

    def summary(self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]]) -> Row:
        """Every point, the misses among them."""
        points = points_of(table)
        columns = ["captions", "encoding_size", "factor", "strength", "way", "up", "spread", "distance", "missed"]
        return {"points": points[columns].round(4).to_dict("records") if len(points) else []}

    def sections(
        self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]], pictures: Mapping[str, Markup]
    ) -> list[Section]:
        """The figure, every point, and what captions say."""
        points = points_of(table).sort_values("distance", ascending=False)
        rows = [
            (row["captions"], row["encoding_size"], words(row["factor"]), f"{row['strength']:.2f}", f"{row['way']:.2f}",
             f"{row['up']:.2f}", f"{row['spread']:.2f}", "yes" if row["missed"] else "")
            for row in points.to_dict("records")
        ]  # fmt: skip
        headings = ("captions", "outputs", "factor", "strength", "expected", "measured", "sd of seeds", "missed")
        said = {run.spec.name: run for run in runs if run.spec.captions is not None and run.spec.seed == 0}
        examples = [(name, CURATED[name].target, run.result.extras["examples"][0]) for name, run in said.items()]
        return [
            Section("Expected and measured", Markup("").join(pictures.values())),
            Section(
                "Target by target",
                prose("Farthest from what was expected first.")
                + grid(headings, rows, label="Expected and measured ways", numbers=headings[3:7]),
            ),
            Section("What captions say", grid(("captions", "target", "example"), examples, label="Captions")),
        ]


def points_of(table: pd.DataFrame) -> pd.DataFrame:
    """By captions, size and factor, means over seeds of expected and measured ways, where there is room to tell.

    Returns:
        Columns captions, encoding_size, factor, strength, way (expected), up (measured), lowest and highest of the
        seeds, spread (standard deviation between them), distance, missed and inside (the plan's interval).
    """
    columns = ["captions", "encoding_size", "factor"]
    rows = scored(table)
    if not len(rows):
        return pd.DataFrame(columns=[*columns, "strength", "way", "up", "lowest", "highest", "spread", "distance",
                                     "missed", "inside"])  # fmt: skip
    width = (rows["ceiling"] - rows["floor"]).astype(float)
    rows = rows.assign(
        width=width,
        within=(rows["value"] >= rows["predicted_low"] - 0.1 * width)
        & (rows["value"] <= rows["predicted_high"] + 0.1 * width),
    )
    rows = rows[rows["way"].notna()]
    found = rows.groupby(columns, sort=False).agg(
        strength=("strength", "mean"), way=("way", "mean"), up=("up", "mean"), lowest=("up", "min"),
        highest=("up", "max"), spread=("up", "std"), width=("width", "mean"), inside=("within", "mean"),
    )  # fmt: skip
    found = found[(found["width"] >= WIDE_ENOUGH) & found["up"].notna()].reset_index()
    distance = (found["way"].astype(float) - found["up"]).abs()
    missed = (distance > DISTANCE) & ~(distance <= SPREADS * found["spread"])
    return found.assign(distance=distance, missed=missed)
