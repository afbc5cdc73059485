"""The convolutional image encoder and the pair of encoders."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder
from vergence.errors import ConfigError
from vergence.random import generator


def images(n: int, side: int = 16, *, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (n, 3, side, side), generator=generator(seed)).to(torch.uint8)


def small(dim: int = 5) -> ConvEncoder:
    torch.manual_seed(0)
    return ConvEncoder(dim, widths=(4, 6), hidden=7)


@given(
    dim=st.integers(1, 9),
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    height=st.integers(2, 20),
    width=st.integers(2, 20),
    n=st.integers(1, 3),
)
@settings(max_examples=25)
def test_any_image_side_gives_dim_finite_floats(dim, widths, height, width, n) -> None:
    encoder = ConvEncoder(dim, widths=widths, hidden=3).eval()
    z = encoder(torch.randint(256, (n, 3, height, width), generator=generator(0)).to(torch.uint8))
    assert z.shape == (n, dim)
    assert z.dtype == torch.float32
    assert bool(z.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_pixels_mean_the_same_in_any_number_type(dtype: torch.dtype) -> None:
    encoder = small().eval()
    assert torch.equal(encoder(images(4)), encoder(images(4).to(dtype)))


def test_memory_layout_of_the_images_does_not_matter() -> None:
    encoder = small().eval()
    strided = images(4).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(strided), encoder(images(4)))


def test_agrees_with_its_description_step_by_step() -> None:
    encoder = small().eval()
    for norm in (stage[1] for stage in encoder.stages):
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    x = (images(4).float() - 127.5) / 63.75
    for convolution, norm, _ in encoder.stages:
        x = F.conv2d(x, convolution.weight, stride=2, padding=1)
        mean, variance = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        x = ((x - mean) / (variance + norm.eps).sqrt()).clamp(min=0)
    assert x.shape == (4, 6, 4, 4)
    pooled = torch.cat([x.flatten(2).mean(2), x.flatten(2).amax(2)], dim=1)
    expected = encoder.head[2](encoder.head[0](pooled).clamp(min=0))
    torch.testing.assert_close(encoder(images(4)), expected, rtol=1e-4, atol=1e-5)


def test_in_evaluation_an_image_is_encoded_whatever_its_neighbours() -> None:
    encoder = small().eval()
    alone = torch.cat([encoder(image[None]) for image in images(6)])
    torch.testing.assert_close(encoder(images(6)), alone, rtol=1e-5, atol=1e-6)


def test_the_gradient_reaches_every_parameter_of_both_encoders() -> None:
    torch.manual_seed(0)
    encoder = DualEncoder(small(), BagOfWordsEncoder(9, 5))
    z_image, z_text = encoder(images(8), torch.randint(1, 9, (8, 4), generator=generator(0)))
    (z_image * z_text).square().sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert bool((weight.grad != 0).any()), name


def test_the_encoders_do_not_see_each_others_input() -> None:
    encoder = DualEncoder(small(), BagOfWordsEncoder(9, 5)).eval()
    tokens = torch.tensor([[1, 2], [3, 4]])
    z_image, z_text = encoder(images(2), tokens)
    assert torch.equal(encoder(images(2, seed=1), tokens)[1], z_text)
    assert torch.equal(encoder(images(2), tokens + 1)[0], z_image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim must be >= 1; got 0"),
        ({"dim": 4, "hidden": 0}, "hidden must be >= 1; got 0"),
        ({"dim": 4, "widths": ()}, "widths must be >= 1; got 0"),
        ({"dim": 4, "widths": (8, 0)}, "widths must be >= 1; got 0"),
    ],
)
def test_sizes_are_checked(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConvEncoder(**settings)
