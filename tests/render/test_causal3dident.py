"""Causal3DIdent, rendered: each factor changes what it should, and an image depends on its row alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from tests.reference.rays import slow_causal3dident
from tests.render.solids import ball, box

from vergence.errors import ConfigError, FactorError
from vergence.render.causal3dident import ORBIT_HEIGHT, RADIUS, render_causal3dident
from vergence.render.meshes import Meshes, made
from vergence.scenes import SCENES

SPACE = SCENES["causal3dident"].space
SHAPES, XS, YS = (SPACE[name].values for name in ("shape", "x", "y"))
AS_IT_IS = (1, 0, 0), (0, 1, 0), (0, 0, 1)
SOLIDS = Meshes(
    {
        "teapot": made(ball(30), turn=AS_IT_IS),
        "hare": made(box(1, 1, 3), turn=AS_IT_IS),
        "dragon": made(box(3, 1, 1), turn=AS_IT_IS),
        "cow": made(box(1, 3, 1), turn=AS_IT_IS),
        "armadillo": made(ball(8), turn=AS_IT_IS),
        "horse": made(box(1, 1, 1), turn=AS_IT_IS),
        "head": made(box(2, 1, 3), turn=AS_IT_IS),
    }
)
ROW = {
    "shape": "hare",
    "x": "middle",
    "y": "middle",
    "spot_position": 0.5,
    "object_hue": 1 / 3,
    "spot_hue": 0.5,
    "background_hue": 0.5,
    "rotation_alpha": 0.5,
    "rotation_beta": 0.5,
    "rotation_gamma": 0.5,
}


def rendered(*rows, side=64, **everywhere):
    """Images of rows that differ from `ROW` as told, as whole numbers with a sign."""
    table = pd.DataFrame([{**ROW, **everywhere, **row} for row in rows or [{}]])
    return render_causal3dident(table, side=side, meshes=SOLIDS).astype(int)


def own_pixels(side=64, **row):
    """Where the object is: what changes with its hue."""
    first, second = rendered({"object_hue": 0.0}, {"object_hue": 0.5}, side=side, **row)
    return (first != second).any(-1)


def drawn(n, seed=0):
    return SCENES["causal3dident"].draw(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(4))
def test_images_are_those_of_a_slow_ray_caster(seed):
    row = drawn(1, seed).assign(shape=["armadillo", "hare", "head", "cow"][seed]).iloc[0]
    fast = render_causal3dident(pd.DataFrame([row]), side=16, meshes=SOLIDS)[0].astype(float)
    slow = slow_causal3dident(SOLIDS[row["shape"]], row, 16, 3)
    assert np.abs(fast - slow).max(-1).mean() < 0.5  # rounding, and a ray or two along an edge
    assert (np.abs(fast - slow).max(-1) < 1).mean() > 0.98


def test_the_object_is_in_frame_at_all_places_even_if_it_fills_its_sphere():
    for x in XS:
        for y in YS:
            seen = own_pixels(shape="teapot", x=x, y=y)
            assert seen.any()
            assert not np.concatenate([seen[[0, -1]].ravel(), seen[:, [0, -1]].ravel()]).any(), (x, y)


def test_places_are_where_their_names_say():
    down, across = np.mgrid[:64, :64]
    for axis, name, values in ((across, "x", XS), (-down, "y", YS)):
        middles = [axis[own_pixels(shape="teapot", **{name: value})].mean() for value in values]
        assert np.diff(middles).min() > 6


def test_the_object_stands_on_the_floor_however_it_is_turned():
    lowest = [np.nonzero(own_pixels(rotation_beta=turn).any(1))[0].max() for turn in (0.0, 0.25, 0.5)]
    assert max(lowest) - min(lowest) < 16
    upright, flat = own_pixels(shape="hare"), own_pixels(shape="hare", rotation_beta=1.0)
    assert np.ptp(np.nonzero(upright)[0]) > 1.4 * np.ptp(np.nonzero(upright)[1])
    assert np.ptp(np.nonzero(flat)[1]) > 1.4 * np.ptp(np.nonzero(flat)[0])


def test_turns_are_about_axes_that_stay_first_x_then_y_then_z():
    # A quarter about x lays the pillar along y, which a quarter about y leaves alone and one about z lays along x.
    lying = own_pixels(shape="hare", rotation_alpha=1.0, rotation_beta=1.0, rotation_gamma=1.0)
    assert np.array_equal(lying, own_pixels(shape="dragon"))
    # The other order would have stood it up again: about z it stays, about y it lies along x, about x it stays so.
    assert np.array_equal(own_pixels(shape="hare", rotation_alpha=1.0), own_pixels(shape="cow"))
    assert np.array_equal(own_pixels(shape="hare", rotation_beta=1.0), own_pixels(shape="dragon"))
    assert np.array_equal(own_pixels(shape="dragon", rotation_gamma=1.0), own_pixels(shape="cow"))


def test_the_shadow_falls_away_from_the_light():
    """The floor's pixels that a thin object darkens lie opposite to the spotlight."""
    across = np.mgrid[:64, :64][1]
    for position, side in ((0.0, 1), (1.0, -1)):
        here, there = rendered(
            {"y": "middle"},
            {"y": "back", "x": ("left", "right")[position < 0.5]},
            side=64,
            shape="hare",
            spot_position=position,
        )
        shadow = (here.sum(-1) < there.sum(-1) - 40) & ~own_pixels(shape="hare", spot_position=position)
        assert shadow.sum() > 20
        middle = across[own_pixels(shape="hare", spot_position=position)].mean()
        assert side * (across[shadow] - middle).mean() > 3


