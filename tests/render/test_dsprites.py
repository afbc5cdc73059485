"""DSprites, drawn: the facts of the published grid."""

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.errors import ConfigError, FactorError
from vergence.render import draw_dsprites, render_scenes
from vergence.scenes import SCENES

SPACE = SCENES["dsprites"].space
SHAPES = SPACE["shape"].values


def drawn(side=64, **varied):
    """The white share of each pixel of some sprites, in the middle unless told otherwise."""
    n = max((len(values) for values in varied.values()), default=1)
    row = {"shape": "square", "scale": "1.0", "orientation": "0", "x": "15", "y": "15"}
    table = pd.DataFrame({name: varied.get(name, [value] * n) for name, value in row.items()})
    return draw_dsprites(table, side=side)[..., 0] / 255


def centroids(images):
    """Across and down, in pixels."""
    points = np.arange(images.shape[1]) + 0.5
    area = images.sum((1, 2))
    return np.stack([images.sum(1) @ points / area, images.sum(2) @ points / area], 1)


def test_at_the_published_size_images_are_binary_and_white_on_black():
    images = draw_dsprites(SCENES["dsprites"].draw(500, generator=torch.Generator().manual_seed(0)))
    assert images.shape == (500, 64, 64, 3)
    assert set(np.unique(images)) == {0, 255}
    assert images[:, 0].max() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_area_grows_with_the_square_of_scale(shape):
    scales = SPACE["scale"].values
    areas = drawn(256, shape=[shape] * 6, scale=scales).sum((1, 2))
    np.testing.assert_allclose(areas / areas[-1], np.array(scales, dtype=float) ** 2, rtol=0.04)


@pytest.mark.parametrize(("shape", "turns"), [("square", 4), ("ellipse", 2), ("heart", 1)])
def test_forty_orientations_go_round_once_and_repeat_by_the_symmetry_of_the_shape(shape, turns):
    images = drawn(128, shape=[shape] * 40, orientation=list(map(str, range(40))))
    first = np.abs(images - images[0]).mean((1, 2))
    alike = set(np.flatnonzero(first < 2e-3).tolist())
    assert alike == {step * 40 // turns for step in range(turns)}
    np.testing.assert_allclose(first[1:], first[:0:-1], atol=5e-3)  # step -1 is as far from upright as step 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", ["x", "y"])
def test_position_moves_the_centroid_by_a_pixel_a_step_and_orientation_does_not(shape, axis):
    moved = centroids(drawn(shape=[shape] * 32, **{axis: list(map(str, range(32)))}))[:, "xy".index(axis)]
    np.testing.assert_allclose(np.diff(moved), 1, atol=1e-9)
    turned = centroids(drawn(512, shape=[shape] * 40, orientation=list(map(str, range(40)))))
    assert np.ptp(turned, axis=0).max() < 0.25  # of 512 pixels


@pytest.mark.parametrize("side", [32, 64])
def test_the_largest_shape_is_in_frame_in_every_corner_and_orientation(side):
    ends, turns = ["0", "31"], list(map(str, range(40)))
    grid = pd.MultiIndex.from_product([SHAPES, ["1.0"], turns, ends, ends], names=list(SPACE)).to_frame(index=False)
    images = draw_dsprites(grid, side=side)[..., 0] / 255
    areas = images.sum((1, 2)).reshape(-1, 4)
    assert np.ptp(areas, axis=1).max() < 0.1  # nothing is cut off in any corner


def test_fewer_pixels_are_the_mean_of_the_points_in_them():
    few, many = drawn(16, shape=SHAPES), drawn(64, shape=SHAPES)
    np.testing.assert_allclose(few, many.reshape(3, 16, 4, 16, 4).mean((2, 4)), atol=0.01)


def test_an_image_depends_on_its_row_alone():
    labels = SCENES["dsprites"].draw(64, generator=torch.Generator().manual_seed(1))
    together = render_scenes("dsprites", labels, side=32)
    alone = np.concatenate([draw_dsprites(labels.iloc[[row]], side=32) for row in range(64)])
    assert np.array_equal(together, alone)


def test_what_cannot_be_drawn_is_refused_in_a_line():
    labels = pd.DataFrame({"shape": ["square"], "scale": ["1.0"], "orientation": ["40"], "x": ["0"], "y": ["0"]})
    with pytest.raises(FactorError, match=r"row 0: unknown value of factor 'orientation' '40'; known: 0, 1, "):
        draw_dsprites(labels)
    with pytest.raises(FactorError, match=r"labels lack factor 'scale'; they have: shape, orientation, x, y"):
        draw_dsprites(labels.drop(columns="scale"))
    with pytest.raises(ConfigError, match=r"side must be >= 8 \(pixels of a side\); got 4"):
        draw_dsprites(labels.assign(orientation="0"), side=4)
    with pytest.raises(ConfigError, match=r"unknown image set 'dsprite'; known: dsprites"):
        render_scenes("dsprite", labels, side=64)
