"""`standardize` against loops."""

import torch
from tests.losses.common import pairs
from tests.reference.losses import slow_standardize

from vergence.losses import standardize


def test_agrees_with_loops() -> None:
    z = pairs(9, 4)[0]
    expected = torch.tensor(slow_standardize(z, eps=1e-3), dtype=torch.float64)
    torch.testing.assert_close(standardize(z, eps=1e-3), expected, rtol=1e-12, atol=1e-13)
