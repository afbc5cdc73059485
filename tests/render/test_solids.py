"""Images like those of Shapes3D and MPI3D: what must be true of every one of them."""

from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest

from vergence.errors import FactorError
from vergence.random import generator
from vergence.render import render_mpi3d_like, render_scenes, render_shapes3d_like
from vergence.scenes import SCENES

SETS = "shapes3d-like", "mpi3d-like", "mpi3d-real-like"
COLOUR = {"shapes3d-like": "object_hue", "mpi3d-like": "color", "mpi3d-real-like": "color"}


def grid(name, **values):
    """All combinations of some values of some factors, the others in their middle."""
    space = SCENES[name].space
    columns = {factor: values.get(factor, [space[factor].values[len(space[factor].values) // 2]]) for factor in space}
    return pd.DataFrame(list(product(*columns.values())), columns=list(columns))


def masks(name, labels, side):
    """Which pixels show the thing itself: those that another colour of it changes."""
    factor = COLOUR[name]
    first, second = SCENES[name].space[factor].values[:2]
    both = [render_scenes(name, labels.assign(**{factor: colour}), side=side).astype(int) for colour in (first, second)]
    return np.abs(both[0] - both[1]).max(-1) > 0


def extremes(name):
    """The labels where the thing is largest and nearest to the edges, in all shapes and from all sides."""
    space = SCENES[name].space
    if name == "shapes3d-like":
        return grid(name, scale=["7"], shape=space["shape"].values, orientation=space["orientation"].values)
    ends = ["0", "20", "39"]
    return grid(
        name, shape=space["shape"].values, size=["large"], camera=space["camera"].values, horizontal=ends, vertical=ends
    )


@pytest.mark.parametrize("name", SETS)
def test_the_thing_is_whole_in_frame_wherever_it_is(name):
    shown = masks(name, extremes(name), 32)
    assert shown.any((1, 2)).all()
    assert not shown[:, [0, -1]].any(), "above or below"
    assert not shown[:, :, [0, -1]].any(), "left or right"


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("side", [32, 64])
def test_every_step_of_every_factor_changes_pixels(name, side):
    space = SCENES[name].space
    for factor in space:
        images = render_scenes(name, grid(name, **{factor: space[factor].values}), side=side).astype(int)
        for one, next_one in pairwise(images):
            assert (np.abs(one - next_one).max(-1) > 8).sum() >= 3, factor


@pytest.mark.parametrize("name", SETS)
def test_colours_of_things_are_told_apart_in_every_light(name):
    factor = COLOUR[name]
    labels = SCENES[name].draw(400, generator=generator(0))
    shown = masks(name, labels, 32)
    images = render_scenes(name, labels, side=32)
    means = pd.DataFrame([image[mask].mean(0) for image, mask in zip(images, shown, strict=True)])
    centroids = means[:200].groupby(labels[factor][:200]).mean()
    nearest = np.linalg.norm(means[200:].to_numpy()[:, None] - centroids.to_numpy(), axis=-1).argmin(1)
    assert (centroids.index[nearest] == labels[factor][200:]).mean() >= 0.99


@pytest.mark.parametrize("name", ["mpi3d-like", "mpi3d-real-like"])
def test_large_things_show_more_than_small_ones_at_every_place_and_from_every_height(name):
    space = SCENES[name].space
    sizes = space["size"].values
    places = {axis: ["0", "20", "39"] for axis in ("horizontal", "vertical")}
    shown = [
        masks(name, grid(name, size=[size], camera=space["camera"].values, shape=space["shape"].values, **places), 32)
        for size in sizes
    ]
    small, large = (one.sum((1, 2)) for one in shown)
    assert (large > 1.6 * small).all()
    assert small.min() >= 8  # pixels


def test_a_larger_scale_shows_more():
    areas = masks("shapes3d-like", grid("shapes3d-like", scale=list(map(str, range(8)))), 32).sum((1, 2))
    assert (np.diff(areas) > 0).all()


@pytest.mark.parametrize("name", SETS)
def test_an_image_depends_on_its_row_alone(name):
    labels = SCENES[name].draw(24, generator=generator(1))
    together = render_scenes(name, labels, side=32)
    shuffled = labels.sample(frac=1, random_state=0)
    assert np.array_equal(render_scenes(name, shuffled, side=32), together[shuffled.index])
    assert np.array_equal(render_scenes(name, labels.iloc[[7]], side=32), together[[7]])


def test_nothing_to_show_is_no_image():
    assert render_mpi3d_like(grid("mpi3d-like")[:0], side=16).shape == (0, 16, 16, 3)
    assert render_shapes3d_like(grid("shapes3d-like")[:0], side=16).shape == (0, 16, 16, 3)


def test_what_is_on_neither_grid_is_refused():
    labels = grid("mpi3d-like")
    with pytest.raises(FactorError, match=r"unknown value of factor 'color' 'blue'; known: yellow, green, olive, red"):
        render_mpi3d_like(labels.assign(color="blue"))
    with pytest.raises(FactorError, match=r"unknown value of factor 'shape' 'tennisball'.*Did you mean 'tennis-ball'"):
        render_mpi3d_like(labels.assign(shape="tennisball"))
    with pytest.raises(FactorError, match=r"labels lack factor 'scale'"):
        render_shapes3d_like(grid("shapes3d-like").drop(columns="scale"))
