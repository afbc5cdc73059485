"""What every objective owes its user, one table of objectives by one list of claims."""

from functools import partial

import pytest
import torch
from tests.losses.common import CASES, Case, gradients, pairs

from vergence import losses
from vergence.errors import ConfigError, ShapeError
from vergence.losses import share_of

SHARED = {value for name in losses.__all__ if callable(value := getattr(losses, name))}

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
BLOCKWISE = {name: case for name, case in CASES.items() if case.blockwise}
every_blockwise = pytest.mark.parametrize("case", BLOCKWISE.values(), ids=BLOCKWISE.keys())


@every
@pytest.mark.parametrize("noise", [None, 0.1])
def test_value_and_gradient_agree_with_the_equation_written_as_loops(case: Case, noise: float | None) -> None:
    z = pairs(7, 4, noise=noise)
    torch.testing.assert_close(case(*z), case.slow(*z), rtol=1e-12, atol=1e-13)
    exact = gradients(case.slow, *z)
    for settings in [{}, {"block_size": 3}] if case.blockwise else [{}]:
        found = gradients(lambda *z, settings=settings: case(*z, **settings), *z)
        assert (found - exact).norm() <= 1e-12 * exact.norm()


@every
def test_gradient_is_that_of_the_value(case: Case) -> None:
    z = [part.requires_grad_() for part in pairs(5, 3)]
    assert torch.autograd.gradcheck(case, z)
    if case.twice:
        assert torch.autograd.gradgradcheck(case, z)


@every
def test_order_of_the_pairs_does_not_matter(case: Case) -> None:
    z_image, z_text = pairs(8, 4)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(case(z_image[order], z_text[order]), case(z_image, z_text))


@every
def test_modalities_can_be_swapped_where_the_equation_is_symmetric(case: Case) -> None:
    z_image, z_text = pairs(8, 4)
    assert torch.allclose(case(z_text, z_image), case(z_image, z_text)) == case.symmetric


@every
def test_gradient_of_a_row_shrinks_with_the_batch_as_documented(case: Case) -> None:
    small, large = (gradients(case, *pairs(batch, 4)) for batch in (64, 1024))
    ratio = small.norm(dim=-1).mean() / large.norm(dim=-1).mean()
    assert case.shrinks[0] < ratio < case.shrinks[1]


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    z = pairs(16, 4, dtype=dtype)
    loss = case(*z)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, case(*(part.float() for part in z)), rtol=1e-2, atol=1e-2)
    assert gradients(case, *z).dtype == dtype


@every
def test_autocast_changes_neither_the_value_nor_the_gradient(case: Case) -> None:
    z = pairs(16, 8, noise=0.5, dtype=torch.float32)
    for settings in [{}, {"block_size": 5}] if case.blockwise else [{}]:
        leaves = [part.clone().requires_grad_() for part in z]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = case(*leaves, **settings)
        found = torch.stack(torch.autograd.grad(value, leaves))
        expected = case(*z, **settings)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found, gradients(lambda *z, s=settings: case(*z, **s), *z), rtol=1e-4, atol=1e-6)


@every
def test_autocast_does_not_change_what_some_items_contribute(case: Case) -> None:
    z = pairs(16, 8, noise=0.5, dtype=torch.float32)
    if case.fn in SHARED:
        share = partial(share_of, case.fn, *z, rows=slice(3, 9), **case.settings)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = share()
        torch.testing.assert_close(found, share(), rtol=1e-6, atol=1e-6)


@every
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1e20), (torch.float64, 1e150)])
def test_scale_is_of_no_account_to_cosines_however_large_or_small(case: Case, dtype: torch.dtype, scale: float) -> None:
    z_image, z_text = pairs(8, 4, noise=0.5, dtype=dtype)
    of_image, of_text = gradients(case, z_image, z_text)
    for by_image, by_text in ((scale, scale), (1 / scale, 1 / scale), (scale, 1 / scale)):
        if case.scale:
            scaled = z_image * by_image, z_text * by_text
            torch.testing.assert_close(case(*scaled), case(z_image, z_text), rtol=1e-5, atol=1e-6)
            found = gradients(case, *scaled)
            torch.testing.assert_close(found[0] * by_image, of_image, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found[1] * by_text, of_text, rtol=1e-4, atol=1e-5)


