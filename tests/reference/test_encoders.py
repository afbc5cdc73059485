"""Encoders against loops over single numbers, in float64."""

from math import erf, exp, sqrt

import pytest
import torch
from torch import Tensor, nn

from vergence.encoders import MLP, PixelMLP, Preprocessing, ResidualMLP, ResNet, TextCNN, TextTransformer, ViT
from vergence.random import generator

Row = list[float]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def ready(encoder: nn.Module) -> nn.Module:
    """In float64 and evaluation, with no parameter or statistic at a value that hides it."""
    for name, value in encoder.named_parameters():
        nn.init.normal_(value, mean=float(name.endswith("norm.weight")), std=0.3)
    for name, value in encoder.named_buffers():
        if "running" in name:
            nn.init.uniform_(value, 0.5, 2.0)
    return encoder.double().eval()


def agree(z: Tensor, expected: list[Row]) -> None:
    torch.testing.assert_close(z, torch.tensor(expected, dtype=torch.float64), rtol=1e-11, atol=1e-12)


def linear(layer: nn.Linear, x: Row) -> Row:
    bias = layer.bias.tolist() if layer.bias is not None else [0.0] * layer.out_features
    return [
        sum(w * a for w, a in zip(row, x, strict=True)) + b for row, b in zip(layer.weight.tolist(), bias, strict=True)
    ]


def leaky(x: Row, slope: float) -> Row:
    return [a if a > 0 else slope * a for a in x]


def gelu(x: Row) -> Row:
    return [a * (1 + erf(a / sqrt(2))) / 2 for a in x]


def layer_norm(norm: nn.LayerNorm, x: Row) -> Row:
    mean = sum(x) / len(x)
    deviation = sqrt(sum((a - mean) ** 2 for a in x) / len(x) + norm.eps)
    return [w * (a - mean) / deviation + b for w, a, b in zip(norm.weight.tolist(), x, norm.bias.tolist(), strict=True)]


def batch_norm(norm: nn.Module, channel: int, a: float) -> float:
    deviation = sqrt(norm.running_var[channel].item() + norm.eps)
    return norm.weight[channel].item() * (a - norm.running_mean[channel].item()) / deviation + norm.bias[channel].item()


def added(x: Row, y: Row) -> Row:
    return [a + b for a, b in zip(x, y, strict=True)]


def numbers(n: int, size: int) -> Tensor:
    return torch.randn(n, size, generator=generator(0), dtype=torch.float64)


def images(n: int, side: int) -> Tensor:
    return torch.randint(256, (n, 3, side, side), generator=generator(0)).to(torch.uint8)


# -- perceptrons


@pytest.mark.parametrize("normed", [False, True])
def test_mlp(normed: bool) -> None:
    encoder = ready(MLP(3, 2, hidden=(5, 4), negative_slope=0.1, batch_norm=normed))
    step = 3 if normed else 2
    expected = []
    for view in numbers(4, 3).tolist():
        x = view
        for at in range(0, len(encoder.layers), step):
            x = linear(encoder.layers[at], x)
            if normed:
                x = [batch_norm(encoder.layers[at + 1], channel, a) for channel, a in enumerate(x)]
            x = leaky(x, 0.1)
        expected.append(linear(encoder.head, x))
    agree(encoder(numbers(4, 3)), expected)


def test_residual_mlp() -> None:
    encoder = ready(ResidualMLP(3, 2, width=4, n_blocks=2))
    expected = []
    for x in numbers(4, 3).tolist():
        h = linear(encoder.embedding, x)
        for norm, up, _, down in encoder.blocks:
            h = added(h, linear(down, gelu(linear(up, layer_norm(norm, h)))))
        norm, head = encoder.head
        expected.append(added(linear(head, layer_norm(norm, h)), linear(encoder.skip, x)))
    agree(encoder(numbers(4, 3)), expected)


