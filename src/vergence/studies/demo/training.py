"""One training on the embedded set, and what probes read from it: the step that studies of its captions share.

Everything random depends on the seed and the output size alone: trainings on different captions start from the same
image encoder, see the same batches and are probed on the same concepts, so that captions are all that differs. The
floor is that encoder before any step, the ceiling the same one taught by the labels themselves.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from rich.progress import Progress
from torch import Tensor

from vergence.data import STYLE
from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder
from vergence.losses import Objective, WeightedTerm, alignment_penalty, info_nce
from vergence.metrics.scale import unit
from vergence.probes import Labelled, encode, probe
from vergence.random import named
from vergence.studies.demo.corpus import Captioned, Corpus, caption, load_corpus, queries
from vergence.studies.demo.spec import FLOOR, Recipe, Teaching
from vergence.studies.study import Tell
from vergence.training import train
from vergence.training.checkpoint import write_tensors
from vergence.training.supervised import Labels, label_codes, supervised
from vergence.views import ViewPair, random_shift

_EXAMPLES = 4  # captions shown for each policy
_HITS = 6  # images shown for each query


@dataclass(frozen=True, eq=False)
class Taught:
    """A pair of encoders and what was measured of it.

    Args:
        rows: A row for each factor: side, factor, metric, value, low, high and counts.
        losses: Of the last epoch; empty if there was none.
        captions: Of a few images; empty without captions.
        retrieval: The images nearest to each query; empty without captions.
    """

    rows: list[dict[str, Any]]
    losses: dict[str, float]
    captions: list[dict[str, str]]
    retrieval: list[dict[str, Any]]


def key_of(teaching: Teaching) -> Mapping[str, Any]:
    """Everything that a training's result depends on; captions count by what they say, not by what they are called."""
    corpus = load_corpus(teaching.recipe, seed=teaching.seed, data=teaching.data)
    taught_by = _captioned(corpus, teaching).digest() if teaching.policy else teaching.name
    return {
        "taught_by": taught_by,
        "encoding_size": teaching.encoding_size,
        "seed": teaching.seed,
        "recipe": asdict(teaching.recipe),
        "data": corpus.digest(),
    }


def teach(teaching: Teaching, *, folder: Path, tell: Tell) -> Taught:
    """Train an encoder, or leave it as it is, and probe its images for every factor on concepts it has not seen.

    Args:
        teaching: What to train.
        folder: Gets the encoder's weights, and holds checkpoints; a training that was stopped in it goes on.
        tell: Is told how many epochs are done.

    Returns:
        Measurements and examples.
    """
    recipe, size, seed = teaching.recipe, teaching.encoding_size, teaching.seed
    tell(0, recipe.training.epochs)
    corpus = load_corpus(recipe, seed=seed, data=teaching.data)
    captioned = _captioned(corpus, teaching) if teaching.policy else None
    with torch.random.fork_rng(devices=[]):  # torch's own stream is left as it was
        torch.manual_seed(named(seed, size, "weights").initial_seed())
        image = ConvEncoder(size)  # first, so that no captions change its weights
        text = BagOfWordsEncoder(len(captioned.vocabulary), size) if captioned else Labels()
        objective = _contrastive(recipe) if captioned else supervised(size, corpus.emoji.space)
    views = captioned.views if captioned else _labelled(corpus)
    encoder = DualEncoder(image, text)
    losses: dict[str, float] = {}
    if teaching.name != FLOOR:
        result = train(
            encoder,
            views.take(corpus.train),
            objective,
            recipe.training,
            generator=named(seed, size, "training"),
            out=folder,
            resume=True,
            augment=partial(_shifted, recipe.shift),
            callbacks=[lambda end: tell(end.epoch, end.epochs)],
            progress=Progress(disable=True),
        )
        losses = {str(key): float(value) for key, value in result.history.iloc[-1].drop("epoch").items()}
    z_image = unit(encode(encoder, views).z_image)
    words = {"vocabulary": captioned.vocabulary.to_json()} if captioned else {}
    write_tensors(folder / "encoder.safetensors", encoder.state_dict(), words)
    return Taught(
        rows=probe_images(corpus, z_image, generator=named(seed, size, "intervals")),
        losses=losses,
        captions=_examples(captioned, corpus) if captioned else [],
        retrieval=_retrieve(encoder, captioned, corpus, z_image) if captioned else [],
    )


