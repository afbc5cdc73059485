"""Held-out canonical correlations: what changes them and what does not, chance, intervals, degenerate sides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import CanonicalSpectrum, canonical_spectrum
from vergence.metrics.canonical import spectrum_of_rows
from vergence.metrics.files import read_embeddings
from vergence.metrics.rows import Rows, equal_rows
from vergence.random import named


def graded(
    *strengths: float, n: int, dim: int = 0, seed: int = 0, captions: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sides of Gaussian pairs with these canonical correlations, and zeros up to `dim`, behind linear mixings."""
    g = named(seed, n, dim, *strengths)
    sigma = torch.zeros(max(dim, len(strengths)))
    sigma[: len(strengths)] = torch.tensor(strengths)
    x = torch.randn(n, len(sigma), generator=g).repeat_interleave(captions, 0)
    y = sigma * x + (1 - sigma**2).sqrt() * torch.randn(n * captions, len(sigma), generator=g)
    return tuple(side @ torch.randn(len(sigma), len(sigma), generator=g).double() for side in (x.double(), y.double()))


def values(found: CanonicalSpectrum) -> torch.Tensor:
    return torch.tensor([one.value for one in found.strengths], dtype=torch.float64)


@given(st.integers(0, 1000), st.floats(-6, 6), st.floats(-3, 3))
@settings(max_examples=8, deadline=None)
def test_linear_maps_of_either_side_and_their_order_change_nothing(seed: int, power: float, shift: float) -> None:
    x, y = graded(0.9, 0.5, n=120, dim=4, seed=seed)
    g = named(seed, "maps")
    maps = [torch.randn(4, 4, generator=g).double() + 3 * torch.eye(4) for _ in range(2)]
    found = canonical_spectrum(x, y, generator=named(0), n_shuffles=100)
    mapped = canonical_spectrum(10**power * (x @ maps[0]) + shift, y @ maps[1], generator=named(0), n_shuffles=100)
    swapped = canonical_spectrum(y, x, generator=named(0), n_shuffles=100)
    for other in (mapped, swapped):
        torch.testing.assert_close(values(other), values(found), rtol=1e-7, atol=1e-8)
    assert mapped.chance == pytest.approx(found.chance, rel=1e-6)
    for one in found.strengths:
        assert -1 <= one.low <= one.value <= one.high <= 1


def test_sides_that_determine_each_other_correlate_fully_and_independent_ones_by_chance() -> None:
    g = named(3)
    x = torch.randn(300, 6, generator=g)
    whole = canonical_spectrum(x, x[:, :4] @ torch.randn(4, 4, generator=g), generator=g, n_shuffles=100)
    assert all(one.value > 1 - 1e-9 and one.high > 1 - 1e-9 for one in whole.strengths)
    nothing = [
        canonical_spectrum(*torch.randn(2, 200, 6, generator=g), generator=g, n_shuffles=100).above_chance
        for _ in range(20)
    ]
    assert sum(nothing) <= 3  # 0.2 expected


def test_intervals_hold_the_strengths_of_the_population() -> None:
    held = [
        [one.low <= sigma <= one.high for one, sigma in zip(found.strengths, (0.95, 0.6), strict=True)]
        for seed in range(60)
        for found in [canonical_spectrum(*graded(0.95, 0.6, n=300, seed=seed), generator=named(0), n_shuffles=100)]
    ]
    assert (np.mean(held, 0) >= 0.87).all()  # 0.95 and more expected


def test_a_shuffle_is_what_chance_gives_in_few_and_in_many_dimensions() -> None:
    """The threshold of fitted directions kept, past 32 dimensions, is that of directions fitted anew."""
    chances = {}
    for dim in (32, 33):
        x, y = graded(0.9, 0.8, n=1000, dim=dim)
        chances[dim] = canonical_spectrum(x, y, generator=named(0), n_shuffles=300).chance
    assert chances[33] == pytest.approx(chances[32], rel=0.25)
    assert chances[33] == pytest.approx(3.43 / 1000**0.5, rel=0.2)  # the normal quantile at 0.99 ** (1 / 33)


def test_chance_and_limits_shrink_with_pairs_that_are_only_sampled() -> None:
    few, many = (
        canonical_spectrum(*graded(0.5, n=n, dim=3), generator=named(0), n_shuffles=300) for n in (1000, 64_000)
    )
    assert few.chance / many.chance == pytest.approx(8, rel=0.25)
    widths = [found.strengths[0].high - found.strengths[0].low for found in (few, many)]
    assert widths[0] / widths[1] == pytest.approx(8, rel=0.25)


