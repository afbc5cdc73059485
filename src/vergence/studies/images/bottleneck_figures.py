"""Figures of the studies of [almudevar2025]."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from vergence.plots.directions import Axis
from vergence.plots.runs import runs_as_points
from vergence.studies.images.bottleneck_claims import base, left_out, runs_of
from vergence.studies.study import Drawing

_URR = "URR"
_ALIKE = (
    Axis(column="cka", label="linear CKA of both sides"),
    Axis(column="knn1", label="mutual nearest neighbours, k = 1"),
    Axis(column="knn5", label="mutual nearest neighbours, k = 5"),
)


def of_nuisance(table: pd.DataFrame) -> dict[str, Drawing]:
    """Each factor left out in turn; and one under temperatures."""
    rows = left_out(table)
    rows = rows[rows["metric"] == "urr"]
    if rows.empty:
        return {}
    plain = rows[base(rows)]
    long = pd.concat(
        [plain.assign(what="taught without it"), plain.assign(what="untrained", value=plain["floor"]),
         plain.assign(what="taught its labels", value=plain["ceiling"])]
    )  # fmt: skip
    long["place"] = long["images"].str.replace("-like", "").str.replace("-real", "") + ": " + long["factor"]
    drawn = {
        "nuisance-factors": _by_name(
            long, "Each factor left out of the codes in turn: what images tell of it, as a share of its entropy (URR)."
        )
    }
    fixed = rows[~rows["learned"].astype(bool)]
    if len(fixed):
        drawn["nuisance-temperature"] = _drawing(
            fixed.assign(what="left out"),
            x=Axis(column="temperature", label="temperature of cosines", spacing="log"),
            panels=[Axis(column="value", label=_URR, limits=(-0.05, 1.05))],
            series="what",
            names={"left out": f"{fixed['factor'].iloc[0]}, left out"},
            joined=True,
            caption="What images tell of a factor that codes leave out, as a share of its entropy, by temperature.",
        )
    return drawn


def _by_name(long: pd.DataFrame, caption: str) -> Drawing:
    """Factors stand side by side along the horizontal axis."""
    places = {name: number for number, name in enumerate(dict.fromkeys(long["place"]), start=1)}
    names = ("untrained", "taught its labels", "taught without it")
    return _drawing(
        long.assign(number=long["place"].map(places)),
        x=Axis(column="number", label="factor that is left out", limits=(0.5, len(places) + 0.5)),
        panels=[Axis(column="value", label=_URR, limits=(-0.05, 1.05))],
        series="what",
        names={name: name for name in names},
        ticks={number: name.replace("_", " ") for name, number in places.items()},
        caption=caption,
    )


def of_alignment(table: pd.DataFrame) -> dict[str, Drawing]:
    """Splits as points: alignment against nuisance information."""
    runs = runs_of(table)
    if runs.empty:
        return {}
    names = {name: str(name) for name in sorted(runs["images"].unique())}
    return {
        "alignment": _drawing(
            runs.drop(columns="cka_law"),
            x=Axis(column="nuisance_urr", label="nuisances: mean URR"),
            panels=_ALIKE,
            series="images",
            names=names,
            caption="Alignment of both sides against what images tell of nuisances, as a share of their entropy (URR); "
            "a point for each split of the factors.",
        )
    }


def of_beta(table: pd.DataFrame) -> dict[str, Drawing]:
    """What changes with the bottleneck, a figure for each set."""
    runs = runs_of(table)
    return {f"beta-{name}": _over_beta(part, str(name)) for name, part in runs.groupby("images")}


def _over_beta(runs: pd.DataFrame, name: str) -> Drawing:
    return _drawing(
        runs.assign(kind=runs["learned"].map({True: "learned", False: "fixed"})),
        x=Axis(column="bottleneck", label="weight of the bottleneck β", spacing="symlog"),
        panels=[
            Axis(column="nuisance_urr", label="nuisances: URR"),
            Axis(column="essence_urr", label="essence: URR"),
            Axis(column="cka", label="linear CKA of both sides"),
            Axis(column="knn5", label="mutual neighbours, k = 5"),
            Axis(column="recall1", label="images found by codes, recall@1"),
            Axis(column="tau", label="temperature at the end"),
        ],
        series="kind",
        names={"learned": "temperature learned from .07", "fixed": "temperature fixed"},
        joined=True,
        caption=f"What a bottleneck changes on {name}; URR is information as a share of the factor's entropy.",
    )


def _drawing(
    table: pd.DataFrame,
    *,
    x: Axis,
    panels: Any,
    series: str,
    names: Mapping[Any, str],
    caption: str,
    joined: bool = False,
    ticks: Mapping[float, str] | None = None,
) -> Drawing:
    draw = partial(runs_as_points, table, x=x, panels=panels, series=series, names=names, joined=joined, ticks=ticks)
    return Drawing(caption, draw(layout="wide"), draw(layout="narrow"))
