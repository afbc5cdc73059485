"""Several measures at once, and their figure."""

import pytest
import torch

from vergence.errors import ConfigError, ShapeError
from vergence.metrics.report import ALIGNMENT, GAP, alignment_table
from vergence.plots import alignment_against_chance
from vergence.random import generator


def test_every_measure_comes_with_its_null_and_its_panel() -> None:
    g = generator(0)
    x = torch.randn(60, 4, generator=g)
    table = alignment_table(x, x + 0.1 * torch.randn(60, 4, generator=g), generator=g, n_shuffles=19)
    assert list(table["metric"]) == [*ALIGNMENT, *GAP]
    assert (table.loc[table["metric"].isin(list(ALIGNMENT)), "p_value"] <= 0.1 + 1e-9).all()
    titles = [axes.get_title("left") for axes in alignment_against_chance(table).axes]
    assert len(titles) == len(table)
    for title, metric in zip(titles, table["metric"], strict=True):
        assert title.endswith(f" ({metric})")


def test_measures_that_need_one_space_are_left_out_of_two() -> None:
    g = generator(0)
    x, y = torch.randn(40, 4, generator=g), torch.randn(40, 3, generator=g)
    assert "centroid_distance" not in set(alignment_table(x, y, generator=g, n_shuffles=2)["metric"])
    with pytest.raises(ShapeError, match="relative_gap needs both sides in one space; got widths 4 and 3"):
        alignment_table(x, y, generator=g, metrics=["relative_gap"])


def test_an_empty_table_has_no_figure() -> None:
    g = generator(0)
    x = torch.randn(40, 4, generator=g)
    empty = alignment_table(x, x, generator=g, metrics=[])
    with pytest.raises(ConfigError, match="missing: rows"):
        alignment_against_chance(empty)
    with pytest.raises(ConfigError, match="missing: null_std"):
        alignment_against_chance(empty.drop(columns="null_std"))
