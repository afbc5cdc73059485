"""Drawings of people whose skin tone and gender are known, and captions of them, biased at known rates and curated.

Curation is that of `vergence.curation`: it sees captions, keys and labels of what images show, and nothing of how the
captions came about.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from jaxtyping import UInt8
from torch import Tensor

from vergence.checks import known_factors
from vergence.corpus import BiasEstimate, Lexicon, estimate_misalignment
from vergence.corpus.drawings import drawings_lexicon
from vergence.curation import CurationPolicy, Rewriter, plan_curation, target_of
from vergence.curation.diff import Editor
from vergence.curation.labels import KeyedLabels, key_digests
from vergence.data import STYLE, load_emoji
from vergence.errors import ConfigError
from vergence.factors import Factor, FactorSpace
from vergence.files import parse_yaml
from vergence.misalignment import Misalignment
from vergence.pairs import Pairs
from vergence.probes import Labelled
from vergence.random import named
from vergence.studies.guidance.tied import IN, REVERSED, UNTIED, UNTIED_FIT
from vergence.views import render_captions, text_record

FACTORS = ("skin_tone", "gender", "subgroup")
TEST = 0.3
"""Share of the concepts that no training sees."""

CUE = Factor("tone", ("lighter", "darker"))
"""The two lighter tones and the two darker ones: what goes with gender where they are tied."""
_SIDES = {"light": "lighter", "medium-light": "lighter", "medium-dark": "darker", "dark": "darker"}
_PARTNER = {"woman": "lighter", "man": "darker"}

Rates = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Captions:
    """How drawings are captioned.

    Args:
        mention: By factor, how often it is said before curation; always if not named.
        redraw: By factor, how often what is said is redrawn before curation; never if not named.
        target: What they are curated to, as a target file says it; empty if they are left alone.
        named: Whether the thing's name, such as "farmer", is added after curation: an audit would take the "person"
            in "person bowing" for a subgroup.
    """

    mention: Rates = ()
    redraw: Rates = ()
    target: str = ""
    named: bool = False

    def __post_init__(self) -> None:
        for given in (self.mention, self.redraw):
            known_factors([name for name, _ in given], FACTORS)

    @property
    def bias(self) -> Misalignment:
        """What captions do before curation."""
        mention = {**dict.fromkeys(FACTORS, 1.0), **dict(self.mention)}
        return Misalignment.of_rates(mention, redraw=dict(self.redraw))


@dataclass(frozen=True, eq=False)
class People:
    """Drawings, and the rows of both halves.

    Args:
        pairs: Their texts are the set's labels.
        pixels: Of all of them.
        train: Rows whose concepts encoders and probes learn from.
        test: Rows of concepts that nothing has seen.
        domains: Where tone and gender are tied in `train`: rows of unseen concepts by domain, and, as `UNTIED_FIT`,
            those of seen ones in which nothing is tied.
    """

    pairs: Pairs
    pixels: UInt8[Tensor, "n 3 side side"]
    train: np.ndarray
    test: np.ndarray
    domains: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def space(self) -> FactorSpace:
        """Skin tone, gender and subgroup, with the values that occur."""
        return self.pairs.space

    @property
    def digest(self) -> str:
        """A short hash of images and labels."""
        content = hashlib.sha256(repr(self.pairs.keys).encode() + self.pairs.labels.to_csv().encode())
        content.update(self.pixels.numpy().tobytes())
        return content.hexdigest()[:16]

    def labelled(self, z: Tensor, rows: np.ndarray) -> Labelled:
        """Representations of some rows, with their labels and concepts."""
        labels = self.pairs.labels.iloc[rows].reset_index(drop=True)
        labels[CUE.name] = labels["skin_tone"].map(_SIDES)
        return Labelled(z[rows], labels, self.pairs.clusters[rows])

    def halves(self, z: Tensor) -> tuple[Labelled, Labelled]:
        """Concepts that probes are fitted on, those of training, and concepts that nothing has seen."""
        return self.labelled(z, self.train), self.labelled(z, self.test)


@lru_cache(maxsize=2)
def people(side: int) -> tuple[Pairs, Tensor]:
    """Drawings of which skin tone and gender are known, 785 in the embedded set, and their pixels.

    Args:
        side: Pixels of a side to bring them to, of which 64 are a multiple.

    Raises:
        ConfigError: If 64 is no multiple of it.
    """
    if side < 1 or 64 % side:
        raise ConfigError(f"side must divide 64, the side of the drawings; got {side}")
    emoji = load_emoji()
    few = emoji.take(np.flatnonzero(emoji.labels[["skin_tone", "gender"]].notna().all(axis=1)))
    labels, space = few.labels[list(FACTORS)], emoji.space
    present = [
        Factor(name, tuple(value for value in space[name].values or () if (labels[name] == value).any()))
        for name in FACTORS
    ]
    pairs = Pairs(
        images=few.images,
        texts=few.texts,
        keys=few.keys,
        clusters=few.clusters,
        labels=labels,
        factors=FactorSpace(tuple(present)),
    )
    pixels = torch.nn.functional.avg_pool2d(pairs.images.tensor().float(), 64 // side).round().to(torch.uint8)
    return pairs, pixels


@lru_cache(maxsize=8)
def people_of(seed: int, side: int, tied: float = 0.0) -> People:
    """The drawings, divided by concept, every subgroup in both halves where it can be.

    Args:
        seed: Of the split.
        side: Of the drawings.
        tied: In training, the share of women of the two lighter tones and of men of the two darker ones; those of the
            tone between are then left out everywhere. Nothing is tied if 0.
    """
    pairs, pixels = people(side)
    fractions = {"train": 1 - TEST, "test": TEST}
    parts = pairs.split(fractions, generator=named(seed, "people"), strata=pairs.labels["subgroup"])
    if not tied:
        return People(pairs, pixels, parts["train"], parts["test"])
    side_of = pairs.labels["skin_tone"].map(_SIDES)
    told = side_of.notna().to_numpy()
    goes = (side_of == pairs.labels["gender"].map(_PARTNER)).to_numpy()
    train, test = (rows[told[rows]] for rows in (parts["train"], parts["test"]))

    def tie(rows: np.ndarray, what: str) -> np.ndarray:
        """All rows that agree, and as many others as the share leaves."""
        others = rows[~goes[rows]]
        n = round(goes[rows].sum() * (1 - tied) / tied)
        chosen = torch.randperm(len(others), generator=named(seed, what)).numpy()[:n]
        return np.sort(np.concatenate([rows[goes[rows]], others[chosen]]))

    domains = {IN: tie(test, "in domain"), UNTIED: test, REVERSED: test[~goes[test]], UNTIED_FIT: train}
    return People(pairs, pixels, tie(train, "tied"), test, domains)


@dataclass(frozen=True, eq=False)
class Captioned:
    """Captions as they are trained on, and what was known before.

    Args:
        texts: One for each drawing.
        before: The same before curation.
        estimate: What the training half's captions omit and get wrong before curation, from captions and labels.
        policy: What is done to them; `None` if they are left alone.
        edited: The share of them that is edited.
    """

    texts: tuple[str, ...]
    before: tuple[str, ...]
    estimate: BiasEstimate
    policy: CurationPolicy | None
    edited: float

    @property
    def digest(self) -> str:
        """A short hash of what they say: all that captions do to a training."""
        return hashlib.sha256("\n".join(self.texts).encode()).hexdigest()[:16]


@lru_cache(maxsize=256)
def captioned(captions: Captions, who: People, seed: int, encoding_size: int) -> Captioned:
    """Caption the drawings and curate the captions.

    Args:
        captions: How.
        who: The drawings; what the plan knows are those of training.
        seed: Of everything that is drawn.
        encoding_size: For expected scores, the model's output size.
    """
    pairs, lexicon = who.pairs, drawings_lexicon(who.space)
    record = text_record(pairs.labels, pairs.space, captions.bias, generator=named(seed, "record"))
    before = render_captions(record, STYLE, generator=named(seed, "wording"))
    seen = pairs.take(who.train)
    estimate = estimate_misalignment([before[row] for row in who.train], seen.labels, lexicon, clusters=seen.clusters)
    if not captions.target:
        return Captioned(_with_names(before, who, captions), tuple(before), estimate, None, 0.0)
    target = target_of(parse_yaml(captions.target, where="target"), lexicon)
    policy = plan_curation(estimate, target, lexicon)
    editor = Editor(Rewriter(lexicon, templates=target.templates), policy.actions, _keyed(pairs, lexicon), seed)
    edited, asked = editor.edit(pa.array(before, pa.large_string()), pa.array(list(pairs.keys), pa.large_string()))
    left = np.maximum(edited.refused, asked.refused)[who.train] > 0
    refused = {group.name: float(share) for group, share in zip(lexicon.groups, left.mean(axis=0), strict=True)}
    policy = plan_curation(estimate, target, lexicon, encoding_size=encoding_size, refused=refused)
    share = len(np.unique(edited.edits[:, 0])) / len(before)
    return Captioned(_with_names(edited.captions.to_pylist(), who, captions), tuple(before), estimate, policy, share)


def _with_names(texts: list[str], who: People, captions: Captions) -> tuple[str, ...]:
    if not captions.named:
        return tuple(texts)
    return tuple(f"{text}, {name}" for text, name in zip(texts, who.pairs.clusters, strict=True))


def _keyed(pairs: Pairs, lexicon: Lexicon) -> KeyedLabels:
    """What the drawings show, by key."""
    factors = [group.name for group in lexicon.groups]
    codes = np.stack(
        [pd.Categorical(pairs.labels[name], categories=list(pairs.space[name].values or ())).codes for name in factors],
        axis=1,
    )
    digests = key_digests(pa.array(list(pairs.keys), pa.large_string()))
    order = np.argsort(digests)
    return KeyedLabels(digests[order], codes[order].astype(np.int16), tuple(factors), {})