@every
def test_one_side_wider_than_the_other_is_computed_in_the_wider_type(case: Case) -> None:
    z_image, z_text = pairs(8, 4)
    found = case(z_image, z_text.float())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, case(z_image, z_text.float().double()))


@every
def test_what_is_no_floating_point_tensor_is_refused_by_name(case: Case) -> None:
    z_image, z_text = pairs(8, 4)
    for wrong, said in (
        (z_text.long(), "must hold floating-point numbers, densely; got torch.int64"),
        (z_text > 0, "must hold floating-point numbers, densely; got torch.bool"),
        (z_text.to(torch.complex64), "must hold floating-point numbers, densely; got torch.complex64"),
        (z_text.to_sparse(), "must hold floating-point numbers, densely; got torch.sparse_coo"),
        (z_text.tolist(), "must be a Tensor; got a list"),
        (z_text.numpy(), "must be a Tensor; got a ndarray"),
        (z_text.to("meta"), "must be on one device; got .* on cpu, .* on meta"),
    ):
        if case.fn in SHARED:
            with pytest.raises(ShapeError, match=said):
                case(z_image, wrong)


@every
@pytest.mark.parametrize(
    "z",
    [torch.ones(4, 3), torch.zeros(4, 3), torch.cat([torch.zeros(1, 3), torch.ones(3, 3)]), 1e-30 * torch.ones(4, 3)],
    ids=["identical", "zero", "one zero row", "tiny"],
)
def test_degenerate_representations_give_a_finite_value_and_gradient(case: Case, z: torch.Tensor) -> None:
    assert case(z, z).isfinite()
    assert gradients(case, z, z).abs().max() < 1e3
    if case.blockwise:
        torch.testing.assert_close(case(z, z, block_size=3), case(z, z))


@every
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_named(case: Case, value: float) -> None:
    z_image, z_text = pairs(5, 3)
    z_text[1, 2] = value
    with pytest.raises(ValueError, match="_text holds 1 entries that are NaN or infinite, of 15"):
        case(z_image, z_text)


@every
def test_one_pair_alone_is_refused_where_a_negative_is_needed_and_finite_elsewhere(case: Case) -> None:
    z = pairs(1, 3)
    if case.alone:
        assert case(*z).isfinite()
    else:
        with pytest.raises(ShapeError, match="batch must hold"):
            case(*z)


@every_blockwise
@pytest.mark.parametrize("block_size", [1, 3, 11, 100])
def test_blocks_change_neither_the_value_nor_the_gradient(case: Case, block_size: int, monkeypatch) -> None:
    monkeypatch.setattr("vergence.losses.blockwise._TILE", 12)  # several tiles in a row, as in a large batch
    z = pairs(11, 4)
    torch.testing.assert_close(case(*z, block_size=block_size), case(*z), rtol=1e-12, atol=1e-12)
    blocked = gradients(lambda a, b: case(a, b, block_size=block_size), *z)
    torch.testing.assert_close(blocked, gradients(case, *z), rtol=1e-12, atol=1e-12)


@every_blockwise
def test_blockwise_gradient_is_that_of_the_value(case: Case) -> None:
    z = [part.requires_grad_() for part in pairs(5, 3)]
    assert torch.autograd.gradcheck(lambda a, b: case(a, b, block_size=2), z)


@every
def test_float32_gradients_are_accurate_on_independent_representations(case: Case) -> None:
    z = pairs(256, 16)
    exact = gradients(case, *z)
    for settings in [{}, {"block_size": 100}] if case.blockwise else [{}]:
        rounded = gradients(lambda *z, settings=settings: case(*z, **settings), *(part.float() for part in z))
        assert (rounded - exact).norm() <= 2e-6 * exact.norm()


@every_blockwise
@pytest.mark.parametrize("noise", [0.3, 0.1, 0.01])
def test_blocks_are_as_accurate_on_aligned_pairs_as_the_plain_form(case: Case, noise: float) -> None:
    z = pairs(256, 16, noise=noise)
    exact, floats = gradients(case, *z), [part.float() for part in z]
    plain = (gradients(case, *floats) - exact).norm()
    blocked = (gradients(lambda a, b: case(a, b, block_size=100), *floats) - exact).norm()
    assert blocked <= 4 * plain


@every_blockwise
def test_blocks_hold_at_least_a_row(case: Case) -> None:
    with pytest.raises(ConfigError, match="block_size must be >= 1; got 0"):
        case(*pairs(5, 3), block_size=0)
