"""Figures of scores show each number where it belongs, between its floor and its ceiling."""

from math import nan
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from tests.reports.scores import scores

from vergence.errors import ConfigError
from vergence.plots import between_floor_and_ceiling, score_by_size, svg
from vergence.plots.prediction import _spread
from vergence.plots.style import looks


@pytest.fixture
def main() -> pd.DataFrame:
    return scores()


@pytest.fixture
def sizes() -> pd.DataFrame:
    parts = [scores("faithful").assign(encoding_size=n) for n in (4, 16, 64)]
    parts += [scores("omit").assign(encoding_size=n, floor=0.1 + n / 200) for n in (3, 16, 64)]
    return pd.concat(parts, ignore_index=True)


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_factor_has_a_panel_and_each_captions_a_row(main: pd.DataFrame) -> None:
    figure = between_floor_and_ceiling(main)
    assert [axes.get_title("left") for axes in figure.axes] == ["skin tone", "gender", "group", "subgroup"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["labels", "faithful", "omit", "perturb"]
    assert all(axes.get_xlabel() == "Matthews correlation" for axes in figure.axes)
    assert between_floor_and_ceiling(main.assign(metric="r2_score")).axes[0].get_xlabel() == "R²"


def test_scores_are_written_beside_their_marks(main: pd.DataFrame) -> None:
    assert texts(between_floor_and_ceiling(main).axes[0]) == ["0.76", "0.80", "0.17", "0.15"]


def test_floor_and_ceiling_are_lines_with_a_field_between_them(main: pd.DataFrame) -> None:
    tone = between_floor_and_ceiling(main).axes[0]
    upright = [
        line.get_xdata()[0] for line in tone.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    ]
    assert {0.29, 0.84} <= {round(float(x), 6) for x in upright}
    (field,) = [patch for patch in tone.patches if patch.get_width() > 0]
    assert (field.get_x(), field.get_x() + field.get_width()) == pytest.approx((0.29, 0.84))
    bare = between_floor_and_ceiling(main.assign(floor=nan, ceiling=nan)).axes[0]
    assert not bare.patches


def test_other_seeds_are_marked_where_they_hide_nothing(main: pd.DataFrame) -> None:
    tone = between_floor_and_ceiling(scores(seeds=3)).axes[0]
    marks = [line for line in tone.lines if line.get_marker() == "|" and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in marks] == [2] * 4
    assert all(line.get_ydata()[0] % 1 > 0.1 for line in marks)


def test_one_column_repeats_the_captions_in_every_panel(main: pd.DataFrame) -> None:
    figure = between_floor_and_ceiling(main, n_columns=1)
    assert all(axes.get_yticklabels()[0].get_text() == "labels" for axes in figure.axes)
    assert figure.get_figheight() > figure.get_figwidth()


def test_figures_are_as_wide_as_a_page_shows_them(main: pd.DataFrame, sizes: pd.DataFrame) -> None:
    for draw, table in ((between_floor_and_ceiling, main), (score_by_size, sizes)):
        assert draw(table).get_figwidth() * 96 == pytest.approx(800, abs=5)
        assert draw(table, n_columns=1).get_figwidth() * 96 < 380


def test_sizes_are_at_their_true_distance_and_marks_apart(sizes: pd.DataFrame) -> None:
    tone = score_by_size(
        sizes.sample(frac=1, random_state=0).sort_values("factor", key=lambda c: c != "skin_tone")
    ).axes[0]
    assert [label.get_text() for label in tone.get_xticklabels()] == ["3", "16", "64"]
    assert tone.get_xscale() == "log"
    lines = {line.get_marker(): line.get_xdata() for line in tone.lines if line.get_marker() in ("o", "s")}
    assert lines["o"] == pytest.approx([4 / 1.07**0.5, 16 / 1.07**0.5, 64 / 1.07**0.5], rel=0.08)
    assert not set(np.round(lines["o"], 6)) & set(np.round(lines["s"], 6))
    assert {text for text in texts(tone) if "0." in text} == {"faithful 0.80", "omit 0.17"}


def test_missing_and_negative_scores_are_drawn_as_such(main: pd.DataFrame) -> None:
    main.loc[main["captions"] == "omit", ["value", "low", "high"]] = nan
    main.loc[main["captions"] == "labels", ["value", "low", "high"]] = (-0.4, -0.5, nan)
    tone = between_floor_and_ceiling(main).axes[0]
    assert "not measured" in texts(tone)
    assert "−0.40" in texts(tone)
    assert tone.get_xlim()[0] < -0.5


def test_a_sweep_without_any_value_leaves_its_line_out(sizes: pd.DataFrame) -> None:
    sizes.loc[sizes["captions"] == "omit", ["value", "low", "high"]] = nan
    assert texts(score_by_size(sizes).axes[0]) == ["faithful 0.80"]


@pytest.mark.parametrize("n_columns", [1, 2, 3, 4, 9])
def test_any_number_of_columns_shows_every_factor(main: pd.DataFrame, sizes: pd.DataFrame, n_columns: int) -> None:
    assert len(between_floor_and_ceiling(main, n_columns=n_columns).axes) == 4
    assert len(score_by_size(sizes, n_columns=n_columns).axes) == 4


def test_labels_at_line_ends_stand_clear_of_each_other() -> None:
    placed = np.array(_spread([0.6, 0.61, 0.2, 0.6]))
    assert np.diff(np.sort(placed)).min() >= 0.13 - 1e-9
    assert _spread([0.1, 0.9]) == pytest.approx([0.1, 0.9])


def test_svg_is_the_same_every_time_and_carries_no_date(main: pd.DataFrame) -> None:
    first, second = (svg(between_floor_and_ceiling(main)) for _ in range(2))
    assert first == second
    assert svg(figure := between_floor_and_ceiling(main)) == svg(figure)
    assert "<dc:date>" not in first
    assert ">skin tone</text>" in first


def test_drawing_leaves_the_settings_of_matplotlib_alone(main: pd.DataFrame, sizes: pd.DataFrame) -> None:
    before = dict(mpl.rcParams)
    svg(between_floor_and_ceiling(main))
    svg(score_by_size(sizes))
    assert dict(mpl.rcParams) == before


def test_dollar_signs_in_names_are_no_mathematics(main: pd.DataFrame) -> None:
    main["factor"] = r"$\broken{$"
    main["captions"] = [f"$\\x{{{row}$" for row in range(len(main))]
    assert r"$\broken{$" in svg(between_floor_and_ceiling(main))


def test_captions_keep_their_look_in_every_figure() -> None:
    assert looks(["omit", "faithful"])["omit"] == looks(["labels", "omit"])["omit"]
    assert len(set(looks(list("abcdefgh")).values())) >= 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "floor"}, "missing: floor"),
        ({"empty": True}, "at least one row; got none"),
        ({"twice": True}, "one row for each captions, factor and seed"),
    ],
)
def test_unusable_tables_are_refused(main: pd.DataFrame, change: dict[str, Any], message: str) -> None:
    broken = main.drop(columns=change["drop"]) if "drop" in change else main
    broken = broken.iloc[:0] if "empty" in change else pd.concat([broken, broken]) if "twice" in change else broken
    with pytest.raises(ConfigError, match=message):
        between_floor_and_ceiling(broken)


def test_no_columns_are_refused(sizes: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"n_columns must be >= 1; got 0"):
        score_by_size(sizes, n_columns=0)