def probe_images(
    corpus: Corpus, z_image: Float[Tensor, "n dim"], *, generator: torch.Generator
) -> list[dict[str, Any]]:
    """Probe representations of all images for every factor, as JSON can hold it."""
    table = probe(*halves(corpus, z_image), corpus.emoji.space, generator=generator)
    return [
        {
            "side": "image",
            "factor": row["factor"],
            "metric": row["metric"],
            "value": float(row["score"]),
            "low": float(row["low"]),
            "high": float(row["high"]),
            "n_fit": int(row["n_fit"]),
            "n_test": int(row["n_test"]),
            "n_concepts": int(row["n_clusters"]),
        }
        for _, row in table.iterrows()
    ]


def halves(corpus: Corpus, z: Tensor) -> tuple[Labelled, Labelled]:
    """Concepts that probes are fitted on, those of training, and concepts that nothing has seen."""
    emoji = corpus.emoji
    fit, test = (
        Labelled(z[rows], emoji.labels.iloc[rows].reset_index(drop=True), emoji.clusters[rows])
        for rows in (corpus.train, corpus.test)
    )
    return fit, test


def _captioned(corpus: Corpus, teaching: Teaching) -> Captioned:
    assert teaching.policy is not None
    return caption(corpus, teaching.policy, seed=teaching.seed)


def _labelled(corpus: Corpus) -> ViewPair:
    """Images beside their labels, where no captions are read."""
    return ViewPair(image=corpus.pixels, text=label_codes(corpus.emoji.labels, corpus.emoji.space))


def _contrastive(recipe: Recipe) -> Objective:
    return Objective(
        {
            "contrast": WeightedTerm(info_nce, temperature=recipe.temperature),
            "bottleneck": WeightedTerm(alignment_penalty, recipe.bottleneck_weight),
        }
    )


def _shifted(pixels: int, images: Tensor, generator: torch.Generator) -> Tensor:
    return random_shift(images, pixels=pixels, generator=generator)


def _examples(captioned: Captioned, corpus: Corpus) -> list[dict[str, str]]:
    """Captions of the same few images under every policy: the first ones of training that state tone and gender."""
    labels = corpus.emoji.labels.iloc[corpus.train]
    people = corpus.train[labels[["skin_tone", "gender"]].notna().all(axis=1).to_numpy()]
    things = corpus.train[labels["skin_tone"].isna().to_numpy()]
    shown = [*people[:: max(1, len(people) // (_EXAMPLES - 1))][: _EXAMPLES - 1], *things[len(things) // 2 :][:1]]
    emoji = corpus.emoji
    return [
        {"hexcode": emoji.keys[row], "label": emoji.texts[row], "caption": captioned.captions[row]} for row in shown
    ]


def _retrieve(encoder: DualEncoder, captioned: Captioned, corpus: Corpus, z_image: Tensor) -> list[dict[str, Any]]:
    """The images of unseen concepts nearest to each query, by cosine."""
    labels = corpus.emoji.labels.iloc[corpus.test].reset_index(drop=True)
    gallery = z_image[corpus.test]
    found = []
    for wanted in queries(labels):
        query = ", ".join(STYLE.word(factor, value) for factor, value in wanted.items())
        text = ViewPair(image=captioned.views.image[:1], text=captioned.vocabulary.encode([query]))
        z_text = encode(encoder, text).normalized().z_text[0]
        best = (gallery @ z_text).topk(min(_HITS, len(gallery))).indices.tolist()
        hits = [
            {
                "hexcode": corpus.emoji.keys[corpus.test[row]],
                "label": corpus.emoji.texts[corpus.test[row]],
                "factors": labels.iloc[row].dropna().to_dict(),
            }
            for row in best
        ]
        found.append({"query": query, "wanted": wanted, "hits": hits})
    return found
