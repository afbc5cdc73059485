"""The trainer of many small runs: its mathematics against plain forms, and its runs against each other."""

from functools import partial
from math import log

import pytest
import torch
from torch import nn

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import VergenceError
from vergence.latent import LatentModel, orthogonal_mixing
from vergence.losses import l2_info_nce, standardize
from vergence.random import generator, named
from vergence.studies.misalignment2025.batched import BatchedConfig, BatchedEncoders, train_together
from vergence.studies.misalignment2025.stacked import (
    batched_l2_info_nce,
    fitted_l2_info_nce,
    orthogonalize,
    residual_block,
    standardize_batches,
)
from vergence.views.numeric import draw_mixings, render

QUICK = BatchedConfig(steps=40, batch_size=64, width=32, drawn_at_once=16)


def stacked(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed)).requires_grad_()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_batched_loss_is_the_plain_one_run_by_run(temperature: float) -> None:
    a, b = stacked(3, 12, 4), stacked(3, 12, 4, seed=1)
    losses = batched_l2_info_nce(a, b, temperature=temperature)
    for run in range(3):
        plain = l2_info_nce(a[run], b[run], temperature=temperature)
        torch.testing.assert_close(losses[run] - log(12), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, torch.tensor([0.3, 2.0])])
def test_the_gradient_of_the_batched_loss_is_exact(temperature: float | torch.Tensor) -> None:
    a, b = stacked(2, 7, 3), stacked(2, 7, 3, seed=1)
    assert torch.autograd.gradcheck(partial(batched_l2_info_nce, temperature=temperature), (a, b))


def test_the_fitted_temperature_is_the_variance_of_greatest_likelihood_of_the_noise() -> None:
    image = stacked(3, 4000, 5)
    spread = torch.tensor([0.5, 0.3, 0.01])[:, None, None]
    text = image + stacked(3, 4000, 5, seed=1) * spread
    spare = image * torch.tensor([1, 1, 1, 0, 0.0]), text * torch.tensor([1, 1, 1, 0, 0.0])
    for (a, b), size in (((image, text), 5), (spare, 3)):
        fitted = fitted_l2_info_nce(a, b, [size] * 3)
        known = batched_l2_info_nce(a, b, temperature=torch.tensor([0.5, 2 * 0.3**2, 0.2]))  # 0.2 is the least
        torch.testing.assert_close(fitted, known, rtol=0.02, atol=0.02)
        for run in range(2):
            apart = (a[run] - b[run])[:, :size].detach()
            likelihood = [
                torch.distributions.Normal(0, (tau / 2) ** 0.5).log_prob(apart).mean()
                for tau in 2 * apart.square().mean() * torch.tensor([0.9, 1.0, 1.1])
            ]
            assert likelihood[1] == max(likelihood)


def test_the_loss_stays_finite_where_everything_is_far_apart() -> None:
    a = (100 * torch.randn(1, 16, 4, generator=generator(0))).requires_grad_()
    (gradient,) = torch.autograd.grad(batched_l2_info_nce(a, a.detach().flip(1)).sum(), [a])
    assert gradient.isfinite().all()


def test_batches_are_standardised_run_by_run_with_the_exact_gradient() -> None:
    z = stacked(3, 9, 2)
    for run in range(3):
        torch.testing.assert_close(standardize_batches(z)[run], standardize(z[run]))
    assert torch.autograd.gradcheck(standardize_batches, (z,))


def test_a_block_is_a_residual_layer_and_so_is_its_gradient() -> None:
    inputs = [
        torch.randn(2, *shape, generator=generator(i)).requires_grad_()
        for i, shape in enumerate(((20, 16), (16, 16), (1, 16), (16, 16)))
    ]
    hidden, up, bias, down = inputs
    plain = hidden + torch.relu(nn.functional.rms_norm(hidden, (16,)) @ up + bias) @ down
    outputs = [plain, residual_block(*inputs)]
    torch.testing.assert_close(*outputs, rtol=0.03, atol=0.15)  # products in bfloat16
    weights = torch.randn(plain.shape, generator=generator(9))
    gradients = [torch.autograd.grad((out * weights).sum(), inputs) for out in outputs]
    for exact, half in zip(*gradients, strict=True):
        assert nn.functional.cosine_similarity(exact.flatten(), half.flatten(), dim=0) > 0.999
        assert (half - exact).norm() / exact.norm() < 0.06  # products in bfloat16


def test_orthogonalising_carries_singular_values_to_one() -> None:
    values = torch.linalg.svdvals(orthogonalize(torch.randn(4, 32, 32, generator=generator(0))).double())
    assert (values < 1.3).all()
    assert (values[:, :-4] > 0.8).all()  # the smallest ones need more than five steps


