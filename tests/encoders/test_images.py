"""Image encoders against published sizes; preprocessing; what is refused."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vergence.encoders import (
    MLP,
    ClassTokenTransformer,
    ConvEncoder,
    FrozenFeatures,
    PixelMLP,
    Preprocessing,
    ResidualMLP,
    ResNet,
    TextCNN,
    TextTransformer,
    ViT,
    resnet18,
    resnet34,
    resnet_cifar,
)
from vergence.errors import ConfigError, ShapeError
from vergence.random import generator


def n_parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def bare(make) -> nn.Module:
    """Sizes only: nothing is allocated, nothing is drawn."""
    with torch.device("meta"):
        return make()


@pytest.mark.parametrize(
    ("make", "published"),
    [
        (lambda: resnet18(1000), 11_689_512),
        (lambda: resnet34(1000), 21_797_672),
        (lambda: resnet18(10, stem="plain"), 11_173_962),
        (lambda: resnet_cifar(10, depth=20), 269_722),
        (lambda: resnet_cifar(10, depth=32), 464_154),
        (lambda: resnet_cifar(10, depth=44), 658_586),
        (lambda: resnet_cifar(10, depth=56), 853_018),
        (lambda: resnet_cifar(10, depth=110), 1_727_962),
        (lambda: ViT(1000, side=224, patch=16), 22_050_664),
        (lambda: ViT(1000, side=224, patch=16, width=768, heads=12), 86_567_656),
    ],
)
def test_sizes_are_the_published_ones(make, published: int) -> None:
    assert n_parameters(bare(make)) == published


def test_parameters_are_named_as_in_published_resnet_weights() -> None:
    names = set(bare(lambda: resnet18(1000)).state_dict())
    assert len(names) == 122
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.num_batches_tracked",
        "layer4.1.bn2.bias",
        "fc.weight",
    } <= names


def test_layers_of_a_transformer_start_apart() -> None:
    first, second = ClassTokenTransformer(3, depth=2, width=8, heads=2).layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_the_default_scaling_is_that_of_the_small_convolution() -> None:
    images = torch.arange(256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    expected = (images.float() - 127.5) / 63.75
    torch.testing.assert_close(ConvEncoder.preprocessing(images), expected)


def test_channels_are_scaled_each_by_its_own() -> None:
    preprocessing = Preprocessing(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    white = preprocessing(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8), dtype=torch.float64)
    torch.testing.assert_close(white.flatten(), torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))


channels = st.tuples(*[st.floats(-10, 10)] * 3)
deviations = st.tuples(*[st.floats(1e-3, 10)] * 3)


@given(side=st.none() | st.integers(1, 2048), mean=channels, std=deviations)
def test_preprocessing_comes_back_from_json_and_can_be_undone(side, mean, std) -> None:
    preprocessing = Preprocessing(side=side, mean=mean, std=std)
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing
    image = torch.arange(12).view(1, 3, 2, 2) * 23
    scaled = replace(preprocessing, side=2)(image, dtype=torch.float64).permute(0, 2, 3, 1)
    undone = 255 * (scaled * torch.tensor(std, dtype=torch.float64) + torch.tensor(mean, dtype=torch.float64))
    torch.testing.assert_close(undone.permute(0, 3, 1, 2), image.double(), rtol=1e-10, atol=1e-10)


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    blocks=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    stem=st.sampled_from(["strided", "plain"]),
    shortcut=st.sampled_from(["projection", "padding"]),
)
@settings(max_examples=20)
def test_a_resnet_takes_images_of_any_side(height, width, blocks, stem, shortcut) -> None:
    encoder = ResNet(3, blocks=blocks, width=2, stem=stem, shortcut=shortcut).eval()
    z = encoder(torch.randint(256, (2, 3, height, width), generator=generator(0)))
    assert z.shape == (2, 3)
    assert bool(z.isfinite().all())


@given(view=st.lists(st.floats(-5, 5), min_size=4, max_size=4), scale=st.floats(0.1, 10))
def test_a_perceptron_without_biases_is_positively_homogeneous(view, scale: float) -> None:
    torch.manual_seed(0)
    encoder = MLP(4, 3, hidden=(6, 5)).double()
    for name, weight in encoder.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
    x = torch.tensor([view], dtype=torch.float64)
    torch.testing.assert_close(encoder(scale * x), scale * encoder(x), rtol=1e-10, atol=1e-12)


@given(view=st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_a_residual_perceptron_with_a_silent_head_is_its_linear_map(view) -> None:
    torch.manual_seed(0)
    encoder = ResidualMLP(4, 3, width=6).double()
    for weight in encoder.head.parameters():
        nn.init.zeros_(weight)
    x = torch.tensor([view], dtype=torch.float64)
    torch.testing.assert_close(encoder(x), x @ encoder.skip.weight.T)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"side": 8, "mean": [0, 0, 0]}',
        '{"side": 8, "mean": [0, 0, 0], "std": [1, 1, 1], "crop": 2}',
        '{"side": "8", "mean": [0, 0, 0], "std": [1, 1, 1]}',
        '{"side": 8, "mean": 0, "std": [1, 1, 1]}',
        '{"side": 8, "mean": [0, 0], "std": [1, 1, 1]}',
        '{"side": 8, "mean": ["a", 0, 0], "std": [1, 1, 1]}',
    ],
)
def test_json_that_is_no_preprocessing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r'preprocessing must be \{"side": …, "mean": \[…\], "std": \[…\]\}; '):
        Preprocessing.from_json(text)


@pytest.mark.parametrize(
    "encoder",
    [
        PixelMLP(2, side=8, hidden=()),
        ViT(2, side=8, depth=1, width=4, heads=1),
        ResNet(2, blocks=(1,), width=2, stem="plain", preprocessing=Preprocessing(side=8)),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_images_of_another_side_are_refused(encoder: nn.Module) -> None:
    with pytest.raises(ShapeError, match=r"images must be 8×8; got 8×9\. Resize them"):
        encoder(torch.zeros(2, 3, 8, 9))


def test_a_frozen_backbone_keeps_its_weights_and_statistics_while_the_head_learns() -> None:
    torch.manual_seed(0)
    encoder = FrozenFeatures(ConvEncoder(4, widths=(3,)), nn.Linear(4, 2)).train()
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([weight for weight in encoder.parameters() if weight.requires_grad], lr=0.1)
    encoder(torch.randint(256, (6, 3, 8, 8))).square().sum().backward()
    optimizer.step()
    changed = {name for name, weight in encoder.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert encoder.preprocessing == Preprocessing()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(0, 2), "n_inputs must be >= 1; got 0"),
        (lambda: MLP(2, 2, hidden=(4, 0)), "hidden must be >= 1; got 0"),
        (lambda: MLP(2, 2, negative_slope=-0.1), "negative_slope must be a finite number >= 0; got -0.1"),
        (lambda: ResidualMLP(2, 2, width=0), "width must be >= 1; got 0"),
        (lambda: ResidualMLP(2, 2, n_blocks=0), "n_blocks must be >= 1; got 0"),
        (lambda: PixelMLP(2, side=0), "side must be >= 1; got 0"),
        (
            lambda: PixelMLP(2, side=8, preprocessing=Preprocessing(side=9)),
            "encoder is for side 8, its preprocessing for side 9; state one side",
        ),
        (lambda: ResNet(2, blocks=()), "blocks must be >= 1; got 0"),
        (lambda: ResNet(2, blocks=(1,), width=0), "width must be >= 1; got 0"),
        (lambda: resnet18(2, stem="stride"), "unknown stem 'stride'; known: strided, plain. Did you mean 'strided'"),
        (lambda: ResNet(2, blocks=(1,), shortcut="none"), "unknown shortcut 'none'; known: projection, padding"),
        (lambda: resnet18(2, hidden=0), "hidden must be >= 1; got 0"),
        (lambda: resnet_cifar(2, depth=21), r"depth must be 6 n \+ 2, such as 20, 32, 44, 56 or 110; got 21"),
        (lambda: resnet_cifar(2, depth=2), "depth must be >= 8; got 2"),
        (lambda: ViT(2, side=9), "side must be a multiple of patch; got side 9, patch 4"),
        (lambda: ViT(2, side=8, patch=0), "patch must be >= 1; got 0"),
        (lambda: ViT(2, side=8, heads=5), "width must be a multiple of heads; got width 384, heads 5"),
        (lambda: ViT(2, side=8, depth=0), "depth must be >= 1; got 0"),
        (lambda: Preprocessing(side=0), "side must be >= 1; got 0"),
        (lambda: Preprocessing(std=(1.0, 0.0, 1.0)), "std must be a finite number > 0; got 0.0"),
        (lambda: Preprocessing(mean=(1.0,)), r"mean must hold three numbers, for red, green and blue; got \(1.0,\)"),
        (lambda: Preprocessing(mean=(float("nan"), 0.0, 0.0)), "mean must be finite; got"),
        (lambda: TextCNN(2, 4), r"vocabulary_size must be >= 3 \(captions need words\); got 2"),
        (lambda: TextCNN(9, 4, widths=()), "widths must be >= 1; got 0"),
        (lambda: TextTransformer(2, 4), r"vocabulary_size must be >= 3 \(captions need words\); got 2"),
        (lambda: TextTransformer(9, 4, max_length=0), "max_length must be >= 1; got 0"),
        (lambda: TextTransformer(9, 4, width=6), "width must be a multiple of heads; got width 6, heads 4"),
    ],
)
def test_impossible_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_text_with_too_many_words_is_refused_and_padding_is_not() -> None:
    encoder = TextTransformer(9, 4, max_length=2, width=8)
    assert encoder(torch.tensor([[3, 4, 0, 0]])).shape == (1, 4)
    with pytest.raises(ShapeError, match=r"texts may have 2 words; got 3 places. Cut them: .*length=2\)"):
        encoder(torch.tensor([[3, 4, 5]]))
