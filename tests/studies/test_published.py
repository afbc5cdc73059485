"""The published protocol: shapes and one step of it by hand."""

import pytest
import torch
from torch import nn

from vergence.errors import ConfigError
from vergence.losses import l2_info_nce
from vergence.random import generator, spawn
from vergence.studies.misalignment2025.published import PublishedConfig, PublishedEncoders, train_published
from vergence.studies.misalignment2025.spec import RunSpec


def test_hidden_sizes_are_multiples_of_the_input() -> None:
    encoders = PublishedEncoders((3, 2), 4, generator(0))
    sizes = [[layer.out_features for layer in side if isinstance(layer, nn.Linear)] for side in encoders.sides]
    assert sizes == [[30, 150, 150, 150, 150, 30, 4], [20, 100, 100, 100, 100, 20, 4]]


def test_a_step_is_adam_on_the_clipped_gradient_with_fresh_negatives() -> None:
    draw, config = RunSpec(seed=0, selected=2).pairs(), PublishedConfig(steps=1, batch_size=32)
    trained = train_published(draw, 2, config, generator=generator(0))
    weights, pairs = spawn(generator(0), 2)
    by_hand = PublishedEncoders((15, 7), 2, weights)
    draw(1, pairs)
    (image, text) = draw(64, pairs)
    z_image, z_text = by_hand(image, text)
    loss = l2_info_nce(z_image[:32], z_text[:32], negatives_image=z_image[32:], negatives_text=z_text[32:])
    loss.backward()
    nn.utils.clip_grad_norm_(by_hand.parameters(), 2.0)
    for ours, weight in zip(trained.parameters(), by_hand.parameters(), strict=True):
        gradient = weight.grad
        torch.testing.assert_close(ours, weight - 1e-4 * gradient / (gradient.abs() + 1e-8), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"steps": 0}, "steps must be >= 1"), ({"rate": 0.0}, "rate must be"), ({"clip": -1.0}, "clip must be")],
)
def test_impossible_settings_are_refused(setting: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PublishedConfig(**setting)
