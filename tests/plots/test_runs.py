"""Figures of runs show every run, what was expected, and say how well both agree."""

import numpy as np
import pandas as pd
import pytest

from vergence.errors import ConfigError
from vergence.plots.directions import Axis
from vergence.plots.runs import agreement, predicted_against_measured, runs_as_points
from vergence.plots.style import svg

TABLE = pd.DataFrame({"beta": [0.0, 0.1, 1.0, 1.0], "cka": [0.2, 0.4, 0.6, 0.5], "kind": ["a", "a", "a", "b"]})
X = Axis(column="beta", label="weight β", spacing="symlog")


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_every_run_is_a_point_in_each_panel_and_series_are_named(layout: str) -> None:
    panels = [Axis(column="cka", label="alignment"), Axis(column="beta", label="again")]
    names = {"a": "first kind", "b": "second kind"}
    figure = runs_as_points(TABLE, x=X, panels=panels, series="kind", names=names, joined=True, layout=layout)
    assert [axes.get_ylabel() for axes in figure.axes] == ["alignment", "again"]
    marks = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in marks) == len(TABLE)
    assert all(word in svg(figure) for word in ("weight β", "first kind", "second kind"))


def test_a_law_is_drawn_where_there_is_one_and_names_can_stand_at_the_axis() -> None:
    panels = [Axis(column="cka", label="alignment")]
    options = {"x": X, "panels": panels, "series": "kind", "names": {"a": "a"}, "ticks": {0.0: "none", 1.0: "much"}}
    drawn = svg(runs_as_points(TABLE.assign(cka_law=1.0), **options))
    assert all(word in drawn for word in ("by the law", "none", "much"))
    assert "by the law" not in svg(runs_as_points(TABLE, **options))


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_measured_stands_over_expected_and_no_score_is_outside_the_panel(layout: str) -> None:
    table = pd.DataFrame({"expected": [0.0, 1.0, np.nan], "value": [-0.4, 1.2, 0.5], "lever": ["omit", "size", "omit"]})
    names = {"omit": "omitted", "size": "fewer outputs", "tau": "temperature"}
    figure = predicted_against_measured(table, series="lever", names=names, score="score", layout=layout)
    assert figure.axes[0].get_title(loc="left") == "All, n = 2"
    low, high = figure.axes[0].get_ylim()
    assert low < -0.4 < 1.2 < high
    assert "temperature" not in svg(figure)


def test_agreement_is_a_rank_correlation_and_a_mean_distance_of_complete_rows() -> None:
    table = pd.DataFrame({"expected": [0.0, 0.5, 1.0, np.nan], "value": [0.3, 0.2, 0.9, 7.0]})
    rho, distance, n = agreement(table)
    assert (round(rho, 6), round(distance, 6), n) == (0.5, 0.233333, 3)
    assert np.isnan(agreement(table.assign(expected=1.0))[0])


@pytest.mark.parametrize(("table", "message"), [
    (pd.DataFrame(), "missing: expected, value, lever"),
    (pd.DataFrame({"expected": [np.nan], "value": [1.0], "lever": ["omit"]}), "a row with both expected and value"),
])  # fmt: skip
def test_a_table_without_what_is_drawn_is_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predicted_against_measured(table, series="lever", names={"omit": "omitted"}, score="score")
