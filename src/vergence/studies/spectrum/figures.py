"""Figures of the study, one for each question."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vergence.plots.directions import Axis, Layout, held_by_size, measured_beside_law
from vergence.studies.spectrum.slices import COSINES, SPECTRA
from vergence.studies.study import Drawing

_STRENGTH = Axis(column="strength", label="strength σ")
_Y = Axis(column="value", label="amplitude y = 2a²/τ", spacing="symlog", limits=(-0.002, 200))


def figures(table: pd.DataFrame) -> dict[str, Drawing]:
    """Every figure whose slice was run."""
    made: Mapping[str, tuple[str, Callable[[pd.DataFrame, Layout], Figure]]] = {
        "spectrum-amplitudes": (
            "Amplitude of each direction against its strength; points were measured, lines are the amplitude equation.",
            _amplitudes,
        ),
        "spectrum-thresholds": (
            "Amplitudes near the threshold against strength, by β and τ. Points were measured, lines are the equation.",
            _thresholds,
        ),
        "spectrum-sphere": (
            "Shares of the variance of unit vectors, by temperature of the cosines; lines are the law on the sphere.",
            _sphere,
        ),
        "spectrum-sizes": (
            "R² of each direction against the number of outputs, behind mixings; means of three seeds.",
            _sizes,
        ),
        "spectrum-temperature": (
            "A learned temperature against the bottleneck, by objective and constraint.",
            _temperature,
        ),
        "spectrum-pairs": (
            "R² of a linear probe against the number of pairs times σ². If that is what counts, all are on one curve.",
            _pairs,
        ),
        "spectrum-values": ("Matthews correlation of factors of five values against the number of outputs.", _values),
    }
    if table.empty:
        return {}
    rows = table.assign(strength=table["strength"].astype(float))
    return {name: Drawing(caption, draw(rows, "wide"), draw(rows, "narrow")) for name, (caption, draw) in made.items()}


def _amplitudes(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "amplitudes") & (table["metric"] == "y") & table["strength"].notna()]
    panels = {
        f"{channel}{', 20 % mismatched' if mismatch else ''}".capitalize(): (rows["channel"] == channel)
        & (rows["mismatch"] == mismatch)
        for channel, mismatch in rows[["channel", "mismatch"]].drop_duplicates().itertuples(index=False)
    }
    names = {0.0: "β = 0", 0.5: "β = ½"}
    return measured_beside_law(rows, x=_STRENGTH, y=_Y, panels=panels, series="bottleneck", names=names, layout=layout)


def _thresholds(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "thresholds") & (table["metric"] == "y") & table["factor"].str.match(r"d\d+$")]
    rows = rows.assign(
        pair=[f"β = {beta:g}, τ = {tau:g}" for beta, tau in rows[["bottleneck", "temperature"]].to_numpy()]
    )
    gaussian = rows["channel"] == "noise"
    panels = {
        "Gaussian noise": gaussian,
        "Omission": (rows["channel"] == "omission") & rows["n_values"].isna(),
        "Omission, three values": (rows["channel"] == "omission") & rows["n_values"].notna(),
        "Redraw, three values": (rows["channel"] == "redraw") & rows["n_values"].notna(),
    }
    y = Axis(column="value", label="amplitude y = 2a²/τ")
    names = {pair: pair for pair in rows["pair"].unique()}
    return measured_beside_law(rows, x=_STRENGTH, y=y, panels=panels, series="pair", names=names, layout=layout)


def _sphere(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "sphere") & (table["metric"] == "share") & (table["factor"] != "image_other")]
    rows = rows[rows["batch_size"] == rows["batch_size"].max()]
    rows = rows.assign(strength=rows["strength"].fillna(0.0))
    panels = {f"τ = {cosine:g}": np.isclose(rows["temperature"], 2 * cosine) for cosine in COSINES}
    panels = {title: pd.Series(where, index=rows.index) for title, where in panels.items()}
    y = Axis(column="value", label="share of the variance", limits=(-0.03, 0.8))
    return measured_beside_law(
        rows,
        x=_STRENGTH,
        y=y,
        panels=panels,
        series="output_size",
        names={5: "5 outputs", 10: "10 outputs"},
        layout=layout,
    )


def _sizes(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "sizes") & (table["metric"] == "r2")]
    panels = {
        f"{name.capitalize()}, τ = {tau:g}": (rows["spectrum"] == name) & (rows["temperature"] == tau)
        for name in SPECTRA
        for tau in (1.0, 0.2)
    }
    return held_by_size(rows, panels=panels, value="value", label="R²", layout=layout)


def _temperature(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "temperature") & (table["metric"] == "temperature")]
    rows = rows.assign(kind=[f"{a}, {b}" for a, b in rows[["objective", "constraint"]].to_numpy()])
    names = {
        "info_nce, free": "free",
        "info_nce, unit": "unit norm",
        "info_nce, standardized": "standardised",
        "variational, free": "variational, free",
    }
    return measured_beside_law(
        rows.assign(law=np.nan),
        x=Axis(column="bottleneck", label="bottleneck β", spacing="symlog"),
        y=Axis(column="value", label="learned τ of squared distances", spacing="log"),
        panels={"Learned temperature": rows["value"].notna()},
        series="kind",
        names=names,
        law="law",
        layout=layout,
    )


def _pairs(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "pairs") & (table["metric"] == "r2_linear")]
    rows = rows.assign(scaled=rows["n_pairs"] * rows["strength"] ** 2, law=np.nan)
    names = {sigma: f"σ = {sigma:g}" for sigma in sorted(rows["strength"].unique(), reverse=True)}
    return measured_beside_law(
        rows,
        x=Axis(column="scaled", label="pairs × σ²", spacing="log"),
        y=Axis(column="value", label="R² of a linear probe", limits=(-0.05, 1.05)),
        panels={"A data set of N pairs": rows["value"].notna()},
        series="strength",
        names=names,
        law="law",
        layout=layout,
    )


def _values(table: pd.DataFrame, layout: Layout) -> Figure:
    rows = table[(table["question"] == "values") & table["metric"].isin(["matthews_linear", "matthews"])]
    names = {sigma: f"σ = {sigma:g}" for sigma in sorted(rows["strength"].unique(), reverse=True)}
    return measured_beside_law(
        rows,
        x=Axis(column="output_size", label="outputs"),
        y=Axis(column="value", label="Matthews correlation", limits=(-0.05, 1.05)),
        panels={"Linear probe": rows["metric"] == "matthews_linear", "MLP probe": rows["metric"] == "matthews"},
        series="strength",
        names=names,
        layout=layout,
    )
