"""What is particular to each contrastive loss."""

from inspect import unwrap
from math import log

import pytest
import torch
from tests.losses.common import gradients, pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import info_nce


def test_identical_representations_cannot_be_told_apart() -> None:
    torch.testing.assert_close(info_nce(torch.ones(8, 3), torch.ones(8, 3)).item(), log(8))


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
        info_nce(z, -z)
