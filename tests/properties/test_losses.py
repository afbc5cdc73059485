"""Mathematics of the losses, on inputs that hypothesis chooses."""

from math import log

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.losses.common import pairs

from vergence.losses import (
    DiagonalGaussian,
    align_max_entropy,
    alignment_penalty,
    info_nce,
    l2_info_nce,
    lp_info_nce,
    neighbour_entropy,
    nt_xent,
    one_way_info_nce,
    sigmoid_loss,
    standardize,
    variational_bottleneck,
)

BATCHES = st.builds(
    lambda batch, dim, seed, noise: pairs(batch, dim, seed=seed, noise=noise),
    st.integers(2, 20),
    st.integers(1, 9),
    st.integers(0, 2**31),
    st.sampled_from([None, 0.01, 1.0]),
)
TEMPERATURES = st.floats(0.02, 10)


def rotation(dim: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(dim)))[0]


@given(BATCHES, TEMPERATURES, st.floats(0.01, 100))
def test_cosine_losses_ignore_scale_and_a_common_rotation(z, temperature: float, scale: float) -> None:
    turned = [part @ rotation(part.shape[1]) for part in z]
    turned[0] = turned[0] * scale
    torch.testing.assert_close(info_nce(*turned, temperature=temperature), info_nce(*z, temperature=temperature))
    torch.testing.assert_close(alignment_penalty(*turned, distance="cosine"), alignment_penalty(*z, distance="cosine"))


@given(BATCHES, TEMPERATURES)
def test_info_nce_lies_between_its_extremes(z, temperature: float) -> None:
    loss, batch = info_nce(*z, temperature=temperature).item(), len(z[0])
    assert 0 <= loss <= 2 / temperature + log(batch)
    torch.testing.assert_close(info_nce(z[0][:1].expand_as(z[0]), z[1], temperature=1e9).item(), log(batch))


@given(BATCHES)
def test_alignment_penalty_is_zero_for_equal_pairs_and_consistent_on_the_sphere(z) -> None:
    assert alignment_penalty(z[0], z[0]).item() == 0
    a, b = (torch.nn.functional.normalize(part) for part in z)
    torch.testing.assert_close(alignment_penalty(a, b), 2 * alignment_penalty(a, b, distance="cosine"))


@given(BATCHES, st.floats(0.1, 100), st.floats(-100, 100))
def test_standardize_ignores_scale_and_shift(z, scale: float, shift: float) -> None:
    once = standardize(z[0], eps=1e-12)
    torch.testing.assert_close(standardize(scale * z[0] + shift, eps=1e-12), once, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(once.mean(0), torch.zeros(z[0].shape[1], dtype=torch.float64), rtol=0, atol=1e-9)


@given(BATCHES, TEMPERATURES)
def test_symmetric_info_nce_is_the_mean_of_both_ways(z, temperature: float) -> None:
    ways = one_way_info_nce(*z, temperature=temperature) + one_way_info_nce(*z[::-1], temperature=temperature)
    torch.testing.assert_close(ways / 2, info_nce(*z, temperature=temperature))


@given(BATCHES, TEMPERATURES)
def test_more_negatives_never_lower_a_contrastive_loss(z, temperature: float) -> None:
    assert nt_xent(*z, temperature=temperature) >= info_nce(*z, temperature=temperature) - 1e-9
    assert sigmoid_loss(*z, temperature=temperature) >= 0


@given(BATCHES, st.floats(1, 4), st.floats(-10, 10), st.integers(1, 9))
def test_distance_losses_ignore_a_common_shift_and_have_a_floor(z, p: float, shift: float, block_size: int) -> None:
    loss = lp_info_nce(*z, p=p)
    torch.testing.assert_close(lp_info_nce(*(part + shift for part in z), p=p), loss, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(lp_info_nce(*z, p=p, block_size=block_size), loss)
    assert loss >= -log(len(z[0])) - 1e-9


@given(BATCHES, st.floats(0.1, 10))
def test_squared_distance_scales_with_temperature(z, scale: float) -> None:
    scaled = l2_info_nce(*(scale * part for part in z), temperature=scale**2)
    torch.testing.assert_close(scaled, l2_info_nce(*z), rtol=1e-8, atol=1e-8)


@given(BATCHES, st.floats(0.1, 10))
def test_entropy_grows_by_the_log_of_the_scale(z, scale: float) -> None:
    grown = neighbour_entropy(scale * z[0], neighbours=1) - neighbour_entropy(z[0], neighbours=1)
    torch.testing.assert_close(grown.item(), z[0].shape[1] * log(scale), rtol=1e-6, atol=1e-6)
    assert align_max_entropy(*z, neighbours=1).isfinite()


@given(BATCHES, BATCHES)
def test_divergence_is_never_negative(means, log_variances) -> None:
    rows, columns = (min(means[0].shape[k], log_variances[0].shape[k]) for k in (0, 1))
    z = [DiagonalGaussian(*(part[:rows, :columns] for part in both)) for both in zip(means, log_variances, strict=True)]
    assert variational_bottleneck(*z) >= 0
