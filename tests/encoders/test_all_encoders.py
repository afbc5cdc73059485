"""What every encoder promises, whatever is inside: a new one enters by a line in `CASES`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

from vergence.encoders import (
    MLP,
    BagOfWordsEncoder,
    ConvEncoder,
    FrozenFeatures,
    GridConvEncoder,
    PixelMLP,
    PixelResidualMLP,
    ResidualMLP,
    ResNet,
    SentenceCNN,
    TextCNN,
    TextTransformer,
    ViT,
    load_weights,
    resnet18,
    resnet34,
    resnet_cifar,
    save_weights,
)
from vergence.errors import VergenceError
from vergence.random import generator

DIM, SIDE, WORDS = 5, 16, 11


def images(n: int, *, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, 3, SIDE, SIDE), generator=generator(seed)).to(torch.uint8)


def numbers(n: int, *, seed: int = 0) -> Tensor:
    return torch.randn(n, 7, generator=generator(seed))


def texts(n: int, *, seed: int = 0) -> Tensor:
    tokens = torch.randint(1, WORDS, (n, 6), generator=generator(seed))
    lengths = torch.randint(0, 7, (n, 1), generator=generator(seed + 1))
    return tokens * (torch.arange(6) < lengths)


@dataclass(frozen=True)
class Case:
    make: Callable[..., nn.Module]
    views: Callable[..., Tensor]


def frozen(dim: int) -> FrozenFeatures:
    return FrozenFeatures(ConvEncoder(6, widths=(4,)), MLP(6, dim, hidden=(8,), batch_norm=True))


CASES = {
    "mlp": Case(partial(MLP, 7), numbers),
    "factor mlp": Case(partial(MLP, 7, hidden=(16, 16, 8, 8, 16, 16), batch_norm=True), numbers),
    "residual mlp": Case(partial(ResidualMLP, 7), numbers),
    "pixel mlp": Case(partial(PixelMLP, side=SIDE, hidden=(8,)), images),
    "residual pixel mlp": Case(partial(PixelResidualMLP, side=SIDE, width=8), images),
    "convolution": Case(partial(ConvEncoder, widths=(4, 6), hidden=7), images),
    "convolution with places": Case(partial(GridConvEncoder, side=SIDE, widths=(4, 6), hidden=7), images),
    "resnet-18": Case(partial(resnet18, hidden=100), images),
    "resnet-34": Case(partial(resnet34, stem="plain"), images),
    "resnet-20": Case(resnet_cifar, images),
    "thin resnet": Case(partial(ResNet, blocks=(1, 2), width=4, stem="plain"), images),
    "vit": Case(partial(ViT, side=SIDE, depth=2, width=16, heads=2), images),
    "frozen features": Case(frozen, images),
    "bag of words": Case(partial(BagOfWordsEncoder, WORDS), texts),
    "sentence cnn": Case(partial(SentenceCNN, WORDS, width=6, hidden=8), texts),
    "text cnn": Case(partial(TextCNN, WORDS, widths=(4, 6)), texts),
    "text transformer": Case(partial(TextTransformer, WORDS, max_length=8, width=16), texts),
}


def cases(*, of: Callable[..., Tensor] | None = None) -> list:
    return [pytest.param(case, id=name) for name, case in CASES.items() if of in (None, case.views)]


def made(case: Case, *, seed: int = 0, dim: int = DIM) -> nn.Module:
    torch.manual_seed(seed)
    encoder = case.make(dim)
    for module in encoder.modules():  # statistics as of a network that has seen data
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return encoder


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("case", cases())
def test_gives_dim_finite_floats_for_each_view(case: Case, dim: int) -> None:
    z = made(case, dim=dim).eval()(case.views(3))
    assert z.shape == (3, dim)
    assert z.dtype == torch.float32
    assert bool(z.isfinite().all())
    assert not torch.equal(z[0], z[1])


@pytest.mark.parametrize("case", cases())
def test_the_gradient_reaches_every_parameter_that_learns(case: Case) -> None:
    encoder = made(case).train()
    target = torch.randn(8, DIM, generator=generator(1))
    (encoder(case.views(8)) - target).square().sum().backward()
    for name, weight in encoder.named_parameters():
        if name.startswith("backbone."):
            assert weight.grad is None, name
        else:
            assert bool((weight.grad != 0).any()), name


@pytest.mark.parametrize("case", cases())
def test_the_torch_seed_decides_the_weights_and_nothing_else_is_random(case: Case) -> None:
    views = case.views(4)
    first, again, other = (made(case, seed=seed).train()(views) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("case", cases())
def test_in_evaluation_a_view_is_encoded_whatever_its_neighbours(case: Case) -> None:
    encoder = made(case).eval()
    views = case.views(5)
    together, alone = encoder(views), torch.cat([encoder(view[None]) for view in views])
    assert (together - alone).norm() <= 1e-5 * alone.norm()


@pytest.mark.parametrize("case", cases())
def test_weights_come_back_from_a_file(case: Case, tmp_path) -> None:
    encoder, other = made(case).eval(), made(case, seed=1).eval()
    save_weights(encoder, tmp_path / "encoder.safetensors")
    load_weights(other, tmp_path)
    assert torch.equal(encoder(case.views(3)), other(case.views(3)))


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("dim", [0, -1, True])
def test_an_output_size_below_1_is_refused(case: Case, dim: int) -> None:
    with pytest.raises(VergenceError, match=f"dim must be (a whole number )?>= 1; got {dim}"):
        case.make(dim)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize("case", cases(of=images))
def test_pixels_mean_the_same_in_any_number_type(case: Case, dtype: torch.dtype) -> None:
    encoder = made(case).eval()
    assert torch.equal(encoder(images(3)), encoder(images(3).to(dtype)))


@pytest.mark.parametrize("case", cases(of=images))
def test_memory_layout_of_the_images_does_not_matter(case: Case) -> None:
    encoder = made(case).eval()
    strided = images(3).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(images(3)), encoder(strided))


@pytest.mark.parametrize("case", cases(of=texts))
@given(
    rows=st.lists(st.lists(st.integers(1, WORDS - 1), max_size=6), min_size=1, max_size=4),
    more=st.integers(0, 5),
    gradient=st.booleans(),
)
@example(rows=[[]], more=0, gradient=False)
def test_padding_does_not_change_the_encoding_of_a_text(case: Case, rows, more: int, gradient: bool) -> None:
    encoder = made(case).double().eval()
    length = max(1, *map(len, rows)) + more
    tokens = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    with torch.set_grad_enabled(gradient):
        for row, z in zip(rows, encoder(tokens), strict=True):
            alone = encoder(torch.tensor([row or [0]]))[0]
            torch.testing.assert_close(z, alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["text cnn", "text transformer"])
def test_word_order_matters(name: str) -> None:
    encoder = made(CASES[name]).eval()
    forth, back = encoder(torch.tensor([[2, 3, 4], [4, 3, 2]]))
    assert not torch.allclose(forth, back)