def scaled(image: list, preprocessing: Preprocessing) -> list:
    return [
        [[(pixel / 255 - mean) / std for pixel in row] for row in channel]
        for channel, mean, std in zip(image, preprocessing.mean, preprocessing.std, strict=True)
    ]


def test_pixel_mlp() -> None:
    preprocessing = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    encoder = ready(PixelMLP(2, side=2, hidden=(4,), preprocessing=preprocessing))
    expected = []
    for image in images(3, 2).tolist():
        pixels = [pixel for channel in scaled(image, preprocessing) for row in channel for pixel in row]
        expected.append(linear(encoder.mlp.head, leaky(linear(encoder.mlp.layers[0], pixels), 0.01)))
    agree(encoder(images(3, 2)), expected)


# -- convolutions; a picture is [channel][row][column]


def convolved(layer: nn.Conv2d, x: list) -> list:
    (rows, columns), (down, right), (above, left) = layer.kernel_size, layer.stride, layer.padding
    height, width, weight = len(x[0]), len(x[0][0]), layer.weight.tolist()

    def at(out: int, i: int, j: int) -> float:
        total = 0.0
        for channel, kernel in enumerate(weight[out]):
            for di in range(rows):
                for dj in range(columns):
                    y, z = i * down + di - above, j * right + dj - left
                    if 0 <= y < height and 0 <= z < width:
                        total += kernel[di][dj] * x[channel][y][z]
        return total + (layer.bias[out].item() if layer.bias is not None else 0.0)

    n_rows, n_columns = (height + 2 * above - rows) // down + 1, (width + 2 * left - columns) // right + 1
    return [[[at(out, i, j) for j in range(n_columns)] for i in range(n_rows)] for out in range(len(weight))]


def normed(norm: nn.BatchNorm2d, x: list) -> list:
    return [[[batch_norm(norm, channel, a) for a in row] for row in plane] for channel, plane in enumerate(x)]


def rectified(x: list) -> list:
    return [[[max(a, 0.0) for a in row] for row in plane] for plane in x]


def max_pooled(x: list) -> list:
    """Largest of the 3×3 places around every other place."""

    def around(plane: list, i: int, j: int) -> float:
        near = [plane[y][z] for y in range(i - 1, i + 2) for z in range(j - 1, j + 2) if in_it(plane, y, z)]
        return max(near)

    def in_it(plane: list, y: int, z: int) -> bool:
        return 0 <= y < len(plane) and 0 <= z < len(plane[0])

    return [[[around(plane, i, j) for j in range(0, len(plane[0]), 2)] for i in range(0, len(plane), 2)] for plane in x]


def block(layer: nn.Module, x: list, *, projects: bool) -> list:
    residual = rectified(normed(layer.bn1, convolved(layer.conv1, x)))
    residual = normed(layer.bn2, convolved(layer.conv2, residual))
    if len(residual) > len(x):
        halved = [[row[::2] for row in plane[::2]] for plane in x]
        if projects:
            projection, norm = layer.downsample
            x = normed(norm, convolved(projection, halved))
        else:
            blank = [[0.0 for _ in row] for row in halved[0]]
            x = halved + [blank] * (len(residual) - len(x))
    return rectified([[added(*rows) for rows in zip(a, b, strict=True)] for a, b in zip(residual, x, strict=True)])


@pytest.mark.parametrize(("stem", "side"), [("plain", 5), ("strided", 9)])
@pytest.mark.parametrize("shortcut", ["projection", "padding"])
def test_resnet(stem: str, side: int, shortcut: str) -> None:
    encoder = ready(ResNet(2, blocks=(1, 2), width=2, stem=stem, shortcut=shortcut, hidden=3))
    expected = []
    for image in images(2, side).tolist():
        x = rectified(normed(encoder.bn1, convolved(encoder.conv1, scaled(image, encoder.preprocessing))))
        x = max_pooled(x) if stem == "strided" else x
        for layer in (*encoder.layer1, *encoder.layer2):
            x = block(layer, x, projects=shortcut == "projection")
        means = [sum(map(sum, plane)) / (len(plane) * len(plane[0])) for plane in x]
        first, _, last = encoder.fc
        expected.append(linear(last, leaky(linear(first, means), 0.01)))
    agree(encoder(images(2, side)), expected)


