"""Training on the labels themselves: the loss is that of its parts, unknown labels teach nothing, and it learns."""

from math import nan

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vergence import Factor, FactorSpace
from vergence.encoders import DualEncoder
from vergence.errors import FactorError
from vergence.random import generator
from vergence.training import TrainConfig, train
from vergence.training.supervised import LabelHeads, Labels, label_codes, label_loss, supervised
from vergence.views import ViewPair

SPACE = FactorSpace((Factor("side", ("left", "right")), Factor("size")))


def labels() -> pd.DataFrame:
    return pd.DataFrame({"side": ["right", None, "left"], "size": [1.0, 3.0, None]})


def test_codes_are_places_and_standardised_numbers() -> None:
    torch.testing.assert_close(
        label_codes(labels(), SPACE), torch.tensor([[1, -1], [nan, 1], [0, nan]]), equal_nan=True
    )
    with pytest.raises(FactorError, match="its labels must be numbers; got 'huge'"):
        label_codes(labels().assign(size=["huge", 1, 2]), SPACE)
    with pytest.raises(FactorError, match="size"):
        label_codes(labels()[["side"]], SPACE)


def test_the_loss_is_the_sum_over_factors_of_means_over_known_labels() -> None:
    torch.manual_seed(0)
    heads, z = LabelHeads(4, SPACE), torch.randn(3, 4)
    side, size = (head(z) for head in heads.heads)
    wanted = (
        F.cross_entropy(side[[0, 2]], torch.tensor([1, 0])) + ((size[:2, 0] - torch.tensor([-1.0, 1.0])) ** 2).mean()
    )
    torch.testing.assert_close(label_loss(z, label_codes(labels(), SPACE), heads=heads()), wanted)


def test_a_batch_without_labels_teaches_nothing() -> None:
    z = torch.randn(2, 4, requires_grad=True)
    loss = label_loss(z, torch.full((2, 2), nan), heads=LabelHeads(4, SPACE)())
    assert loss.item() == 0


def test_labels_teach_an_encoder_to_tell_them() -> None:
    x = torch.randn(256, 8, generator=generator(0))
    known = pd.DataFrame({"side": ["right" if row[0] > 0 else "left" for row in x], "size": x[:, 1].tolist()})
    torch.manual_seed(0)
    objective = supervised(2, SPACE)
    result = train(
        DualEncoder(nn.Linear(8, 2), Labels()),
        ViewPair(image=x, text=label_codes(known, SPACE)),
        objective,
        TrainConfig(epochs=30, batch_size=64, learning_rate=0.05),
        generator=generator(1),
    )
    assert result.history["total"].iloc[-1] < 0.2 < result.history["total"].iloc[0]
