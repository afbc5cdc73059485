"""Entropy by nearest neighbours, and alignment with it."""

from math import e, log, pi

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import align_max_entropy, neighbour_entropy, standardize
from vergence.random import generator


@pytest.mark.parametrize("neighbours", [1, 3])
def test_knows_the_entropy_of_uniform_and_normal_samples(neighbours: int) -> None:
    uniform = 2 * torch.rand(4000, 2, generator=generator(0))
    assert neighbour_entropy(uniform, neighbours=neighbours).item() == pytest.approx(2 * log(2), abs=0.1)
    normal = torch.randn(4000, 2, generator=generator(0))
    assert neighbour_entropy(normal, neighbours=neighbours).item() == pytest.approx(log(2 * pi * e), abs=0.1)


def test_tells_corners_from_a_full_cube_where_a_covariance_would_not() -> None:
    cube = torch.rand(1000, 2, generator=generator(0))
    corners = (cube > 0.5).float() + 0.01 * torch.randn(1000, 2, generator=generator(1))
    assert torch.cov(corners.T).logdet() > torch.cov(cube.T).logdet()
    assert neighbour_entropy(corners) < neighbour_entropy(cube) - 3


def test_the_bound_keeps_scale_from_lowering_the_loss() -> None:
    z_image, z_text = pairs(32, 3, noise=0.1)
    torch.testing.assert_close(
        align_max_entropy(100 * z_image, 100 * z_text), align_max_entropy(z_image, z_text), rtol=1e-4, atol=1e-4
    )


def test_minimising_it_aligns_without_collapse() -> None:
    z = [part.requires_grad_() for part in pairs(64, 2, noise=0.5)]
    before = (standardize(z[0]) - standardize(z[1])).norm(dim=1).mean()
    optimizer = torch.optim.Adam(z, lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        align_max_entropy(*z).backward()
        optimizer.step()
    images, texts = map(standardize, z)
    assert (images - texts).norm(dim=1).mean() < before / 2
    assert neighbour_entropy(images) > log(2 * pi * e) - 0.1  # that of a normal distribution


def test_too_few_items_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ShapeError, match="batch must hold more items than neighbours = 3; got 3"):
        align_max_entropy(*pairs(3, 2))
    with pytest.raises(ConfigError, match="neighbours must be >= 1; got 0"):
        neighbour_entropy(pairs(3, 2)[0], neighbours=0)
