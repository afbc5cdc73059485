"""What a direction speaks of: factors that it is a function of, linear or not, and no others."""

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.errors import ConfigError, ShapeError
from vergence.factors import Factor, FactorSpace
from vergence.metrics import canonical_spectrum, concepts_of
from vergence.random import named

SPACE = FactorSpace((Factor("shape", ("cone", "cube", "ball")), Factor("size"), Factor("tone"), Factor("noise")))


@pytest.fixture(scope="module")
def items() -> tuple[torch.Tensor, torch.Tensor, pd.DataFrame]:
    """Both sides hold shape and, more weakly, size and the square of tone."""
    g = named(0, "concepts")
    shape = torch.randint(3, (1500,), generator=g)
    size, tone, noise = torch.randn(3, 1500, generator=g)
    shown = torch.cat([torch.eye(3)[shape], size[:, None], (tone**2 - 1)[:, None] / 2**0.5], dim=1)
    spread = torch.tensor([0.05, 0.05, 0.05, 0.4, 0.9])
    sides = [(shown + spread * torch.randn(1500, 5, generator=g)) @ torch.randn(5, 5, generator=g) for _ in range(2)]
    labels = {"shape": np.array(SPACE["shape"].values)[shape], "size": size, "tone": tone, "noise": noise}
    return *sides, pd.DataFrame(labels)


def test_each_direction_names_its_factor_and_nothing_that_is_independent(items) -> None:
    x, y, labels = items
    spectrum = canonical_spectrum(x, y, generator=named(0))
    found = concepts_of(spectrum, labels, SPACE, generator=named(1))
    assert spectrum.above_chance == 4
    strongest = found.groupby("direction").first()
    assert strongest["factor"].tolist() == ["shape", "shape", "size", "tone"]
    assert (strongest["ratio"] > [0.95, 0.95, 0.85, 0.6]).all()
    assert (strongest["ratio"] > strongest["chance"]).all()
    noise = found[found["factor"] == "noise"]
    assert (noise["ratio"] <= noise["chance"]).all()


def test_missing_labels_are_left_out_and_a_factor_that_names_items_says_nothing(items) -> None:
    x, y, labels = items
    gaps = labels.assign(shape=labels["shape"].where(np.arange(1500) % 2 == 0))
    many = FactorSpace((*SPACE.factors[:1], Factor("item", tuple(map(str, range(1500))))))
    spectrum = canonical_spectrum(x, y, generator=named(0))
    found = concepts_of(spectrum, gaps.assign(item=[str(i) for i in range(1500)]), many, generator=named(1))
    by_factor = found[found["direction"] == 0].set_index("factor")["ratio"]
    assert by_factor["shape"] > 0.9
    assert by_factor["item"] == 0


def test_without_a_direction_above_chance_nothing_is_spoken_of() -> None:
    g = named(0)
    spectrum = canonical_spectrum(*torch.randn(2, 100, 3, generator=g), generator=named(5))
    assert spectrum.above_chance == 0
    assert concepts_of(spectrum, pd.DataFrame({"size": range(100)}), SPACE.subset(["size"]), generator=g).empty


def test_labels_of_other_items_are_refused(items) -> None:
    x, y, labels = items
    spectrum = canonical_spectrum(x, y, generator=named(0))
    with pytest.raises(ShapeError, match="a row for each of the 1500 pairs; got 7"):
        concepts_of(spectrum, labels[:7], SPACE, generator=named(0))
    with pytest.raises(ConfigError, match="n_shuffles must be >= 100; got 3"):
        concepts_of(spectrum, labels, SPACE, generator=named(0), n_shuffles=3)
