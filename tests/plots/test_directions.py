"""Figures of directions show the measured, the law and what both are of."""

import numpy as np
import pandas as pd
import pytest

from vergence.plots.directions import Axis, held_by_size, measured_beside_law
from vergence.plots.style import svg


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_measured_beside_law_names_axes_panels_and_series(layout: str) -> None:
    table = pd.DataFrame(
        {"sigma": [0.1, 0.9, 0.1], "y": [0.1, 5.0, 0.2], "expected": [0.1, 4.9, np.nan], "kind": [0, 0, 1]}
    )
    panels = {"One": table["kind"] >= 0, "None": table["kind"] > 7}
    axes = {"x": Axis(column="sigma", label="strength"), "y": Axis(column="y", label="amplitude", spacing="symlog")}
    figure = measured_beside_law(
        table, **axes, panels=panels, series="kind", names={0: "noise", 1: "redraw"}, layout=layout
    )
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["One"]
    drawn = svg(figure)
    assert all(word in drawn for word in ("strength", "amplitude", "noise", "redraw"))
    assert "mathdefault" not in drawn


def test_held_by_size_has_a_square_for_every_direction_and_size_and_rings_where_theory_says() -> None:
    rows = [
        {"factor": f"d{i}", "strength": 1 / i, "output_size": n, "expected": float(i <= n), "value": float(i <= n)}
        for i in (1, 2, 3)
        for n in (1, 2)
    ]
    table = pd.DataFrame(rows)
    figure = held_by_size(table, panels={"All": table["value"] >= 0}, value="value", label="R²")
    (axes,) = figure.axes
    assert len(axes.collections) == 6 + 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["σ = 1.00", "σ = 0.50", "σ = 0.33"]