def test_the_pool_of_light_goes_from_left_to_right():
    across = np.mgrid[:64, :64][1]
    middles = []
    for image in rendered(*({"spot_position": p} for p in np.linspace(0, 1, 9)), x="left", y="back", shape="dragon"):
        bright = image.sum(-1) > 280
        middles.append(across[bright].mean())
    assert np.diff(middles).min() > 0
    assert middles[-1] - middles[0] > 8


@pytest.mark.parametrize(("factor", "first", "second"), [("spot_hue", 0.1, 0.9), ("background_hue", 0.1, 0.9)])
def test_another_hue_of_light_or_floor_leaves_outlines(factor, first, second):
    bright = [rendered({factor: hue}, object_hue=hue / 2) for hue in (first, second)]
    assert (bright[0] != bright[1]).any()
    masks = [own_pixels(**{factor: hue}) for hue in (first, second)]
    assert np.array_equal(*masks)


def test_the_hue_of_the_object_changes_the_object_alone_and_there_hue_alone():
    images = rendered(*({"object_hue": hue} for hue in (0.0, 1 / 3, 2 / 3)), spot_position=0.3, shape="teapot")
    changed = (images[0] != images[1]).any(-1)
    assert 0.05 < changed.mean() < 0.3
    lit = images[:, changed]
    assert [int(image.sum(0).argmax()) for image in lit] == [0, 1, 2]


def test_the_ends_of_the_circle_of_hues_are_one_for_the_object_and_apart_for_light_and_floor():
    for factor, same in (("object_hue", True), ("spot_hue", False), ("background_hue", False)):
        first, last = rendered({factor: 0.0}, {factor: 1.0})
        assert np.array_equal(first, last) == same, factor


def test_white_light_of_strength_one_would_show_the_colour_of_the_cone():
    floor = rendered({"background_hue": 0.5})[0][0, 0]  # a corner, outside the spotlight
    expected = 255 * np.array([0.75, 0.375, 0.375]) * np.sqrt(0.44)
    assert np.abs(floor - expected).max() <= 1


def test_an_image_depends_on_its_row_alone():
    labels = drawn(40)
    together = render_causal3dident(labels, side=32, meshes=SOLIDS)
    shuffled = labels.sample(frac=1, random_state=0)
    assert np.array_equal(render_causal3dident(shuffled, side=32, meshes=SOLIDS), together[shuffled.index])
    with ThreadPoolExecutor(2) as pool:
        alone = pool.map(lambda i: render_causal3dident(labels.iloc[[i]], side=32, meshes=SOLIDS)[0], range(40))
        assert np.array_equal(np.stack(list(alone)), together)


def test_a_smaller_image_is_the_larger_one_shrunk():
    labels = drawn(20)
    large = render_causal3dident(labels, side=128, meshes=SOLIDS).astype(float) ** 2
    shrunk = np.sqrt(large.reshape(20, 32, 4, 32, 4, 3).mean((2, 4)))
    assert np.abs(shrunk - render_causal3dident(labels, side=32, meshes=SOLIDS)).mean() < 1.5


def test_a_mesh_whose_triangles_run_the_other_way_looks_the_same():
    solid = SOLIDS["dragon"]
    turned = solid._replace(triangles=solid.triangles[:, ::-1].copy(), normals=-solid.normals)
    table = pd.DataFrame([{**ROW, "shape": "dragon", "rotation_alpha": 0.3}])
    images = [render_causal3dident(table, meshes=Meshes({"dragon": mesh})) for mesh in (solid, turned)]
    assert np.array_equal(*images)


def test_no_object_reaches_up_to_the_spotlight():
    assert 2 * RADIUS < ORBIT_HEIGHT


def test_no_rows_are_no_images_and_need_no_mesh():
    assert render_causal3dident(drawn(1).iloc[:0], side=16, meshes=Meshes({})).shape == (0, 16, 16, 3)


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"shape": "goat"}, FactorError, "row 0: unknown value of factor 'shape' 'goat'"),
        ({"x": "up"}, FactorError, "unknown value of factor 'x' 'up'"),
        ({"spot_hue": 1.5}, FactorError, r"row 0: factor 'spot_hue' must be a number in \[0, 1\]; got .*1.5"),
        ({"object_hue": float("nan")}, FactorError, "row 0: factor 'object_hue' must be a number"),
        ({"rotation_beta": "east"}, FactorError, "row 0: factor 'rotation_beta' must be a number"),
    ],
)
def test_labels_that_cannot_be_are_refused_by_row(changes, error, complaint):
    with pytest.raises(error, match=complaint):
        rendered(changes)


def test_a_missing_factor_a_missing_mesh_and_an_odd_side_are_refused():
    with pytest.raises(FactorError, match="labels lack factor 'spot_hue'"):
        render_causal3dident(drawn(1).drop(columns="spot_hue"), meshes=SOLIDS)
    with pytest.raises(ConfigError, match="unknown shape 'hare'; known: cow"):
        render_causal3dident(pd.DataFrame([ROW]), meshes=Meshes({"cow": SOLIDS["cow"]}))
    with pytest.raises(ConfigError, match="side must be >= 8"):
        render_causal3dident(drawn(1), side=4, meshes=SOLIDS)
