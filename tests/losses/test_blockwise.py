"""What tiles must not change, and what they cannot do."""

import pytest
import torch
from tests.losses.common import gradients, pairs

from vergence.errors import ConfigError
from vergence.losses import info_nce, l2_info_nce, nt_xent, sigmoid_loss
from vergence.losses.blockwise import pair_logsumexp


@pytest.mark.parametrize("fn", [info_nce, nt_xent, l2_info_nce, sigmoid_loss])
def test_second_derivatives_are_refused_by_name(fn) -> None:
    z = [part.requires_grad_() for part in pairs(6, 3)]
    with pytest.raises(ConfigError, match="a blockwise loss has no second derivatives; take them with block_size=None"):
        torch.autograd.grad(fn(*z, block_size=2), z, create_graph=True)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3, 1e5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_survive_logits_that_one_exponential_cannot_hold(scale: float, dtype: torch.dtype) -> None:
    a, b = pairs(40, 3, dtype=dtype)
    a = a * scale
    a[:20] *= 1e-3  # rows of very different size share a tile
    leaves = [part.double().requires_grad_() for part in (a, b)]
    negatives = (leaves[0] @ leaves[1].T).masked_fill(torch.eye(40, dtype=torch.bool), -torch.inf)
    exact = negatives.logsumexp(1), negatives.logsumexp(0)
    rounded = [part.clone().requires_grad_() for part in (a, b)]
    blocked = pair_logsumexp(*rounded, paired=True, block_size=16)
    rtol = 30 * torch.finfo(dtype).eps * scale
    for ours, theirs in zip(blocked, exact, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=min(rtol, 1e-5), atol=rtol)
        expected = torch.autograd.grad(theirs.sum(), leaves, retain_graph=True)
        found = torch.autograd.grad(ours.sum(), rounded, retain_graph=True)
        assert all((x.double() - y).norm() <= rtol * y.norm() for x, y in zip(found, expected, strict=True))


def test_learned_temperature_and_bias_get_the_gradient_of_the_plain_form() -> None:
    def at(block_size: int | None) -> list[torch.Tensor]:
        settings = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.2, -2.0)]
        loss = sigmoid_loss(*pairs(9, 4), temperature=settings[0], bias=settings[1], block_size=block_size)
        loss = loss + info_nce(*pairs(9, 4), temperature=settings[0], block_size=block_size)
        return list(torch.autograd.grad(loss, settings))

    torch.testing.assert_close(at(4), at(None), rtol=1e-12, atol=0)


def test_parameters_of_a_similarity_get_their_gradient_by_blocks_too() -> None:
    weight = torch.eye(4, dtype=torch.float64, requires_grad=True)

    def at(block_size: int | None) -> torch.Tensor:
        loss = info_nce(*pairs(9, 4), similarity=lambda a, b: a @ weight @ b.T, block_size=block_size)
        return torch.autograd.grad(loss, weight)[0]

    torch.testing.assert_close(at(2), at(None), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("block_size", [None, 8])
def test_autocast_does_not_lower_the_precision_of_a_loss(block_size: int | None) -> None:
    z = pairs(32, 16, noise=0.5, dtype=torch.float32)
    for fn in (info_nce, nt_xent, l2_info_nce, sigmoid_loss):
        leaves = [part.requires_grad_() for part in z]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = fn(*leaves, block_size=block_size)
        found = torch.stack(torch.autograd.grad(loss, leaves))
        torch.testing.assert_close(found, gradients(lambda a, b, fn=fn: fn(a, b, block_size=block_size), *z))