def test_captions_of_one_image_are_one_draw() -> None:
    x, y = graded(0.6, n=200, dim=3, captions=5)
    clusters = torch.arange(200).repeat_interleave(5)
    alone = canonical_spectrum(x, y, generator=named(0))
    together = canonical_spectrum(x, y, clusters, generator=named(0))
    assert (together.pairs, together.clusters) == (1000, 200)
    assert together.chance > 1.8 * alone.chance
    assert together.strengths[0].high - together.strengths[0].low > alone.strengths[0].high - alone.strengths[0].low
    for half in together.held_out:
        assert len(half.rows) == 5 * len(torch.unique(half.clusters))
    halves = [set(clusters[half.rows].tolist()) for half in together.held_out]
    assert not halves[0] & halves[1]


def test_sides_without_variance_or_with_copies_have_fewer_directions() -> None:
    x, y = graded(0.9, 0.5, n=200, dim=3)
    copies = torch.cat([x, x[:, :2], torch.full((200, 2), 1e6)], dim=1)
    found = canonical_spectrum(copies, y, generator=named(0))
    assert found.ranks == (3, 3)
    torch.testing.assert_close(values(found), values(canonical_spectrum(x, y, generator=named(0))), atol=1e-6, rtol=0)
    nothing = canonical_spectrum(torch.ones(200, 2), y, generator=named(0))
    assert (nothing.strengths, nothing.chance, nothing.above_chance) == ((), 0.0, 0)


def test_more_columns_than_pairs_give_a_fifth_of_the_fitted_pairs_at_most() -> None:
    g = named(0)
    x = torch.randn(60, 500, generator=g)
    found = canonical_spectrum(x, x @ torch.randn(500, 80, generator=g) / 30, generator=g)
    assert len(found.strengths) == 6
    assert all(abs(one.value) <= 1 for one in found.strengths)


def test_rows_of_a_file_in_another_order_give_the_same(tmp_path) -> None:
    x, y = (side.float().numpy() for side in graded(0.9, 0.5, n=500, dim=4))
    order = np.random.default_rng(0).permutation(500)
    behind = np.empty_like(y)
    behind[order] = y
    rows = [Rows(values=x, name="x"), Rows(values=behind, order=order, name="y")]
    found, expected = spectrum_of_rows(*rows, generator=named(0)), canonical_spectrum(x, y, generator=named(0))
    assert found.strengths == expected.strengths
    assert found.chance == expected.chance


def test_equal_rows_are_found_bit_by_bit() -> None:
    x = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    assert equal_rows(Rows(values=x, name="x")).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: canonical_spectrum(z[:39], z[:39], generator=named(0)), ShapeError, "at least 40 pairs; got 39"),
        (
            lambda z: canonical_spectrum(z, z, torch.arange(50) // 2, generator=named(0)),
            ShapeError,
            "at least 40 clusters of pairs; got 25",
        ),
        (lambda z: canonical_spectrum(z, z[1:], generator=named(0)), ShapeError, "rows must pair one to one"),
        (lambda z: canonical_spectrum(z, z / 0, generator=named(0)), ShapeError, "y holds 150 entries that are NaN"),
        (lambda z: canonical_spectrum(z, z, generator=named(0), level=1.0), ConfigError, "level must be"),
        (lambda z: canonical_spectrum(z, z, generator=named(0), null_level=0.0), ConfigError, "null_level must be"),
        (lambda z: canonical_spectrum(z, z, generator=named(0), n_shuffles=99), ConfigError, "n_shuffles must be"),
    ],
)
def test_what_cannot_be_correlated_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(torch.randn(50, 3, generator=named(0)))


def test_a_mapped_file_reads_as_an_array_in_any_order(tmp_path) -> None:
    x, y = (side.float().numpy() for side in graded(0.9, 0.5, n=700, dim=4))
    order = np.random.default_rng(0).permutation(700)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.asfortranarray(y[np.argsort(order)]))
    mapped = [read_embeddings(tmp_path / f"{name}.npy", mapped=True) for name in "xy"]
    assert all(one.mapping is not None for one in mapped)
    sides = mapped[0].rows(), mapped[1].rows(order)
    for part in (slice(3, 600), torch.tensor([5, 699, 0])):
        np.testing.assert_array_equal(sides[0][part], x[part])
        np.testing.assert_array_equal(sides[1][part], y[part])
    expected = canonical_spectrum(x, y, generator=named(0))
    assert spectrum_of_rows(*sides, generator=named(0)).strengths == expected.strengths
    sides[0][slice(0, 5)].zero_()  # what is taken is the reader's own
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
