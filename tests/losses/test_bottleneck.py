"""Terms that pull modalities together."""

from inspect import unwrap

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import alignment_penalty


def test_one_pair_is_enough() -> None:
    assert alignment_penalty(torch.zeros(1, 2), torch.ones(1, 2)).item() == 2.0


def test_unknown_distances_and_unpaired_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown distance 'cosin'; known: squared, cosine\. Did you mean 'cosine'"):
        alignment_penalty(*pairs(4, 3), distance="cosin")
    with pytest.raises(ShapeError, match="shapes differ"):
        unwrap(alignment_penalty)(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(ShapeError, match="batch must hold >= 1 pairs; got 0"):
        alignment_penalty(torch.zeros(0, 3), torch.zeros(0, 3))
