"""Batch statistics in training, running ones in evaluation."""

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import Standardize, standardize


def test_is_batch_norm_without_the_affine_map() -> None:
    ours, theirs = Standardize(4).double(), torch.nn.BatchNorm1d(4, affine=False).double()
    for seed in range(3):
        z = 3 * pairs(16, 4, seed=seed)[0] + 1
        torch.testing.assert_close(ours(z), theirs(z))
    torch.testing.assert_close(ours.eval()(z), theirs.eval()(z))


def test_evaluation_leaves_the_statistics_alone_and_takes_single_rows() -> None:
    layer = Standardize(4).eval()
    before = layer.mean.clone(), layer.variance.clone()
    layer(torch.ones(1, 4))
    torch.testing.assert_close((layer.mean, layer.variance), before)


def test_a_constant_dimension_becomes_zero() -> None:
    assert standardize(torch.full((5, 2), 3.0)).abs().max() == 0


def test_one_row_and_impossible_settings_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"batch must hold >= 2 rows \(one row has no variance\); got 1"):
        standardize(torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="eps must be a finite number > 0; got 0"):
        standardize(torch.zeros(2, 3), eps=0.0)
    with pytest.raises(ConfigError, match="momentum must be a probability"):
        Standardize(3, momentum=2.0)
