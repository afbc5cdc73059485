"""What the studies of captions of people have in common: a lesson is measured alike, and so they share it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from vergence.probes.floors import beside, shares
from vergence.probes.robustness import Difference, paired_difference
from vergence.studies.demo.spec import CEILING, FLOOR
from vergence.studies.guidance.lessons import PROBE, Lesson, Recipe, key_of, read, teach
from vergence.studies.study import Claim, Finished, Result, Row, Study, Tell
from vergence.training import TrainConfig

MAIN = 8
"""Output size at which all captions are compared."""

ROOMY = 32
"""Output size of ceilings: with fewer, labels compete for outputs and some end unlearned (on seeds from 100)."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"smoke": Recipe(training=TrainConfig(epochs=1, batch_size=64)), "cpu": Recipe()}
)
_AT = ("side", "factor", "metric", "seed", "encoding_size")


@dataclass(frozen=True)
class GuidedStudy(Study[Lesson]):
    """A study whose runs are lessons, their floors and ceilings among them."""

    family = "guidance-drawings"
    foretold = ("strength", "way")
    margin = 0.05

    def seeds(self, scale: str) -> int:
        """One where it is shown that it works, else three."""
        return 1 if scale == "smoke" else 3

    def job(self, scale: str) -> Mapping[str, Any]:
        """Which study, trained how."""
        return {"job": "study", "study": self.name, "settings": {"scale": scale, **asdict(RECIPES[scale])}}

    def key(self, spec: Lesson) -> Mapping[str, Any]:
        """Captions by what they say, and everything else that a result depends on."""
        return key_of(spec)

    def label(self, spec: Lesson) -> str:
        """Captions, size, bottleneck and seed."""
        penalised = f"_beta-{spec.bottleneck:g}" if spec.bottleneck else ""
        return f"{spec.name.replace(' ', '-')}_{spec.encoding_size}{penalised}_seed-{spec.seed}"

    def settings(self, spec: Lesson) -> Row:
        """Captions, what they were and what they are curated to, size, bottleneck, seed and epochs."""
        return {
            "captions": spec.name,
            "target": "" if spec.captions is None else spec.captions.target,
            "encoding_size": spec.encoding_size,
            "bottleneck": spec.bottleneck,
            "seed": spec.seed,
            "epochs": spec.recipe.training.epochs,
        }

    def predict(self, spec: Lesson) -> list[Row]:
        """What the plan expects of each factor where the floor is 0 and the ceiling 1."""
        return [{"metric": PROBE, **row} for row in foretold(spec)]

    def measure(self, group: Sequence[Lesson], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and read, one after another; nothing is left but numbers."""
        results = []
        for spec, folder in zip(group, folders, strict=True):
            taught = teach(spec, folder=folder, tell=tell)
            said = spec.captioned
            extras = {} if said is None else {"edited": said.edited, "examples": list(said.texts[:6])}
            results.append(Result(read(taught), extras))
        return results

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[Lesson]]) -> pd.DataFrame:
        """Put floor and ceiling beside every score, and predictions between them."""
        found = beside(table, teacher="captions", floor=FLOOR, ceiling=CEILING, by=_AT)
        by = [name for name in _AT if name != "encoding_size"]
        own = table.loc[table["captions"] == CEILING, [*by, "value"]]
        found["ceiling"] = table[by].merge(own, on=by, how="left")["value"].set_axis(table.index)
        floor, width = found["floor"], found["ceiling"] - found["floor"]
        # what is not taught lies between nothing and what an untrained encoder tells
        low = np.where(found["predicted_low"] > 0, floor + found["predicted_low"] * width, np.minimum(0, floor))
        told = found["predicted_low"].notna() & floor.notna() & width.notna()
        for name, value in (
            ("predicted_low", pd.Series(low, found.index)),
            ("predicted_high", np.where(found["predicted_high"] < 1, floor + found["predicted_high"] * width, 1.0)),
            ("expected", floor + found["way"].astype(float) * width),
        ):
            found[name] = found[name].where(~told, value)
        return found


def foretold(spec: Lesson) -> list[Row]:
    """What the plan says of each factor: the interval of its score from floor (0) to ceiling (1), and what is expected.

    Expected is σ², what a single text tells of the factor as a share of its variance, brought into the interval: 0 of
    what captions omit, 1 of what all get right. Chosen beside the middle of the interval and σ on seeds from 100 on.
    """
    said = spec.captioned
    if said is None or said.policy is None:
        return []
    rows = []
    for row in said.policy.strengths.to_dict("records"):
        low, high, strength = row["score_after_low"], row["score_after_high"], row["after"]
        way = float(np.clip(strength**2, low, high))
        rows.append(
            {
                "factor": row["factor"],
                "predicted_low": low,
                "predicted_high": high,
                "expected": way,
                "reason": f"captions tell it with strength {strength:.2f} after curation, {row['before']:.2f} before",
                "strength": strength,
                "way": way,
            }
        )
    return rows


def scored(table: pd.DataFrame, *, metric: str = PROBE, least: float = 0.0) -> pd.DataFrame:
    """Rows of one metric whose ceiling is above the floor by enough, with their way up in column `up`."""
    if not len(table):
        return table.assign(up=[])
    rows = table[(table["metric"] == metric) & ~table["captions"].isin((FLOOR, CEILING))]
    rows = rows[rows["ceiling"] - rows["floor"] >= least]
    return rows.assign(up=shares(rows) if len(rows) else [])


def chosen(rows: pd.DataFrame, **at: Any) -> pd.DataFrame:
    """Rows with these settings."""
    for name, value in at.items():
        rows = rows[rows[name] == value] if len(rows) else rows
    return rows


def paired(after: pd.DataFrame, before: pd.DataFrame, *, column: str = "up") -> Difference | None:
    """The difference of two settings, paired by seed; means over the factors of each are compared."""
    if not len(after) or not len(before):
        return None
    means = [part.groupby("seed")[column].mean() for part in (after, before)]
    both = pd.concat(means, axis=1, keys=["after", "before"]).dropna()
    return paired_difference(both["after"].to_numpy(), both["before"].to_numpy()) if len(both) else None


def claim(
    statement: str, found: Difference | float | None, *, end: str = "mean", at_least: float | None = None,
    at_most: float | None = None,
) -> Claim:  # fmt: skip
    """A claim of a number, or of the mean or an end of an interval over seeds, which one seed does not have."""
    if not isinstance(found, Difference):
        return Claim(statement=statement, measured=found, at_least=at_least, at_most=at_most)
    return Claim(
        statement=statement, measured=getattr(found, end), at_least=at_least, at_most=at_most, where=str(found)
    )


def unless_quick(found: Iterable[Claim], table: pd.DataFrame) -> list[Claim]:
    """Claims of what was trained to the end; of a quick run nothing is claimed."""
    if not len(table) or bool((table["epochs"] >= RECIPES["cpu"].training.epochs).all()):
        return list(found)
    return [replace(one, at_least=None, at_most=None) for one in found]


def ends(seeds: int, sizes: Iterable[int], recipe: Recipe) -> list[Lesson]:
    """Ceilings with room for all labels, and floors at every size."""
    found = []
    for seed in range(seeds):
        found.append(Lesson(name=CEILING, encoding_size=ROOMY, seed=seed, recipe=recipe))
        found += [Lesson(name=FLOOR, encoding_size=size, seed=seed, recipe=recipe) for size in sorted({*sizes, MAIN})]
    return found
