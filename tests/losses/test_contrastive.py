"""What is particular to each contrastive loss."""

from inspect import unwrap
from math import log

import pytest
import torch
from tests.losses.common import gradients, pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import info_nce, l2_info_nce, lp_info_nce, nt_xent, sigmoid_loss


def test_identical_representations_cannot_be_told_apart() -> None:
    one = torch.ones(8, 3)
    torch.testing.assert_close(info_nce(one, one).item(), log(8))
    torch.testing.assert_close(nt_xent(one, one).item(), log(15))
    assert abs(l2_info_nce(one, one).item()) < 1e-6
    assert abs(lp_info_nce(one, one, p=1.0).item()) < 1e-6


def test_similarities_may_come_from_sets_of_vectors() -> None:
    z_image, z_text = pairs(6, 4)
    queries = torch.stack([z_image, -z_image], dim=1)  # (batch, query, dim)
    best = info_nce(queries, z_text, similarity=lambda a, b: torch.einsum("iqd,jd->ijq", a, b).amax(-1))
    torch.testing.assert_close(best, info_nce(z_image, z_text, similarity=lambda a, b: (a @ b.T).abs()))


@pytest.mark.parametrize("noise", [1e-1, 1e-3])
def test_aligned_pairs_keep_an_accurate_gradient_in_float32(noise: float) -> None:
    z = pairs(32, 16, noise=noise)
    exact, rounded = gradients(info_nce, *z), gradients(info_nce, *(part.float() for part in z))
    assert (rounded - exact).norm() <= 1e-4 * exact.norm()


@pytest.mark.parametrize(
    ("z_image", "z_text", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(5, 3), r"shapes differ: z_image \(4, 3\), z_text \(5, 3\)"),
        (torch.zeros(4, 3), torch.zeros(4, 2), r"shapes differ: z_image \(4, 3\), z_text \(4, 2\)"),
        (torch.zeros(1, 3), torch.zeros(1, 3), r"batch must hold >= 2 pairs \(a contrast needs a negative\); got 1"),
        (torch.zeros(4, 3, 2), torch.zeros(4, 3, 2), r"must be \(batch, dim\); got \(4, 3, 2\)"),
    ],
)
def test_batches_that_do_not_pair_up_are_refused(z_image, z_text, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        unwrap(info_nce)(z_image, z_text)  # without the shape checks that only tests install


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a finite number > 0; got 0.0"),
        ({"temperature": -1.0}, "temperature must be a finite number > 0; got -1.0"),
        ({"label_smoothing": 1.5}, r"label_smoothing must be a probability in \[0, 1\]; got 1.5"),
        ({"temperature": True}, "temperature must be a finite number > 0; got True"),
        ({"similarity": "cosin"}, "unknown similarity 'cosin'; known: cosine, dot. Did you mean 'cosine'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        info_nce(*pairs(4, 3), **settings)


def test_overflow_is_said_instead_of_nan() -> None:
    z = torch.full((4, 3), 1e30)
    with pytest.raises(ShapeError, match=r"every input is finite: entries as large as 1.0e\+30 overflow"):
        info_nce(z, -z, similarity="dot")
    with pytest.raises(ShapeError, match="normalise or standardise them"):
        info_nce(z, -z, similarity="dot", block_size=2)


def test_two_is_one_of_the_powers() -> None:
    z = pairs(9, 4)
    torch.testing.assert_close(lp_info_nce(*z, p=2.0), l2_info_nce(*z))
    near = lp_info_nce(*z, p=2.0 + 1e-9)  # by distances, not by products
    torch.testing.assert_close(near, l2_info_nce(*z), rtol=1e-7, atol=1e-7)


def test_one_pair_is_enough_beside_fresh_negatives() -> None:
    (z_image, z_text), fresh = pairs(1, 4), pairs(6, 4, seed=1)[0]
    loss = l2_info_nce(z_image, z_text, negatives_image=fresh, negatives_text=fresh[:1])
    assert loss.isfinite()


def test_sigmoid_loss_of_separated_pairs_vanishes_with_the_temperature() -> None:
    z = torch.eye(4)
    assert sigmoid_loss(z, z, temperature=0.01, bias=-50.0) < 1e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 0.5}, r"p must be a finite number >= 1 \(below 1 there is no distance\); got 0.5"),
        ({"p": float("inf")}, "p must be a finite number >= 1"),
        ({"p": 2.0, "negatives_image": torch.zeros(2, 3)}, "give negatives_image and negatives_text together"),
        (
            {"p": 2.0, "negatives_image": torch.zeros(2, 3), "negatives_text": torch.zeros(0, 3)},
            r"negatives_text must be \(n >= 1, 3\), like z_image; got \(0, 3\)",
        ),
    ],
)
def test_impossible_powers_and_negatives_are_refused(settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lp_info_nce(*pairs(4, 3, dtype=torch.float32), **settings)
