"""Readers in and out of domain, and leakage, on representations whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from vergence import Factor
from vergence.errors import ShapeError
from vergence.probes import Labelled
from vergence.probes.robustness import leakage, paired_difference, robustness

LABEL, CUE = Factor("label", ("a", "b")), Factor("cue", ("x", "y"))


def items(agree, *, n=4000, seed=0, cue_shown=3.0):
    draw = np.random.default_rng(seed)
    y = draw.integers(2, size=n)
    s = np.where(draw.random(n) < agree, y, 1 - y)
    z = np.stack([1.5 * y + draw.normal(size=n), cue_shown * s + draw.normal(size=n)], axis=1)
    labels = pd.DataFrame({"label": np.array(["a", "b"])[y], "cue": np.array(["x", "y"])[s]})
    return Labelled(torch.from_numpy(z), labels, np.arange(n) + n * seed)


def test_a_tied_cue_misleads_a_plain_reader_and_not_those_that_know_it():
    domains = {"in": items(0.9, seed=1), "reversed": items(0.1, seed=2)}
    table = robustness(items(0.9), domains, label=LABEL, cue=CUE).set_index(["reader", "domain"])
    accuracy = table["accuracy"].unstack()
    assert accuracy.loc["plain", "in"] > 0.85
    assert accuracy.loc["plain", "reversed"] < 0.55
    best = 0.773  # Φ(.75): of the label's own direction
    for reader in ("reweighted", "group DRO"):
        assert abs(accuracy.loc[reader, "reversed"] - best) < 0.04
        assert table.loc[(reader, "reversed"), "equalised_odds"] < 0.12
        assert table.loc[(reader, "reversed"), "worst_group"] > 0.7
    # the label goes with the cue: to erase the one linearly takes most of the other
    assert accuracy.loc["erased", "in"] < accuracy.loc["reweighted", "in"]


def test_without_the_cue_all_readers_are_alike_in_every_domain():
    domains = {"in": items(0.9, seed=1, cue_shown=0.0), "reversed": items(0.1, seed=2, cue_shown=0.0)}
    table = robustness(items(0.9, cue_shown=0.0), domains, label=LABEL, cue=CUE, readers=("plain", "group DRO"))
    assert table["accuracy"].between(0.73, 0.81).all()


def test_what_the_label_tells_of_the_cue_is_no_leakage_beyond_it():
    silent = [items(0.9, seed=seed, cue_shown=0.0) for seed in (0, 1)]
    found = leakage(*silent, CUE, given=[LABEL])
    assert found.nats > 0.05  # by the label
    assert abs(found.nats_given) < 0.01
    telling = [items(0.9, seed=seed) for seed in (0, 1)]
    assert leakage(*telling, CUE, given=[LABEL]).nats_given > 0.1
    assert leakage(*telling, CUE).matthews > 0.8


def test_intervals_of_paired_trials():
    same = paired_difference(np.ones(3), np.ones(3))
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert np.isnan(paired_difference(np.ones(1), np.zeros(1)).low)
    with pytest.raises(ShapeError, match="pair"):
        paired_difference(np.ones(2), np.ones(3))
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        shared = draw.normal(size=5)
        found = paired_difference(shared + draw.normal(size=5) * 0.1 + 0.3, shared)
        covered += found.low <= 0.3 <= found.high
    assert 930 <= covered <= 970


def test_what_is_not_known_of_every_item_is_refused():
    gap = items(0.9)
    gap.labels.loc[3, "cue"] = None
    with pytest.raises(ShapeError, match="cue must be known for every item; 1 have none"):
        robustness(gap, {}, label=LABEL, cue=CUE)
