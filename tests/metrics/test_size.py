"""Suggested encoding sizes."""

import pytest
import torch

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import suggest_encoding_size
from vergence.random import named


def linear_pairs(
    selected: int, perturbed: int, *, dependent: bool = False, n: int = 1500, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that mix eight factors, texts that mix the first few, the last of those perturbed; three private each."""
    g = named(seed, selected, perturbed)

    def normal(dim: int) -> torch.Tensor:
        mixed = torch.randn(dim, dim, generator=g) if dependent else torch.eye(dim)  # covariance: Wishart(dim, I)
        return torch.randn(n, dim, generator=g) @ mixed

    factors = normal(8)
    recorded = factors[:, :selected].clone()
    if perturbed:
        recorded[:, -perturbed:] += (torch.rand(n, perturbed, generator=g) < 0.75) * normal(perturbed)
    image, text = (torch.cat([side, normal(3)], dim=1) for side in (factors, recorded))
    return tuple(side @ torch.randn(side.shape[1], side.shape[1], generator=g) for side in (image, text))


@pytest.mark.parametrize(
    ("selected", "perturbed", "dependent"),
    [(1, 0, False), (5, 0, False), (5, 2, False), (8, 4, False), (5, 0, True), (5, 2, True), (6, 4, True)],
)
def test_both_sizes_are_found_under_linear_mixing(selected: int, perturbed: int, dependent: bool) -> None:
    image, text = linear_pairs(selected, perturbed, dependent=dependent)
    size = suggest_encoding_size(image, text, generator=named(1), n_resamples=100)
    assert (size.shared, size.exact) == (selected, selected - perturbed)
    for count, (low, high) in ((size.shared, size.shared_interval), (size.exact, size.exact_interval)):
        assert low <= count <= high


def test_independent_modalities_share_nothing() -> None:
    g = named(0)
    size = suggest_encoding_size(*torch.randn(2, 400, 6, generator=g), generator=g, n_resamples=100)
    assert (size.shared, size.exact) == (0, 0)
    assert size.chance > 0


def test_dimensions_without_variance_and_copies_of_dimensions_do_not_count() -> None:
    image, text = linear_pairs(3, 1)
    padded = torch.cat([image, image[:, :4], torch.ones(len(image), 2)], dim=1)
    size = suggest_encoding_size(padded, text, generator=named(1), n_resamples=100)
    assert (size.shared, size.exact) == (3, 2)
    nothing = suggest_encoding_size(torch.ones(len(text), 4), text, generator=named(1))
    assert (nothing.shared, nothing.exact, nothing.correlations) == (0, 0, ())


def test_more_dimensions_than_pairs_still_give_numbers() -> None:
    g = named(0)
    x = torch.randn(60, 200, generator=g)
    size = suggest_encoding_size(x, x[:, :50] + torch.randn(60, 50, generator=g), generator=g, n_resamples=100)
    assert size.shared <= 6


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: suggest_encoding_size(z[:39], z[:39], generator=named(0)), ShapeError, "at least 40 pairs; got 39"),
        (lambda z: suggest_encoding_size(z, z[1:], generator=named(0)), ShapeError, "rows must pair one to one"),
        (lambda z: suggest_encoding_size(z, z, generator=named(0), tolerance=2.0), ConfigError, "tolerance must be a"),
        (lambda z: suggest_encoding_size(z, z, generator=named(0), n_resamples=9), ConfigError, "n_resamples must be"),
    ],
)
def test_what_cannot_be_estimated_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(torch.randn(50, 3, generator=named(0)))


def as_encoders_see(*, exact: int, graded: int, functions: int, n: int = 3000) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of encoders up to an error of training: factors, some wrong in the text, and functions of the others."""
    g = named(0, exact, graded, functions)
    s = torch.randn(n, exact + graded, generator=g)
    said = s.clone()
    said[:, exact:] += 0.9 * torch.randn(n, graded, generator=g)
    error = torch.linspace(0.1, 0.2, exact + graded)

    def outputs(factors: torch.Tensor) -> torch.Tensor:
        seen = factors + error * torch.randn(n, exact + graded, generator=g)
        spare = torch.stack([(seen[:, i % exact] ** 2 - 1) / 2 for i in range(functions)], dim=1)
        spare = spare + 0.9 * torch.randn(n, functions, generator=g)
        return torch.cat([seen, spare], dim=1) @ torch.randn(exact + graded + functions, 9, generator=g)

    return outputs(s), outputs(said)


@pytest.mark.parametrize(("exact", "graded", "functions"), [(3, 0, 3), (2, 2, 2), (1, 3, 1), (4, 1, 3)])
def test_functions_of_other_directions_are_no_dimensions_and_training_error_is_no_perturbation(
    exact: int, graded: int, functions: int
) -> None:
    sides = as_encoders_see(exact=exact, graded=graded, functions=functions)
    size = suggest_encoding_size(*sides, generator=named(1), tolerance=None, n_resamples=100)
    assert (size.shared, size.exact) == (exact + graded, exact)
    assert sum(rho > size.chance for rho in size.correlations) >= exact + graded + functions - 1
    assert len(size.own) == size.shared


def test_without_a_strong_direction_nothing_is_exact_and_a_tolerance_is_taken_at_its_word() -> None:
    g = named(2)
    x = torch.randn(2000, 3, generator=g)
    y = x + 0.7 * torch.randn(2000, 3, generator=g)  # 0.82
    for tolerance, exact in ((None, 0), (0.05, 0), (0.3, 3)):
        size = suggest_encoding_size(x, y, generator=named(0), tolerance=tolerance, n_resamples=100)
        assert (size.shared, size.exact) == (3, exact)
