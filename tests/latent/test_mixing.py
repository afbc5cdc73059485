"""Mixings: conditioning and their sizes."""

from types import SimpleNamespace

import pytest
import torch

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import VergenceError
from vergence.latent import (
    LatentModel,
    LayeredMixing,
    condition_numbers,
    flow_mixing,
    mlp_mixing,
    orthogonal_mixing,
)
from vergence.random import generator
from vergence.views.numeric import draw_mixings


def test_layers_are_as_well_conditioned_as_the_best_of_a_thousand() -> None:
    weights = mlp_mixing(6, generator=generator(0)).weights
    others = torch.rand(25_000, 6, 6, dtype=torch.float64, generator=generator(1)) * 2 - 1
    numbers = torch.linalg.cond(others / others.norm(dim=1, keepdim=True))
    assert (torch.linalg.cond(weights) <= numbers.quantile(0.002)).all()
    torch.testing.assert_close(weights.norm(dim=1), torch.ones(3, 6, dtype=torch.float64))


def test_drawing_in_parts_keeps_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mlp_mixing(4, generator=generator(0), n_draws=3_000).weights
    monkeypatch.setattr("vergence.latent.mixing._CHUNK", 16 * 1_000)
    parts = mlp_mixing(4, generator=generator(0), n_draws=3_000).weights
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-14)


def test_orthogonal_layers_distort_no_more_than_the_relu() -> None:
    points = torch.randn(200, 8, dtype=torch.float64, generator=generator(1))
    numbers = condition_numbers(orthogonal_mixing(8, generator=generator(0)), points)
    assert (numbers <= 0.2**-2 * (1 + 1e-9)).all()
    assert (numbers >= 1).all()


def test_a_rotation_has_condition_number_one_and_a_flow_is_not_linear() -> None:
    points = torch.randn(50, 5, dtype=torch.float64, generator=generator(1))
    rotation = orthogonal_mixing(5, generator=generator(0), n_layers=1)
    torch.testing.assert_close(condition_numbers(rotation, points), torch.ones(50, dtype=torch.float64))
    flow = flow_mixing(5, generator=generator(0))
    assert not torch.allclose(flow(2 * points), 2 * flow(points))
    assert condition_numbers(flow, points).median() < 200


def test_mixings_have_the_sizes_of_model_and_misalignment() -> None:
    space = FactorSpace((Factor("hue"), Factor("tone"), Factor("shape", ("cube", "ball", "cone"))))
    model = LatentModel(space, n_image_private=2, n_text_private=1)
    bias = Misalignment.of_rates({"hue": 0.5, "shape": 1.0})
    mixings = draw_mixings(model, bias, generator=generator(0), draw=orthogonal_mixing)
    assert mixings.image.dim == 1 + 1 + 3 + 2
    assert mixings.text.dim == 2 + 3 + 1  # a graded continuous factor says whether it was mentioned


def with_condition(smallest: float, *, dim: int = 30, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A layer whose singular values go from 1 down to the smallest, in directions drawn at random."""
    left, right = torch.linalg.qr(torch.randn(2, dim, dim, dtype=torch.float64, generator=generator(2)))[0]
    values = torch.linspace(1, smallest, dim, dtype=torch.float64)
    return (left * values @ right)[None].to(dtype)


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1.0, 1e20, 1e200])
def test_whether_a_layer_is_singular_is_relative_to_its_largest_value(scale: float) -> None:
    LayeredMixing(with_condition(1e-9) * scale)
    with pytest.raises(VergenceError, match="weights must be invertible; a layer's smallest singular value is"):
        LayeredMixing(with_condition(0.0) * scale)
    with pytest.raises(VergenceError, match="weights must be invertible"):
        LayeredMixing(with_condition(1e-18) * scale)


@pytest.mark.parametrize(
    ("dtype", "kept", "lost"),
    [(torch.float64, 1e-11, 1e-17), (torch.float32, 1e-3, 1e-10), (torch.bfloat16, 1.0, 1e-4)],
)
def test_whether_a_layer_is_singular_depends_on_what_its_type_can_tell(
    dtype: torch.dtype, kept: float, lost: float
) -> None:
    LayeredMixing(with_condition(kept, dim=4, dtype=dtype))
    exact = torch.diag(torch.tensor([1.0, 1.0, 1.0, lost], dtype=torch.float64))[None].to(dtype)
    with pytest.raises(VergenceError, match=f"to be told from 0 in {dtype}"):
        LayeredMixing(exact)


def test_whole_numbers_make_no_layer() -> None:
    with pytest.raises(VergenceError, match=r"floating-point numbers; got torch.int64; pass weights.double\(\)"):
        getattr(LayeredMixing.__post_init__, "__wrapped__", LayeredMixing.__post_init__)(
            SimpleNamespace(slope=0.2, weights=torch.ones(1, 2, 2, dtype=torch.int64))
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp_mixing(0, generator=generator(0)), "dim must be >= 1"),
        (lambda: mlp_mixing(2, generator=generator(0), n_layers=0), "n_layers must be >= 1"),
        (lambda: mlp_mixing(2, generator=generator(0), n_draws=2), "n_draws must be >= 3"),
        (lambda: orthogonal_mixing(2, generator=generator(0), slope=0.0), "slope must be a finite number > 0"),
        (lambda: flow_mixing(1, generator=generator(0)), r"dim must be >= 2 \(one half moves the other\)"),
        (
            lambda: LayeredMixing(torch.ones(1, 2, 3)),
            r"weights must be a stack of square matrices .* got shape \(1, 2, 3\)",
        ),
        (lambda: LayeredMixing(torch.ones(1, 2, 2)), "weights must be invertible"),
        (lambda: LayeredMixing(torch.zeros(1, 2, 2)), "weights must be invertible"),
        (lambda: LayeredMixing(torch.stack([torch.eye(2), torch.ones(2, 2)])), "weights must be invertible"),
        (lambda: LayeredMixing(torch.full((1, 2, 2), torch.nan)), "weights holds 4 entries that are NaN"),
        (
            lambda: orthogonal_mixing(3, generator=generator(0))(torch.ones(4, 2)),
            r"this mixing takes vectors of 3 numbers; got shape \(4, 2\)",
        ),
    ],
)
def test_impossible_mixings_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()
