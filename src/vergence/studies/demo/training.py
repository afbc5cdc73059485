"""One training on the embedded set, and what probes read from it: the step that studies of its captions share.

Everything random depends on the seed and the output size alone: trainings on different captions start from the same
image encoder, see the same batches and are probed on the same concepts, so that captions are all that differs. The
floor is that encoder before any step, the ceiling the same one taught by the labels themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from rich.progress import Progress
from torch import Tensor

from vergence.data import STYLE
from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder, Vocabulary
from vergence.losses import Objective, WeightedTerm, alignment_penalty, info_nce
from vergence.metrics.scale import unit
from vergence.probes import Labelled, encode, probe
from vergence.random import named
from vergence.studies.demo.corpus import Split, caption, load_split, queries, text_digest, vocabulary_of
from vergence.studies.demo.spec import FLOOR, Teaching
from vergence.studies.study import Tell
from vergence.training import TrainConfig, TrainResult, train
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
    split = load_split(teaching.recipe, seed=teaching.seed, data=teaching.data)
    texts = caption(split.pairs, teaching.policy, seed=teaching.seed).texts if teaching.policy else None
    return {
        "taught_by": teaching.name if texts is None else text_digest(texts),
        "encoding_size": teaching.encoding_size,
        "seed": teaching.seed,
        "recipe": asdict(teaching.recipe),
        "data": split.digest,
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
    split = load_split(recipe, seed=seed, data=teaching.data)
    pairs = caption(split.pairs, teaching.policy, seed=seed) if teaching.policy else split.pairs
    words = vocabulary_of(pairs.texts, split.train) if teaching.policy else None
    with torch.random.fork_rng(devices=[]):  # torch's own stream is left as it was
        torch.manual_seed(named(seed, size, "weights").initial_seed())
        image = ConvEncoder(size)  # first, so that no captions change its weights
        text = BagOfWordsEncoder(len(words), size) if words else Labels()
        objective = (
            contrastive(recipe.temperature, recipe.bottleneck_weight) if words else supervised(size, pairs.space)
        )
    said = words.encode(pairs.texts) if words else label_codes(pairs.labels, pairs.space)
    views = ViewPair(image=split.pixels, text=said)
    encoder = DualEncoder(image, text)
    losses: dict[str, float] = {}
    if teaching.name != FLOOR:
        result = fit(
            encoder, views.take(split.train), objective, recipe.training,
            shift=recipe.shift, generator=named(seed, size, "training"), folder=folder, tell=tell,
        )  # fmt: skip
        losses = {str(key): float(value) for key, value in result.history.iloc[-1].drop("epoch").items()}
    z_image = unit(encode(encoder, views).z_image)
    vocabulary = {"vocabulary": words.to_json()} if words else {}
    write_tensors(folder / "encoder.safetensors", encoder.state_dict(), vocabulary)
    return Taught(
        rows=probe_images(split, z_image, generator=named(seed, size, "intervals")),
        losses=losses,
        captions=_examples(split, pairs.texts) if words else [],
        retrieval=_retrieve(encoder, words, split, z_image) if words else [],
    )


def probe_images(split: Split, z_image: Float[Tensor, "n dim"], *, generator: torch.Generator) -> list[dict[str, Any]]:
    """Probe representations of all images for every factor, as JSON can hold it."""
    table = probe(*halves(split, z_image), split.pairs.space, generator=generator)
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


def halves(split: Split, z: Tensor) -> tuple[Labelled, Labelled]:
    """Concepts that probes are fitted on, those of training, and concepts that nothing has seen."""
    parts = ((rows, split.pairs.take(rows)) for rows in (split.train, split.test))
    fit, test = (Labelled(z[rows], pairs.labels, pairs.clusters) for rows, pairs in parts)
    return fit, test


def contrastive(temperature: float, bottleneck: float) -> Objective:
    """InfoNCE, and the squared distance of pairs by a weight."""
    return Objective(
        {
            "contrast": WeightedTerm(info_nce, temperature=temperature),
            "bottleneck": WeightedTerm(alignment_penalty, bottleneck),
        }
    )


def fit(
    encoder: DualEncoder,
    views: ViewPair,
    objective: Objective,
    training: TrainConfig,
    *,
    shift: int,
    generator: torch.Generator,
    folder: Path,
    tell: Tell,
) -> TrainResult:
    """Train on drawings that are moved by up to some pixels; a training that was stopped in the folder goes on."""
    return train(
        encoder,
        views,
        objective,
        training,
        generator=generator,
        out=folder,
        resume=True,
        augment=partial(_shifted, shift),
        callbacks=[lambda end: tell(end.epoch, end.epochs)],
        progress=Progress(disable=True),
    )


def _shifted(pixels: int, images: Tensor, generator: torch.Generator) -> Tensor:
    return random_shift(images, pixels=pixels, generator=generator)


def _examples(split: Split, texts: Sequence[str]) -> list[dict[str, str]]:
    """Captions of the same few images under every policy: the first ones of training that state tone and gender."""
    pairs, train = split.pairs, split.train
    labels = pairs.labels.iloc[train]
    people = train[labels[["skin_tone", "gender"]].notna().all(axis=1).to_numpy()]
    things = train[labels["skin_tone"].isna().to_numpy()]
    shown = [*people[:: max(1, len(people) // (_EXAMPLES - 1))][: _EXAMPLES - 1], *things[len(things) // 2 :][:1]]
    return [{"hexcode": pairs.keys[row], "label": pairs.texts[row], "caption": texts[row]} for row in shown]


def _retrieve(
    encoder: DualEncoder, words: Vocabulary, split: Split, z_image: Float[Tensor, "n dim"]
) -> list[dict[str, Any]]:
    """The images of unseen concepts nearest to each query, by cosine."""
    unseen, gallery = split.pairs.take(split.test), z_image[split.test]
    found = []
    for wanted in queries(unseen.labels):
        query = ", ".join(STYLE.word(factor, value) for factor, value in wanted.items())
        text = ViewPair(image=split.pixels[:1], text=words.encode([query]))
        z_text = encode(encoder, text).normalized().z_text[0]
        best = (gallery @ z_text).topk(min(_HITS, len(gallery))).indices.tolist()
        hits = [
            {
                "hexcode": unseen.keys[row],
                "label": unseen.texts[row],
                "factors": unseen.labels.iloc[row].dropna().to_dict(),
            }
            for row in best
        ]
        found.append({"query": query, "wanted": wanted, "hits": hits})
    return found
