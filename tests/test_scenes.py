"""Labels of the controlled image sets: the published grids and the published causal graph."""

import pytest
import torch

from vergence.errors import ConfigError
from vergence.random import generator
from vergence.scenes import SCENES, scenes


@pytest.mark.parametrize(
    ("name", "size"),
    [("dsprites", 737_280), ("shapes3d-like", 480_000), ("mpi3d-like", 460_800), ("mpi3d-real-like", 1_036_800)],
)
def test_a_grid_has_as_many_images_as_published(name, size):
    assert scenes(name).size == size


@pytest.mark.parametrize("name", SCENES)
def test_fewer_rows_are_the_first_of_more(name):
    few, many = (scenes(name).draw(n, generator=generator(3)) for n in (70, 1500))
    assert few.equals(many.iloc[:70])


def test_no_image_of_a_grid_comes_twice_and_all_are_there():
    grid = scenes("shapes3d-like").coarse(
        {"floor_hue": 2, "wall_hue": 2, "object_hue": 2, "scale": 2, "orientation": 3}
    )
    labels = grid.draw(192, generator=generator(0))
    assert grid.size == 192 == len(labels.drop_duplicates())
    with pytest.raises(ConfigError, match=r"n must be <= 192, the images of shapes3d-like; got 193"):
        grid.draw(193, generator=generator(0))


def test_rows_count_as_the_files_do_the_last_factor_fastest():
    first = scenes("dsprites").rows(torch.tensor([0, 1, 32, 1024]))
    assert first["y"].tolist() == ["0", "1", "0", "0"]
    assert first["x"].tolist() == ["0", "0", "1", "0"]
    assert first["orientation"].tolist() == ["0", "0", "0", "1"]


def test_hues_follow_from_their_causes_and_nothing_else():
    labels = scenes("causal3dident").draw(20_000, generator=generator(1))
    noise = {
        "spot_hue": 2 * labels["spot_hue"] - labels["spot_position"],
        "background_hue": 3 * labels["background_hue"] - labels["spot_position"] - labels["spot_hue"],
        "object_hue": 3 * labels["object_hue"]
        - labels["x"].map({"left": 0, "middle": 1, "right": 2}) / 2
        - labels["y"].map({"front": 0, "middle": 1, "back": 2}) / 2,
    }
    for name, u in noise.items():
        assert -1e-5 <= u.min() < 0.01, name
        assert 0.99 < u.max() <= 1 + 1e-5, name
        assert abs(u.mean() - 0.5) < 0.01, name
        assert abs(u.corr(labels["rotation_alpha"])) < 0.03, name


@pytest.mark.parametrize("n", [1, 33])
def test_a_coarse_grid_refuses_what_its_factor_has_not(n):
    with pytest.raises(ConfigError, match=rf"values of 'x' must be in \[2, 32\]; got {n}"):
        scenes("dsprites").coarse({"x": n})


def test_an_unknown_set_is_named_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"unknown image set 'dsprite'; known: dsprites, .*Did you mean 'dsprites'"):
        scenes("dsprite")
