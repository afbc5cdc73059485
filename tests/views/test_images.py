"""Changes of an image that leave its semantics alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError
from vergence.random import generator
from vergence.views import random_shift


def slow_shift(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Each pixel from the place it was moved from, or from the nearest edge."""
    moved = images.clone()
    height, width = images.shape[-2:]
    for y in range(height):
        for x in range(width):
            moved[..., y, x] = images[..., min(max(y - down, 0), height - 1), min(max(x - right, 0), width - 1)]
    return moved


@given(
    seed=st.integers(0, 2**32),
    pixels=st.integers(0, 3),
    height=st.integers(4, 7),
    width=st.integers(4, 7),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.int64]),
)
def test_the_whole_batch_moves_by_one_offset_and_edges_fill_the_gap(seed, pixels, height, width, dtype) -> None:
    images = torch.randint(256, (3, 2, height, width), generator=generator(seed)).to(dtype)
    moved = random_shift(images, pixels=pixels, generator=generator(seed))
    assert moved.dtype == dtype
    offsets = range(-pixels, pixels + 1)
    assert any(torch.equal(moved, slow_shift(images, down, right)) for down in offsets for right in offsets)


def test_every_offset_occurs_and_zero_pixels_is_the_identity() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8)
    stream = generator(0)
    centres = {random_shift(images, pixels=1, generator=stream)[0, 0, 4, 4].item() for _ in range(200)}
    assert centres == {36.0 - 8 * down - right for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert torch.equal(random_shift(images, pixels=0, generator=stream), images)


def test_the_offset_comes_from_the_generator_alone() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8)
    before = torch.random.get_rng_state()
    one, other = (random_shift(images, pixels=3, generator=generator(5)) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_negative_reach_is_refused() -> None:
    with pytest.raises(ConfigError, match="pixels must be >= 0; got -1"):
        random_shift(torch.zeros(1, 3, 8, 8), pixels=-1, generator=generator(0))
