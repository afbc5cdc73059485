"""Mathematics of the losses, on inputs that hypothesis chooses."""

from math import log

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.losses.common import pairs

from vergence.losses import alignment_penalty, info_nce, standardize

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
