"""Scores over a sweep: true spacing, nothing hidden, predictions beside what was measured."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from vergence.errors import ConfigError
from vergence.plots.style import svg
from vergence.plots.sweep import Layout, Spacing, scores_over_sweep

SIZES = (2, 5, 6, 20)
TITLES = {False: "Independent factors", True: "Dependent factors"}


def table(settings: tuple = SIZES) -> pd.DataFrame:
    rows = [
        {"size": size, "dependent": dependent, "kind": kind, "seed": seed, "value": 0.5, "expected": 0.5}
        | {"predicted_low": low, "predicted_high": high}
        for size in settings
        for dependent in TITLES
        for seed in (0, 1)
        for kind, low, high in (("unbiased", 0.5, 0.5), ("perturbed", 0.2, 0.8), ("private", 0.0, 1.0))
    ]
    return pd.DataFrame(rows)


def drawn(rows: pd.DataFrame, *, spacing: Spacing = "linear", layout: Layout = "wide") -> Figure:
    figure = scores_over_sweep(
        rows,
        over="size",
        label="outputs",
        panels="dependent",
        titles=TITLES,
        score="mean R²",
        spacing=spacing,
        layout=layout,
    )
    figure.draw_without_rendering()
    return figure


def markers(figure: Figure) -> list[np.ndarray]:
    """Where the measured points of each kind are on the page, in pixels."""
    found = []
    for line in figure.axes[0].get_lines():
        if line.get_marker() not in {"None", "_", None} and len(line.get_xdata()) == len(SIZES):
            found.append(line.get_transform().transform(np.column_stack(line.get_data())))
    return found


def test_sizes_have_their_true_spacing() -> None:
    for points in markers(drawn(table())):
        steps = np.diff(points[:, 0]) / np.diff(SIZES)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


def test_a_logarithm_has_its_own() -> None:
    for points in markers(drawn(table(), spacing="log")):
        steps = np.diff(points[:, 0]) / np.diff(np.log(SIZES))
        np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


def test_equal_scores_do_not_hide_one_another() -> None:
    figure = drawn(table())
    assert len(markers(figure)) == 3
    for one, other in combinations(markers(figure), 2):
        assert np.abs(one - other).max(axis=1).min() > 4  # pixels


def test_bounds_are_drawn_beside_every_measurement_unless_they_exclude_nothing() -> None:
    bars = [line for line in drawn(table()).axes[0].get_lines() if line.get_linewidth() == 4]
    assert len(bars) == 2 * len(SIZES)  # of unbiased and perturbed; private is open
    spans = sorted({round(float(np.ptp(line.get_ydata())), 3) for line in bars})
    assert spans == [0.016, 0.616]


def test_titles_and_axes_are_words_and_scores_have_their_name() -> None:
    figure = drawn(table())
    assert [axes.get_title("left") for axes in figure.axes] == list(TITLES.values())
    assert figure.axes[0].get_ylabel() == "mean R²"
    assert "named wrongly at times (perturbed)" in svg(figure)


@pytest.mark.parametrize(("layout", "pixels"), [("wide", 800), ("narrow", 400)])
def test_figures_fit_their_page(layout: Layout, pixels: int) -> None:
    figure = drawn(table(), layout=layout)
    assert figure.get_figwidth() * 96 == pytest.approx(pixels, rel=0.02)
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text()):
        box = text.get_window_extent()
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1


def test_a_kind_looks_the_same_whatever_others_there_are() -> None:
    def colour(rows: pd.DataFrame) -> object:
        legend = drawn(rows).legends[0]
        return next(
            h.get_color() for h, t in zip(legend.legend_handles, legend.texts, strict=True) if "private" in t.get_text()
        )

    rows = table()
    assert colour(rows) == colour(rows[rows["kind"] != "perturbed"])


def test_names_stand_one_after_another_and_are_not_joined() -> None:
    rows = table(("not injective", "holes"))
    axes = drawn(rows, spacing="names").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["not\ninjective", "holes"]


@pytest.mark.parametrize("rows", [pd.DataFrame(), table().iloc[:0], table().drop(columns="kind")])
def test_a_table_that_cannot_be_drawn_is_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="table needs rows and the columns kind, seed, value"):
        drawn(rows)
