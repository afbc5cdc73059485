"""Whether more training mends what the image experiments of [cai2025] miss at the length of a minute.

Two settings of `mpi3d-selection` in which a factor falls short that captions name rightly, trained for longer and
longer. Nothing else is changed; how far each run ends above the least loss stands beside its scores.
"""

from dataclasses import replace

import pandas as pd

from vergence.studies.images.figures import sweep
from vergence.studies.images.measure import NETWORK
from vergence.studies.images.misalignment import SCALES, mpi3d_selection, readable, scores, worst
from vergence.studies.images.spec import ImageRun
from vergence.studies.images.study import ImageStudy, Scale
from vergence.studies.study import Claim, Drawing

NAMED = (2, 5)
"""How many factors captions name: with either the shape falls short."""
LENGTHS = (1, 4)
"""How often the training of `mpi3d-selection` is as long."""


def runs_of_seed(seed: int, sized: Scale) -> list[ImageRun]:
    """Each setting at each length."""
    chosen = [
        run for run in mpi3d_selection(seed, replace(sized, stride=1)) if len(run.mention) in NAMED[:: sized.stride]
    ]
    return [
        replace(run, budget=replace(run.budget, epochs=run.budget.epochs * length))
        for run in chosen
        for length in LENGTHS
    ]


def claims(table: pd.DataFrame) -> list[Claim]:
    """At the longest training what is named rightly is read and what is omitted is not; and how both grow."""
    rows = scores(table)
    images = rows[(rows["side"] == "image") & (rows["probe"] == NETWORK)]
    longest = images[images["epochs"] == images["epochs"].max()]
    found = [
        *readable(table),
        worst(
            "longest training: score of what is named rightly, network",
            longest[longest["role"] == "unbiased"],
            "value",
            probe=NETWORK,
            at_least=0.8,
        ),
        worst(
            "longest training: what is omitted, network",
            longest[longest["role"] == "omitted"],
            "value",
            probe=NETWORK,
            at_most=0.1,
        ),
    ]
    right = images[images["role"] == "unbiased"]
    means = right.groupby(["selected", "epochs", "factor"], sort=False)["value"].mean()
    found += [
        Claim(statement=f"{factor}, {selected} named, {epochs} epochs, mean over seeds", measured=mean)
        for (selected, epochs, factor), mean in zip(means.index.tolist(), means, strict=True)
    ]
    return [*found, *_gaps(table)]


def _gaps(table: pd.DataFrame) -> list[Claim]:
    losses = table[table["metric"].isin(["loss", "least loss"])]
    ends = losses.pivot_table(index=["selected", "epochs", "seed"], columns="metric", values="value")
    if not {"loss", "least loss"} <= set(ends):
        return []
    gaps = (ends["loss"] - ends["least loss"]).dropna().groupby(["selected", "epochs"]).mean()
    return [
        Claim(statement=f"loss above the least, {selected} named, {epochs} epochs, nats, mean over seeds", measured=gap)
        for (selected, epochs), gap in zip(gaps.index.tolist(), gaps, strict=True)
    ]


def over_length(table: pd.DataFrame) -> dict[str, Drawing]:
    """Scores against the length of training, by how many factors captions name."""
    rows = scores(table)
    rows = rows[(rows["probe"] == NETWORK) & (rows["side"] == "image")]
    if rows.empty:
        return {}
    return {
        "length": sweep(
            rows,
            over="epochs",
            label="epochs",
            score="Matthews correlation or R²",
            panels="selected",
            titles={named: f"{named} factors named" for named in NAMED},
            spacing="log",
        )
    }


STUDIES = (
    ImageStudy(
        name="mpi3d-training-length",
        description="whether longer training mends what images hold of factors that captions name rightly",
        sized=SCALES,
        runs_of_seed=runs_of_seed,
        claimed=claims,
        drawn=over_length,
    ),
)
