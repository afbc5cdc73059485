"""Figures of predictions show each number where it belongs, and nothing where there is none."""

from math import nan
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from tests.reports.results import demo_results

from vergence.errors import ConfigError
from vergence.plots import measured_against_predicted, score_by_size, svg
from vergence.plots.prediction import _spread
from vergence.plots.style import looks
from vergence.reports import scores, size_scores


@pytest.fixture
def main() -> pd.DataFrame:
    return scores(demo_results())


@pytest.fixture
def sizes() -> pd.DataFrame:
    return size_scores(demo_results())


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def diamonds(axes: Axes) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for line in axes.lines
        if line.get_marker() == "D"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_each_factor_has_a_panel_and_each_policy_a_row(main: pd.DataFrame) -> None:
    figure = measured_against_predicted(main)
    assert [axes.get_title("left") for axes in figure.axes] == ["skin tone", "gender", "group", "subgroup"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["labels", "faithful", "omit", "perturb"]
    assert all("Matthews correlation" in axes.get_xlabel() for axes in figure.axes)


def test_scores_are_written_beside_their_marks(main: pd.DataFrame) -> None:
    tone = measured_against_predicted(main).axes[0]
    assert [text for text in texts(tone) if text[0].isdigit()] == ["0.76", "0.80", "0.26", "0.24"]


def test_a_prediction_is_drawn_only_where_theory_speaks(main: pd.DataFrame) -> None:
    tone, gender, *_ = measured_against_predicted(main).axes
    assert diamonds(tone) == [(1.0, 0.0), (1.0, 1.0)]
    assert texts(tone).count("theory is silent") == 2
    assert len(diamonds(gender)) == 4
    assert "theory is silent" not in texts(gender)


def test_a_wide_interval_is_not_written_over(main: pd.DataFrame) -> None:
    main.loc[main["policy"] == "omit", ["low", "high"]] = (0.1, 0.9)
    tone = measured_against_predicted(main).axes[0]
    assert texts(tone).count("theory is silent") == 1


def test_one_column_repeats_the_policies_in_every_panel(main: pd.DataFrame) -> None:
    figure = measured_against_predicted(main, n_columns=1)
    assert all(axes.get_yticklabels()[0].get_text() == "labels" for axes in figure.axes)
    assert figure.get_figheight() > figure.get_figwidth()


def test_sizes_are_ordered_and_marked_with_the_unbiased_block(sizes: pd.DataFrame) -> None:
    tone = score_by_size(
        sizes.sample(frac=1, random_state=0).sort_values("factor", key=lambda c: c != "skin_tone")
    ).axes[0]
    assert [label.get_text() for label in tone.get_xticklabels()] == ["3", "4", "16", "64"]
    assert {float(line.get_xdata()[0]) for line in tone.lines if line.get_marker() == "^"} == {3.0, 4.0}
    assert {text for text in texts(tone) if "0." in text} == {"faithful 0.82", "omit 0.44"}


def test_silence_is_shaded_only_where_a_policy_leaves_the_factor_out(sizes: pd.DataFrame) -> None:
    tone, *others = score_by_size(sizes).axes
    assert "theory is silent on omit" in texts(tone)
    assert (3.0, 0.0) in diamonds(tone)
    assert not any("silent" in text for axes in others for text in texts(axes))


def test_missing_and_negative_scores_are_drawn_as_such(main: pd.DataFrame) -> None:
    main.loc[main["policy"] == "omit", ["value", "low", "high"]] = nan
    main.loc[main["policy"] == "labels", ["value", "low", "high"]] = (-0.4, -0.5, nan)
    tone = measured_against_predicted(main).axes[0]
    assert "not measured" in texts(tone)
    assert "−0.40" in texts(tone)
    assert tone.get_xlim()[0] < -0.5


def test_a_sweep_without_any_value_leaves_its_line_out(sizes: pd.DataFrame) -> None:
    sizes.loc[sizes["policy"] == "omit", ["value", "low", "high"]] = nan
    tone = score_by_size(sizes).axes[0]
    assert texts(tone) == ["faithful 0.82"]


@pytest.mark.parametrize("n_columns", [1, 2, 3, 4, 9])
def test_any_number_of_columns_shows_every_factor(main: pd.DataFrame, sizes: pd.DataFrame, n_columns: int) -> None:
    assert len(measured_against_predicted(main, n_columns=n_columns).axes) == 4
    assert len(score_by_size(sizes, n_columns=n_columns).axes) == 4


def test_labels_at_line_ends_stand_clear_of_each_other() -> None:
    placed = np.array(_spread([0.6, 0.61, 0.2, 0.6]))
    assert np.diff(np.sort(placed)).min() >= 0.13 - 1e-9
    assert _spread([0.1, 0.9]) == pytest.approx([0.1, 0.9])


def test_svg_is_the_same_every_time_and_carries_no_date(main: pd.DataFrame) -> None:
    first, second = (svg(measured_against_predicted(main)) for _ in range(2))
    assert first == second
    assert svg(figure := measured_against_predicted(main)) == svg(figure)
    assert "<dc:date>" not in first
    assert ">skin tone</text>" in first


def test_drawing_leaves_the_settings_of_matplotlib_alone(main: pd.DataFrame, sizes: pd.DataFrame) -> None:
    before = dict(mpl.rcParams)
    svg(measured_against_predicted(main))
    svg(score_by_size(sizes))
    assert dict(mpl.rcParams) == before


def test_dollar_signs_in_names_are_no_mathematics(main: pd.DataFrame) -> None:
    main["factor"] = r"$\broken{$"
    main["policy"] = [f"$\\x{{{row}$" for row in range(len(main))]
    assert r"$\broken{$" in svg(measured_against_predicted(main))


def test_a_policy_keeps_its_look_in_every_figure() -> None:
    assert looks(["omit", "faithful"])["omit"] == looks(["labels", "omit"])["omit"]
    assert len(set(looks(list("abcdefgh")).values())) >= 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "predicted"}, "missing: predicted"),
        ({"empty": True}, "at least one row; got none"),
        ({"twice": True}, "one row for each policy and factor; got several"),
    ],
)
def test_unusable_tables_are_refused(main: pd.DataFrame, change: dict[str, Any], message: str) -> None:
    broken = main.drop(columns=change["drop"]) if "drop" in change else main
    broken = broken.iloc[:0] if "empty" in change else pd.concat([broken, broken]) if "twice" in change else broken
    with pytest.raises(ConfigError, match=message):
        measured_against_predicted(broken)


def test_no_columns_are_refused(sizes: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"n_columns must be >= 1; got 0"):
        score_by_size(sizes, n_columns=0)
