"""Terms that pull modalities together."""

from inspect import unwrap

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import DiagonalGaussian, alignment_penalty, variational_bottleneck
from vergence.random import generator


def test_one_pair_is_enough() -> None:
    assert alignment_penalty(torch.zeros(1, 2), torch.ones(1, 2)).item() == 2.0


def test_unknown_distances_and_unpaired_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown distance 'cosin'; known: squared, cosine\. Did you mean 'cosine'"):
        alignment_penalty(*pairs(4, 3), distance="cosin")
    with pytest.raises(ShapeError, match="shapes differ"):
        unwrap(alignment_penalty)(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(ShapeError, match="batch must hold >= 1 pairs; got 0"):
        alignment_penalty(torch.zeros(0, 3), torch.zeros(0, 3))


def test_with_equal_fixed_variances_the_divergence_is_the_penalty() -> None:
    z_image, z_text = pairs(8, 4)
    variance = torch.full_like(z_image, 0.3)
    divergence = variational_bottleneck(*(DiagonalGaussian(z, variance.log()) for z in (z_image, z_text)))
    torch.testing.assert_close(2 * 0.3 * divergence, alignment_penalty(z_image, z_text))


def test_divergence_agrees_with_torch_and_with_sampling() -> None:
    image, text = (DiagonalGaussian(mean, log_variance) for mean, log_variance in (pairs(2, 3), pairs(2, 3, seed=1)))
    p, q = (torch.distributions.Normal(z.mean, (z.log_variance / 2).exp()) for z in (image, text))
    expected = torch.distributions.kl_divergence(p, q).sum(1).mean()
    torch.testing.assert_close(variational_bottleneck(image, text), expected)
    many = [DiagonalGaussian(*(part.repeat(20_000, 1) for part in (z.mean, z.log_variance))) for z in (image, text)]
    sample = many[0].sample(generator=generator(0)).reshape(20_000, 2, 3)
    torch.testing.assert_close((p.log_prob(sample) - q.log_prob(sample)).sum(-1).mean(), expected, rtol=0.05, atol=0)


def test_what_only_the_shared_part_says_costs_nothing() -> None:
    z = DiagonalGaussian(*pairs(8, 4))
    assert variational_bottleneck(z, z).item() == 0


def test_encoder_outputs_become_means_and_bounded_variances() -> None:
    output = 100 * torch.randn(5, 6, generator=generator(0))
    z = DiagonalGaussian.from_output(output, bound=2.0)
    torch.testing.assert_close(z.mean, output[:, :3])
    assert z.log_variance.abs().max() <= 2
    with pytest.raises(ShapeError, match="output must have an even number of columns, means and variances; got 5"):
        DiagonalGaussian.from_output(torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="bound must be a finite number > 0"):
        DiagonalGaussian.from_output(output, bound=0.0)


def test_distributions_that_are_not_finite_are_named() -> None:
    z = torch.zeros(3, 2)
    with pytest.raises(ShapeError, match="log_variance_text holds 6 entries that are NaN"):
        variational_bottleneck(DiagonalGaussian(z, z), DiagonalGaussian(z, z * torch.nan))
    with pytest.raises(ShapeError, match="every input is finite"):
        variational_bottleneck(DiagonalGaussian(z + 1, z), DiagonalGaussian(z, z - 1e4))
