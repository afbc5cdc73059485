"""Sampled latents as records and captions: what the text says of them, no more and nothing else."""

import math

import numpy as np
import torch

from vergence.factors import Factor, FactorSpace
from vergence.latent import LatentModel
from vergence.misalignment import Misalignment
from vergence.random import generator
from vergence.views import CaptionStyle, latent_labels, latent_record, render_captions

SPACE = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "grey", "light")), Factor("hue")))


def sample(misalignment: Misalignment, n: int = 4000):
    return LatentModel(SPACE, n_text_private=1).sample(n, misalignment, generator=generator(0))


def test_a_record_names_what_the_text_says_and_nothing_that_it_omits() -> None:
    latents = sample(Misalignment({"shape", "hue"}))
    record, labels = latent_record(latents), latent_labels(latents)
    assert list(record.columns) == ["shape", "hue"]
    assert list(labels.columns) == list(SPACE)
    assert record["shape"].tolist() == labels["shape"].tolist()
    assert set(record["shape"]) == {"cube", "ball"}
    torch.testing.assert_close(torch.tensor(record["hue"].tolist()), latents.column("hue"))


def test_rates_and_channels_of_the_misalignment_are_those_of_the_captions() -> None:
    misalignment = Misalignment.of_rates(mention={"shape": 1.0, "tone": 0.25}, redraw={"shape": 0.5})
    latents = sample(misalignment)
    record, labels = latent_record(latents), latent_labels(latents)
    assert abs(record["tone"].notna().mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)
    spoken = record["tone"].notna()
    assert record["tone"][spoken].tolist() == labels["tone"][spoken].tolist()
    wrong = np.mean(record["shape"] != labels["shape"])  # half are redrawn, and half of these come out right
    assert abs(wrong - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)
    captions = render_captions(record, CaptionStyle(openings=["a"]), generator=generator(1))
    mentions = np.array([any(tone in caption for tone in SPACE["tone"].values) for caption in captions])
    assert mentions.tolist() == spoken.tolist()


def test_a_number_is_worded_with_three_digits() -> None:
    record = latent_record(sample(Misalignment({"hue"}), n=5))
    for caption, value in zip(
        render_captions(record, CaptionStyle(phrases={"hue": "hue {value}"}, openings=["of"]), generator=generator(1)),
        record["hue"],
        strict=True,
    ):
        assert caption == f"of hue {value:.3g}"