def linear_pairs(n_inputs: int):
    """Pairs whose text is a rotation of the image."""
    rotation = torch.linalg.qr(torch.randn(n_inputs, n_inputs, generator=generator(n_inputs))).Q

    def draw(n: int, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.randn(n, n_inputs, generator=stream)
        return image, image @ rotation

    return draw


def test_training_lowers_the_loss() -> None:
    draw = linear_pairs(3)
    config = BatchedConfig(steps=150, batch_size=64, width=32)
    encoders = train_together([draw], [2], config, generators=[generator(0)])
    untrained = BatchedEncoders([draw(512, generator(2))], [2], config, [generator(0)])
    image, text = draw(256, generator(1))
    now, before = (
        batched_l2_info_nce(*(standardize_batches(e.of_run(0, side, v)[None]) for side, v in ((0, image), (1, text))))
        for e in (encoders, untrained)
    )
    assert now < before - 1


def test_what_a_run_learns_does_not_depend_on_its_company() -> None:
    few = BatchedConfig(steps=3, batch_size=64, width=32)  # rounding grows with the steps
    draws, sizes = [linear_pairs(3), linear_pairs(5)], [2, 4]
    both = train_together(draws, sizes, few, generators=[named(0, run) for run in range(2)])
    alone = train_together(draws[:1], sizes[:1], few, generators=[named(0, 0)])
    image, _ = draws[0](32, generator(5))
    first, second = both.of_run(0, 0, image), alone.of_run(0, 0, image)
    assert first.shape == (32, 2)
    torch.testing.assert_close(first, second, rtol=0.03, atol=0.03)  # rounding of bfloat16


def noisy_pairs(n: int, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of which the text has two inputs right and two inputs half wrong, all of them rotated."""
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=generator(4))).Q
    image = torch.randn(n, 4, generator=stream)
    noise = torch.randn(n, 4, generator=stream) * torch.tensor([0.0, 0.0, 1.0, 1.0])
    return image, (image + noise) @ rotation


def test_narrowing_keeps_what_both_sides_agree_on() -> None:
    config = BatchedConfig(steps=200, batch_size=128, width=32)
    encoders = train_together([noisy_pairs], [4], config, generators=[generator(0)])
    image, text = noisy_pairs(8192, generator(1))
    encoders.narrow([2], [(image, text)])
    left, right = (encoders.of_run(0, side, views) for side, views in ((0, image), (1, text)))
    assert left.shape == (8192, 2)
    for column in range(2):
        assert torch.corrcoef(torch.stack([left[:, column], right[:, column]]))[0, 1] > 0.95
    fitted = torch.linalg.lstsq(left - left.mean(0), image).solution
    unexplained = (image - (left - left.mean(0)) @ fitted).var(0)
    assert (unexplained[:2] < 0.1).all()
    assert (unexplained[2:] > 0.9).all()


def test_a_run_that_is_not_narrowed_stays_as_it_is() -> None:
    draws = [linear_pairs(3), linear_pairs(5)]
    pairs = [draw(64, generator(1)) for draw in draws]
    encoders = BatchedEncoders(pairs, [2, 4], QUICK, [named(0, run) for run in range(2)])
    before = encoders.of_run(0, 0, pairs[0][0])
    encoders.narrow([2, 3], pairs)
    torch.testing.assert_close(encoders.of_run(0, 0, pairs[0][0]), before)
    assert encoders.of_run(1, 0, pairs[1][0]).shape == (64, 3)


def test_two_hundred_factors_train_in_the_same_code() -> None:
    space = FactorSpace(tuple(Factor(f"s{i}") for i in range(200)))
    model, bias = LatentModel(space), Misalignment(space.names[:120], space.names[100:120])
    mixings = draw_mixings(model, bias, generator=generator(0), draw=orthogonal_mixing)

    def draw(n: int, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        views = render(model.sample(n, bias, generator=stream), mixings)
        return views.image, views.text

    few = BatchedConfig(steps=2, wide_steps=2, batch_size=128, width=32)
    encoders = train_together([draw], [100], few, generators=[generator(1)], wide=[120])
    assert encoders.of_run(0, 0, draw(8, generator(2))[0]).isfinite().all()
    assert encoders.sizes == (100,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchedConfig(steps=0), "steps must be >= 1"),
        (lambda: BatchedConfig(batch_size=1), r"batch_size must be >= 2 \(InfoNCE needs a negative\)"),
        (lambda: BatchedConfig(rate=0.0), "rate must be a finite number > 0"),
        (lambda: BatchedConfig(wide_steps=-1), "wide_steps must be >= 0"),
        (lambda: train_together([linear_pairs(3)], [0], QUICK, generators=[generator(0)]), "output size must be >= 1"),
        (
            lambda: train_together([linear_pairs(3)], [2], QUICK, generators=[generator(0)], wide=[1]),
            "wide output size must be >= 2",
        ),
        (lambda: batched_l2_info_nce(torch.ones(1, 4, 2), torch.ones(1, 4, 2), temperature=0.0), "temperature must be"),
    ],
)
def test_impossible_trainings_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()
