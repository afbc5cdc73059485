"""One training on the embedded set, and what probes read from it: the step that studies of its captions share."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from rich.progress import Progress
from torch import Tensor

from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder
from vergence.losses import Objective, WeightedTerm, alignment_penalty, info_nce
from vergence.probes import Labelled, encode, probe
from vergence.random import named
from vergence.studies.demo.corpus import Captioned, Corpus
from vergence.studies.demo.spec import DemoSpec
from vergence.studies.pool import Teller
from vergence.training import train
from vergence.views import random_shift


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained pair of encoders and what was measured of it.

    Args:
        encoder: The encoders.
        z_image: Representations of all images of the corpus, each of length 1.
        factors: By factor, the record of its probe: metric, value, low, high and counts.
        losses: Of the last epoch.
    """

    encoder: DualEncoder
    z_image: Float[Tensor, "n dim"]
    factors: dict[str, dict[str, Any]]
    losses: dict[str, float]


def train_and_probe(
    spec: DemoSpec, corpus: Corpus, captioned: Captioned, *, name: str, size: int, seed: int, folder: Path, tell: Teller
) -> Trained:
    """Train a dual encoder on the training half, and probe its images for every factor on concepts it has not seen.

    Args:
        spec: How to train.
        corpus: The images, their factors and the split.
        captioned: The captions.
        name: What the captions are called; everything random depends on it, on the size and on the seed.
        size: Output size.
        seed: Seed of the job.
        folder: Holds checkpoints; a training that was stopped in it goes on.
        tell: Is told how many epochs are done.

    Returns:
        Encoders and measurements.
    """
    encoder = make_encoder(len(captioned.vocabulary), size, seed=seed, name=name)
    result = train(
        encoder,
        captioned.views.take(corpus.train),
        Objective(
            {
                "contrast": WeightedTerm(info_nce, temperature=spec.temperature),
                "bottleneck": WeightedTerm(alignment_penalty, spec.bottleneck_weight),
            }
        ),
        spec.training,
        generator=named(seed, name, size, "training"),
        out=folder,
        resume=True,
        augment=partial(_shifted, spec.shift),
        callbacks=[lambda end: tell(end.epoch, end.epochs)],
        progress=Progress(disable=True),
    )
    z_image = encode(encoder, captioned.views).normalized().z_image
    factors = probe_images(corpus, z_image, generator=named(seed, name, size, "intervals"))
    losses = {str(key): float(value) for key, value in result.history.iloc[-1].drop("epoch").items()}
    return Trained(encoder, z_image, factors, losses)


def probe_images(corpus: Corpus, z_image: Tensor, *, generator: torch.Generator) -> dict[str, dict[str, Any]]:
    """Probe representations of all images for every factor, as JSON can hold it."""
    table = probe(*halves(corpus, z_image), corpus.emoji.space, generator=generator)
    return {row["factor"]: _record(row) for _, row in table.iterrows()}


def halves(corpus: Corpus, z: Tensor) -> tuple[Labelled, Labelled]:
    """Concepts that probes are fitted on, those of training, and concepts that nothing has seen."""
    emoji = corpus.emoji
    fit, test = (
        Labelled(z[rows], emoji.labels.iloc[rows].reset_index(drop=True), emoji.clusters[rows])
        for rows in (corpus.train, corpus.test)
    )
    return fit, test


def make_encoder(vocabulary_size: int, dim: int, *, seed: int, name: str) -> DualEncoder:
    """Make the encoders, initialised from a stream of their own; torch's own stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named(seed, name, dim, "weights").initial_seed())
        return DualEncoder(ConvEncoder(dim), BagOfWordsEncoder(vocabulary_size, dim))


def _shifted(pixels: int, images: Tensor, generator: torch.Generator) -> Tensor:
    return random_shift(images, pixels=pixels, generator=generator)


def _record(row: "pd.Series[Any]") -> dict[str, Any]:
    """One probe's row as JSON."""
    return {
        "metric": row["metric"],
        "value": float(row["score"]),
        "low": float(row["low"]),
        "high": float(row["high"]),
        "n_fit": int(row["n_fit"]),
        "n_test": int(row["n_test"]),
        "n_concepts": int(row["n_clusters"]),
    }
