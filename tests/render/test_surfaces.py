"""Meshes as arrays: one size, one pose, few triangles, smooth normals, the same numbers everywhere."""

from hashlib import sha256

import numpy as np
import pytest
from tests.render.solids import ball

from vergence.render.surfaces import Surface, corner_normals, fans, fitted, thinned

AS_IT_IS = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def edges(triangles):
    """Directed edges, one row each."""
    return np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)])


def volume(surface):
    a, b, c = (surface.corners[surface.triangles[:, i]] for i in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


def test_faces_of_any_size_become_fans():
    assert fans(np.array([1, 2, 3, 5]), np.arange(11)).tolist() == [[3, 4, 5], [6, 7, 8], [6, 8, 9], [6, 9, 10]]


def test_a_mesh_is_turned_centred_and_scaled_by_the_corners_that_it_uses():
    corners = np.array([[0.0, 0, 0], [4, 0, 0], [0, 2, 0], [0, 0, 6], [100, 100, 100]])
    surface = Surface(corners, np.array([[0, 1, 2], [0, 1, 3]]))
    upright = fitted(surface, ((1, 0, 0), (0, 0, -1), (0, 1, 0)))
    radius = np.sqrt(4 + 1 + 9)
    assert np.allclose(upright.corners[:4] * radius, [[-2, 3, -1], [2, 3, -1], [-2, 3, 1], [-2, -3, -1]])


def test_a_mesh_of_one_point_cannot_be_scaled():
    with pytest.raises(ValueError, match="all corners are one point"):
        fitted(Surface(np.ones((3, 3)), np.array([[0, 1, 2]])), AS_IT_IS)


@pytest.mark.parametrize("most", [200, 1000, 4000])
def test_a_thinned_ball_is_still_a_closed_ball_turned_outwards(most):
    thin = thinned(ball(60), most)
    assert most / 2 < len(thin.triangles) <= most
    there, back = (set(map(tuple, e.tolist())) for e in (edges(thin.triangles), edges(thin.triangles)[:, ::-1]))
    assert there == back
    assert volume(thin) == pytest.approx(4 / 3 * np.pi, rel=30 / most)
    assert sorted(np.unique(thin.triangles)) == list(range(len(thin.corners)))
    assert ((corner_normals(thin) * thin.corners).sum(1) > 0.9).all()


def test_a_mesh_of_few_triangles_keeps_them():
    sparse = ball(6)
    thin = thinned(sparse, 4000)
    assert len(thin.triangles) == len(sparse.triangles)
    assert volume(thin) == pytest.approx(volume(sparse), abs=1e-6)


def test_thinning_gives_these_very_bytes():
    thin = thinned(ball(40), 500)
    bytes_of = b"".join(array.astype("<f8").tobytes() for array in (thin.corners, corner_normals(thin), thin.triangles))
    assert sha256(bytes_of).hexdigest() == "68468440ad2e311456ca79b26b54f14c2746fb6401dcffb64577e88120942408"


def test_normals_where_faces_cancel_point_up():
    flat = Surface(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 1]]))
    assert corner_normals(flat).tolist() == [[0, 0, 1]] * 3
