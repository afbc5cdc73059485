"""What every objective owes its user, one table of objectives by one list of claims."""

import pytest
import torch
from tests.losses.common import CASES, Case, gradients, pairs

pytestmark = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.mark.parametrize("noise", [None, 0.1])
def test_agrees_with_the_equation_written_as_loops(case: Case, noise: float | None) -> None:
    z = pairs(7, 4, noise=noise)
    torch.testing.assert_close(case(*z).item(), case.slow(*z), rtol=1e-12, atol=1e-13)


def test_gradient_is_that_of_the_value(case: Case) -> None:
    z = [part.requires_grad_() for part in pairs(5, 3)]
    assert torch.autograd.gradcheck(case, z)
    assert torch.autograd.gradgradcheck(case, z)


def test_order_of_the_pairs_does_not_matter(case: Case) -> None:
    z_image, z_text = pairs(8, 4)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(case(z_image[order], z_text[order]), case(z_image, z_text))


def test_modalities_can_be_swapped_where_the_equation_is_symmetric(case: Case) -> None:
    z_image, z_text = pairs(8, 4)
    same = torch.allclose(case(z_text, z_image), case(z_image, z_text))
    assert same == case.symmetric


def test_gradient_of_a_row_scales_with_one_over_the_batch(case: Case) -> None:
    small, large = (gradients(case, *pairs(batch, 4)) for batch in (64, 1024))
    ratio = small.norm(dim=-1).mean() / large.norm(dim=-1).mean()
    assert 8 < ratio < 32  # 16, were the rows of both batches the same


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    z = pairs(16, 4, dtype=dtype)
    loss = case(*z)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, case(*(part.float() for part in z)))
    assert gradients(case, *z).dtype == dtype


@pytest.mark.parametrize(
    "z",
    [torch.ones(4, 3), torch.zeros(4, 3), torch.cat([torch.zeros(1, 3), torch.ones(3, 3)]), 1e-30 * torch.ones(4, 3)],
    ids=["identical", "zero", "one zero row", "tiny"],
)
def test_degenerate_representations_give_a_finite_value_and_gradient(case: Case, z: torch.Tensor) -> None:
    assert case(z, z).isfinite()
    assert gradients(case, z, z).abs().max() < 1e3


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_named(case: Case, value: float) -> None:
    z_image, z_text = pairs(4, 3)
    z_text[1, 2] = value
    with pytest.raises(ValueError, match="z_text holds 1 entries that are NaN or infinite, of 12"):
        case(z_image, z_text)
