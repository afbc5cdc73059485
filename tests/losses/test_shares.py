"""Shares of a loss: over slices that divide the batch, they add up to the whole."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.losses.common import CASES, Case, bilinear, gradients, pairs
from torch import Tensor

from vergence.errors import ConfigError
from vergence.losses import (
    DiagonalGaussian,
    LearnedTemperature,
    Objective,
    PosteriorTerm,
    WeightedTerm,
    alignment_penalty,
    gather_rows,
    info_nce,
    share_of,
    sum_over_processes,
    variational_bottleneck,
)
from vergence.random import generator

BLOCKS = [None, 4]


def sum_of_shares(case: Case, cuts: list[int], block_size: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    more = {"block_size": block_size} if case.blockwise and block_size else {}

    def total(z_image: Tensor, z_text: Tensor) -> Tensor:
        ends = [0, *cuts, len(z_image)]
        spans = [slice(a, b) for a, b in pairwise(ends)]
        shares = [share_of(case.fn, z_image, z_text, rows=rows, **case.settings, **more) for rows in spans]
        return torch.stack(shares).sum()

    return total


@pytest.mark.parametrize("block_size", BLOCKS)
@pytest.mark.parametrize("name", sorted(CASES))
def test_shares_and_their_gradients_add_up_to_the_loss(name: str, block_size: int | None) -> None:
    case, z = CASES[name], pairs(13, 5, noise=0.3)
    total = sum_of_shares(case, [1, 6], block_size)
    torch.testing.assert_close(total(*z), case(*z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients(total, *z), gradients(case, *z), rtol=1e-11, atol=1e-13)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 9), seed=st.integers(0, 99), name=st.sampled_from(["info_nce", "nt_xent", "sigmoid_loss"]))
def test_where_the_batch_is_cut_does_not_matter(cut: int, seed: int, name: str) -> None:
    z = pairs(10, 3, seed=seed)
    torch.testing.assert_close(sum_of_shares(CASES[name], [cut], None)(*z), CASES[name](*z), rtol=1e-11, atol=1e-12)


def test_a_loss_of_ones_own_is_shared_by_the_number_of_items() -> None:
    def own(z_image: Tensor, z_text: Tensor) -> Tensor:
        return (z_image @ z_text.T).logsumexp(1).sum()

    z = pairs(8, 3)
    shares = [share_of(own, *z, rows=slice(*ends)) for ends in ((0, 3), (3, 8))]
    torch.testing.assert_close(sum(shares), own(*z), rtol=1e-12, atol=0)


def test_every_part_of_an_objective_adds_up_with_what_it_learns_and_what_it_draws() -> None:
    means, logs = pairs(9, 4), pairs(9, 4, seed=1)
    z = [DiagonalGaussian(mean, log) for mean, log in zip(means, logs, strict=True)]
    objective = Objective(
        {
            "contrast": WeightedTerm(info_nce, temperature=LearnedTemperature(0.5)),
            "pull": WeightedTerm(alignment_penalty, 0.2),
            "bottleneck": PosteriorTerm(variational_bottleneck, 0.1),
        }
    )
    learned = list(objective.parameters())
    whole = objective(*z, generator=generator(5))
    whole_slope = torch.autograd.grad(whole.total, learned)[0]
    parts, slopes = [], []
    for ends in ((0, 2), (2, 9)):
        parts.append(objective(*z, generator=generator(5), rows=slice(*ends)))
        slopes.append(torch.autograd.grad(parts[-1].total, learned)[0])
    torch.testing.assert_close(sum(part.total for part in parts), whole.total, rtol=1e-6, atol=0)
    for name, term in whole.terms.items():
        torch.testing.assert_close(sum(part.terms[name] for part in parts), term, rtol=1e-6, atol=0)
    torch.testing.assert_close(sum(slopes), whole_slope, rtol=1e-5, atol=1e-7)


def test_rows_and_missing_modalities_exclude_each_other() -> None:
    z = dict(zip("ab", pairs(4, 2), strict=True))
    objective = Objective({"contrast": WeightedTerm(info_nce)})
    with pytest.raises(ConfigError, match="rows must be None where modalities are missing; got both rows and present"):
        objective(z, present={"a": torch.ones(4, dtype=torch.bool)}, rows=slice(0, 2))


def test_one_process_exchanges_nothing() -> None:
    z = torch.eye(3)
    assert gather_rows(z, [3]) is z
    assert sum_over_processes(z) is z


def test_an_own_similarity_keeps_its_sides() -> None:
    z = pairs(7, 3)
    shares = [share_of(info_nce, *z, rows=slice(*ends), similarity=bilinear) for ends in ((0, 4), (4, 7))]
    torch.testing.assert_close(sum(shares), info_nce(*z, similarity=bilinear), rtol=1e-12, atol=0)