def test_text_cnn() -> None:
    encoder = ready(TextCNN(5, 2, widths=(2, 3)))
    texts = [[2, 4, 3, 2], [3, 1], []]
    expected = []
    for text in texts:
        x = [[[float(word == column) for column in range(5)] for word in text]]
        for convolution, norm, _ in encoder.layers:
            x = rectified(normed(norm, convolved(convolution, x))) if text else x
        n_features = encoder.head.in_features
        maxima = [max(column) for plane in x for column in zip(*plane, strict=True)] if text else [0.0] * n_features
        expected.append(linear(encoder.head, maxima))
    agree(encoder(torch.tensor([text + [0] * (5 - len(text)) for text in texts])), expected)


# -- attention


def attended(attention: nn.MultiheadAttention, x: list[Row]) -> list[Row]:
    """For each head: every token's values, weighted by the softmax of query · key / √d."""
    width, size = attention.embed_dim, attention.head_dim
    weight, bias = attention.in_proj_weight.tolist(), attention.in_proj_bias.tolist()
    projected = [
        [sum(w * a for w, a in zip(row, token, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
        for token in x
    ]
    queries, keys, values = ([token[at : at + width] for token in projected] for at in (0, width, 2 * width))
    mixed = [[0.0] * width for _ in x]
    for head in range(0, width, size):
        for i in range(len(x)):
            scores = [sum(queries[i][d] * key[d] for d in range(head, head + size)) / sqrt(size) for key in keys]
            total = sum(exp(score) for score in scores)
            for d in range(head, head + size):
                mixed[i][d] = sum(exp(score) / total * value[d] for score, value in zip(scores, values, strict=True))
    return [linear(attention.out_proj, token) for token in mixed]


def through(trunk: nn.Module, tokens: list[Row]) -> Row:
    x = [trunk.token[0, 0].tolist(), *tokens]
    x = [added(token, place) for token, place in zip(x, trunk.places[0].tolist(), strict=False)]
    for layer in trunk.layers:
        mixed = attended(layer.self_attn, [layer_norm(layer.norm1, token) for token in x])
        x = [added(token, more) for token, more in zip(x, mixed, strict=True)]
        x = [added(a, linear(layer.linear2, gelu(linear(layer.linear1, layer_norm(layer.norm2, a))))) for a in x]
    return layer_norm(trunk.norm, x[0])


# Without gradients the library may take a fused kernel, which has to say the same.
@pytest.mark.parametrize("gradient", [False, True])
def test_vit(gradient: bool) -> None:
    encoder = ready(ViT(2, side=6, patch=3, depth=2, width=4, heads=2))
    expected = []
    for image in images(2, 6).tolist():
        planes = convolved(encoder.embedding, scaled(image, encoder.preprocessing))
        patches = [[plane[i][j] for plane in planes] for i in range(2) for j in range(2)]
        expected.append(linear(encoder.head, through(encoder.trunk, patches)))
    with torch.set_grad_enabled(gradient):
        agree(encoder(images(2, 6)), expected)


@pytest.mark.parametrize("gradient", [False, True])
def test_text_transformer(gradient: bool) -> None:
    encoder = ready(TextTransformer(6, 2, max_length=4, depth=2, width=4, heads=2))
    texts = [[2, 5, 3, 2], [3, 1], []]
    table = encoder.embedding.weight.tolist()
    expected = [linear(encoder.head, through(encoder.trunk, [table[word] for word in text])) for text in texts]
    with torch.set_grad_enabled(gradient):
        agree(encoder(torch.tensor([text + [0] * (6 - len(text)) for text in texts])), expected)
