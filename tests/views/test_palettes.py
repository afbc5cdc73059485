"""Names of hues: as a comparison with every colour gives them, over the whole circle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import hsv_to_rgb

from vergence.errors import ConfigError
from vergence.views.palettes import PALETTES, color_arcs, palette_colors


def distances(palette: str, hues: np.ndarray) -> np.ndarray:
    """Squared RGB distances of fully saturated hues (rows) to all colours of a palette, in float64."""
    pure = hsv_to_rgb(np.stack([hues, np.ones_like(hues), np.ones_like(hues)], axis=1))
    return ((pure[:, None] - np.array(list(palette_colors(palette).values()))) ** 2).sum(axis=2)


def assert_nearest(palette: str, hues: np.ndarray) -> None:
    """Require the name of each hue to be of a colour than which none is nearer, up to rounding."""
    near, names = distances(palette, hues), list(palette_colors(palette))
    named = [names.index(name) for name in color_arcs(palette).name(hues)]
    assert np.all(near[np.arange(len(hues)), named] <= near.min(axis=1) + 1e-12)


@pytest.mark.parametrize(("palette", "n"), [("tableau", 10), ("css4", 148), ("xkcd", 949)])
def test_palettes_have_the_published_numbers_of_colors(palette, n):
    assert len(palette_colors(palette)) == n
    assert not any(":" in name for name in palette_colors(palette))


@pytest.mark.parametrize("palette", PALETTES)
def test_the_name_of_a_hue_is_that_of_the_nearest_color(palette):
    hues = np.random.default_rng(0).random(4000)
    names = np.array(list(palette_colors(palette)), dtype=object)
    assert color_arcs(palette).name(hues).tolist() == names[distances(palette, hues).argmin(axis=1)].tolist()


@pytest.mark.parametrize("palette", PALETTES)
@given(hue=st.floats(0, 1, exclude_max=True, allow_subnormal=False))
def test_no_color_is_nearer_than_the_named_one_at_any_hue(palette, hue):
    assert_nearest(palette, np.array([hue]))


@pytest.mark.parametrize("palette", PALETTES)
def test_no_color_is_nearer_than_the_named_one_where_arcs_end(palette):
    assert_nearest(palette, color_arcs(palette).ends[:-1])
    assert_nearest(palette, np.nextafter(color_arcs(palette).ends[:-1], 0))


@pytest.mark.parametrize("palette", PALETTES)
def test_arcs_cover_the_circle_once_and_whole_turns_do_not_matter(palette):
    arcs = color_arcs(palette)
    assert np.all(np.diff(arcs.ends) > 0)
    assert arcs.ends[-1] == 1
    assert all(one != other for one, other in zip(arcs.names[:-1], arcs.names[1:], strict=True))
    hues = np.random.default_rng(1).random(100)
    assert arcs.name(hues - 2).tolist() == arcs.name(hues).tolist()


def test_an_unknown_palette_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown palette 'css'; known: tableau, css4, xkcd"):
        color_arcs("css")
