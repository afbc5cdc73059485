"""Tokens of frozen image encoders, and the cache that holds them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vergence.data import load_emoji
from vergence.encoders import ConvEncoder, EfficientNetLite0, Framing, GridConvEncoder, Preprocessing, ViT, resnet_cifar
from vergence.encoders.tokens import FrozenTokens
from vergence.errors import ConfigError, CorpusError
from vergence.training import features
from vergence.training.features import cached_tokens, tokens_digest

SIDE = 32
ENCODERS = {
    "conv": lambda: ConvEncoder(4, widths=(8, 16)),
    "grid": lambda: GridConvEncoder(4, side=SIDE, widths=(8, 16)),
    "resnet": lambda: resnet_cifar(4, depth=8),
    "vit": lambda: ViT(4, side=SIDE, patch=8, depth=1, width=16, heads=2),
    "efficientnet": lambda: EfficientNetLite0(10),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_tokens_are_what_the_encoder_pools(name: str) -> None:
    """Pooled as the encoder pools, and through its head, they are its outputs."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    scaling = Preprocessing() if name == "efficientnet" else None
    frozen = FrozenTokens(encoder, framing=Framing(side=SIDE), preprocessing=scaling).train()
    assert not frozen.training
    assert not any(weight.requires_grad for weight in frozen.parameters())
    pixels = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
    tokens = frozen.tokens(pixels)
    assert tokens.dtype == torch.float32
    assert len(tokens) == 3
    assert not tokens.requires_grad
    with torch.no_grad():
        whole = encoder(scaling(pixels) if scaling else pixels)
        if name == "vit":
            again = encoder.head(tokens[:, 0])
        elif name == "conv":
            again = encoder.head(torch.cat([tokens.mean(1), tokens.amax(1)], dim=1))
        elif name == "grid":
            again = encoder.head(tokens.transpose(1, 2).flatten(1))
        elif name == "resnet":
            again = encoder.fc(tokens.mean(1))
        else:
            head = encoder.head.weight[:, :, 0, 0]
            again = encoder.classify(nn.functional.relu6(tokens @ head.T + encoder.head.bias).mean(1))
    torch.testing.assert_close(whole, again, rtol=1e-4, atol=1e-5)


def test_an_encoder_without_places_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear gives no tokens"):
        FrozenTokens(nn.Linear(2, 2), framing=Framing(side=8))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[object, FrozenTokens]:
    monkeypatch.setattr(features, "_PART", 4)
    torch.manual_seed(0)
    return load_emoji().images.take(range(10)), FrozenTokens(ENCODERS["conv"](), framing=Framing(side=SIDE))


def test_a_cache_is_computed_once_and_goes_on_where_it_stopped(few, tmp_path: Path) -> None:
    images, frozen = few
    done: list[int] = []

    class StoppedError(Exception):
        pass

    def stop(n: int, of: int) -> None:
        done.append(n)
        if len(done) == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        cached_tokens(images, frozen, tmp_path, told=stop)
    parts = sorted(tmp_path.glob("*/tokens-*.npy"))
    before = [part.stat().st_mtime_ns for part in parts]
    assert done == [4, 8]
    assert len(parts) == 2
    found = cached_tokens(images, frozen, tmp_path, told=lambda n, of: done.append(n))
    assert [part.stat().st_mtime_ns for part in parts] == before
    assert done[2:] == [4, 8, 10]
    pixels = torch.from_numpy(np.stack([frozen.prepared(image) for image in images]))
    torch.testing.assert_close(found[range(10)], frozen.tokens(pixels), rtol=1e-3, atol=1e-3)
    assert torch.equal(found[[9, 0, 5]], found[range(10)][[9, 0, 5]])
    assert (len(found), found.places, found.dim) == (10, 64, 16)
    assert found.pooled().shape == (10, 16)
    with pytest.raises(IndexError, match="10"):
        found[[10]]


def test_another_image_weight_or_side_is_another_cache(few) -> None:
    images, frozen = few
    other = FrozenTokens(ENCODERS["conv"](), framing=Framing(side=SIDE))
    smaller = FrozenTokens(frozen.encoder, framing=Framing(side=16))
    digests = [tokens_digest(*of) for of in (few, (images[:9], frozen), (images, other), (images, smaller))]
    assert len(set(digests)) == 4
    assert tokens_digest(images, frozen) == digests[0]


def test_a_damaged_part_and_a_token_that_does_not_fit_are_said(few, tmp_path: Path) -> None:
    images, frozen = few
    cached_tokens(images, frozen, tmp_path)
    part = next(tmp_path.glob("*/tokens-00001.npy"))
    np.save(part, np.zeros((1, 2, 3), dtype=np.float16))
    with pytest.raises(CorpusError, match="not what was written; remove it and run again"):
        _ = cached_tokens(images, frozen, tmp_path)[[0]]
    with torch.no_grad():
        next(frozen.encoder.parameters()).mul_(float("nan"))
    with pytest.raises(CorpusError, match="NaN or beyond 65,504"):
        cached_tokens(images, frozen, tmp_path / "more")
    with pytest.raises(CorpusError, match="no images to encode"):
        cached_tokens(images[:0], frozen, tmp_path)
