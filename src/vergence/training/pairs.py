"""The pairs that a configuration names, the embedded set or a source of the user's, and who of them is held out."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from jaxtyping import UInt8
from rich.progress import MofNCompleteColumn, TimeRemainingColumn

from vergence.data import POLICIES, load_emoji, write_captions
from vergence.data.clusters import cluster_values, link
from vergence.data.held import Looked, look_at
from vergence.data.rows import Columns
from vergence.data.source import Source, read_source
from vergence.errors import ConfigError, CorpusError
from vergence.images import Images, PreparedImages
from vergence.pairs import Pairs
from vergence.random import named
from vergence.splits import hold_out
from vergence.terminal import bars
from vergence.training.spec import DataConfig

_NAMED = 20  # rows left out that the history names


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Pairs, and which of them are for training.

    Args:
        pairs: All that can be used.
        fit: Rows to train on.
        held_out: Rows for validation; may be none. They share no cluster with `fit`.
        source: What the pairs are, in a few words.
        split: What became of every row that was drawn, also of those that cannot be used: see `write_split`.
        places: Where each of these rows is, for people.
        notes: What of the source was passed over, a line each.
    """

    pairs: Pairs
    fit: np.ndarray
    held_out: np.ndarray
    source: str
    split: pd.DataFrame
    places: list[str]
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """A short hash of images, captions and what is held out, which tells two sets apart."""
        used = self.split["image"][self.split["reason"].isna()].tolist()
        content = repr((list(self.pairs.texts), self.held_out.tolist(), used))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def skipped(self) -> str | None:
        """How many rows were left out and why, in one line; `None` if none was."""
        reasons = Counter(reason.split(":")[0] for reason in self.split["reason"].dropna())
        if not reasons:
            return None
        counts = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        return f"{reasons.total()} of {len(self.split)} rows were left out: {counts}"

    def left_out(self) -> dict[str, Any]:
        """The same for the history: how many, and where the first of them are; empty if none was."""
        found = [(place, why) for place, why in zip(self.places, self.split["reason"], strict=True) if why is not None]
        if not found:
            return {}
        return {"left_out": len(found), "left_out_rows": [f"{place}: {why}" for place, why in found[:_NAMED]]}

    def divided(self) -> str:
        """How many pairs, of how many clusters, are for training and held out, in one line."""
        clusters = self.split.groupby("side")["cluster"].nunique()
        fit, held_out = (clusters.get(side, 0) for side in ("fit", "held_out"))
        return (
            f"{len(self.fit)} pairs of {fit} clusters to train on, {len(self.held_out)} of {held_out} others held out"
        )


Prepare = Callable[[bytes], UInt8[np.ndarray, "3 side side"]]


def load_pairs(config: DataConfig, *, seed: int, prepare: Prepare | None = None) -> TrainingPairs:
    """Load what a configuration names and split it by cluster.

    Every image is decoded once, to know which can be and which are the same; as many as fit into `memory` are held,
    of a larger set none.

    Args:
        config: Which data.
        seed: Seed of the choice of items, of the split and of drawn captions, >= 0.
        prepare: How files become squares of `config.side`, where a model has a way of its own.

    Returns:
        The pairs. A cluster is a concept of the embedded set; in a source all rows whose images are the same pixels, or
        that have one key or one value in the cluster column.

    Raises:
        CorpusError: If a file is missing, damaged or lacks a column, or too many of its rows cannot be used; one line.
        ConfigError: If nothing can be held out.

    Example:
        >>> load_pairs(DataConfig(policy="omit", items=64, side=8), seed=0).pairs.images.tensor().shape
        torch.Size([64, 3, 8, 8])
    """
    read = _embedded if config.place is None else _from_source
    return read(config, seed=seed, prepare=prepare)


def _embedded(config: DataConfig, *, seed: int, prepare: Prepare | None) -> TrainingPairs:
    emoji = load_emoji()
    rows = _chosen(len(emoji), config.items, seed=seed)
    emoji = emoji.take(rows)
    looked = _looked(emoji.images, config, prepare)
    split = pd.DataFrame({"row": rows, "key": emoji.keys, "image": looked.digests, "reason": None})
    fit, held_out = _split(split, emoji.clusters.tolist(), config.validation, seed=seed)
    texts, misalignment = write_captions(emoji, config.policy, seed=seed), POLICIES[config.policy].misalignment
    return TrainingPairs(
        pairs=replace(emoji, images=looked.images, texts=texts, misalignment=misalignment),
        fit=fit,
        held_out=held_out,
        source=f"Fluent 3D emoji; captions: {POLICIES[config.policy].description}",
        split=split,
        places=list(emoji.keys),
    )


def _from_source(config: DataConfig, *, seed: int, prepare: Prepare | None) -> TrainingPairs:
    source = read_source(str(config.place), _columns(config))
    rows = _chosen(len(source.rows), config.items, seed=seed)
    reasons = [source.rows[row].reason for row in rows]
    if not config.strict:  # which names the first row that cannot be used, be it for its caption or its image
        _check_skipped(source, rows, reasons, config)
    sound = [place for place, reason in enumerate(reasons) if reason is None]
    images, numbers = source.images([rows[place] for place in sound])
    rows_of_each = np.bincount(numbers, minlength=len(images))

    def too_many(found: dict[int, str]) -> bool:
        skipped = len(rows) - len(sound) + int(rows_of_each[list(found)].sum())
        return config.strict or skipped > config.max_skipped * len(rows)

    looked = _looked(images, config, prepare, stop=too_many)
    for place, number in zip(sound, numbers.tolist(), strict=True):
        reasons[place] = looked.reasons.get(number)
    _check_skipped(source, rows, reasons, config)
    used = [(place, number) for place, number in zip(sound, numbers.tolist(), strict=True) if reasons[place] is None]
    if len(used) < 2:
        raise CorpusError(f"{config.place} gives {len(used)} pairs of {len(rows)} rows; training needs at least two")
    digests = [looked.digests[number] for _, number in used]
    pairs_of = [rows[place] for place, _ in used]
    clusters = _clusters(source, pairs_of, digests, config)
    keys = [source.rows[row].key for row in rows]
    split = pd.DataFrame({"row": rows, "key": keys, "image": None, "reason": reasons}, dtype=object)
    split.loc[[place for place, _ in used], "image"] = digests
    fit, held_out = _split(split, clusters.tolist(), config.validation, seed=seed)
    return TrainingPairs(
        pairs=Pairs(
            images=looked.images.take(np.array([number for _, number in used])),
            texts=[source.rows[row].text for row in pairs_of],
            keys=[str(source.rows[row].key) for row in pairs_of],
            clusters=clusters,
        ),
        fit=fit,
        held_out=held_out,
        source=source.name,
        split=split,
        places=[source.rows[row].place for row in rows],
        notes=source.notes,
    )


def _columns(config: DataConfig) -> Columns:
    return Columns(
        image=config.image_column,
        caption=config.caption_column,
        key=config.key_column,
        cluster=config.cluster_column,
        root=None if config.images is None else Path(config.images),
    )


def _looked(images: Images, config: DataConfig, prepare: Prepare | None, **more: Any) -> Looked:
    """Look at every image, with a bar where that takes a while."""
    shown_as = images if prepare is None else PreparedImages(images, prepare, side=config.side)
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("looking at images", total=len(images))
        return look_at(
            shown_as,
            side=config.side,
            workers=config.threads,
            held_bytes=config.memory << 20,
            advance=lambda n: shown.advance(bar, n),
            **more,
        )


def _check_skipped(source: Source, rows: Sequence[int], reasons: Sequence[str | None], config: DataConfig) -> None:
    """Refuse the row that is one too many."""
    skipped = 0
    for row, reason in zip(rows, reasons, strict=True):
        skipped += reason is not None
        if reason is not None and (config.strict or skipped > config.max_skipped * len(rows)):
            limit = (
                "data.strict stops at it"
                if config.strict
                else f"data.max_skipped allows {config.max_skipped:.2%}; raise it to train without"
            )
            place = source.rows[row].place
            raise CorpusError(f"{place}: {reason}; that is {skipped} of {len(rows)} rows; {limit}")


def _clusters(source: Source, rows: Sequence[int], digests: Sequence[str | None], config: DataConfig) -> np.ndarray:
    """The number of each row's cluster."""
    linked: list[Sequence[Hashable | None]] = [digests, [source.rows[row].key for row in rows]]
    if config.cluster_column:
        values = source.clusters(rows)
        try:
            column = pa.chunked_array([pa.array(values)])
        except pa.ArrowException:
            column = pa.chunked_array([pa.array([None if value is None else str(value) for value in values])])
        linked.append(cluster_values(column, where=f"{config.place}: {config.cluster_column}"))
    return link(*linked)


def _chosen(n: int, wanted: int | None, *, seed: int) -> list[int]:
    if wanted is not None and wanted > n:
        raise ConfigError(f"items must be <= {n}, all there are; got {wanted}")
    if wanted is None:
        return list(range(n))
    order: list[int] = torch.randperm(n, generator=named(seed, "items")).tolist()
    return sorted(order[:wanted])


def _split(
    split: pd.DataFrame, clusters: Sequence[Hashable], validation: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out clusters; fill in the columns `cluster` and `side` of all rows, and return the places of those used."""
    fit, held_out = np.arange(len(clusters)), np.arange(0)
    if validation:
        try:
            fit, held_out = hold_out(clusters, validation, generator=named(seed, "split"))
        except ConfigError as error:
            raise ConfigError(f"data.validation {validation}: {error}; set it to 0 to hold out nothing") from error
    sides = np.full(len(clusters), "fit", dtype=object)
    sides[held_out] = "held_out"
    used = split["reason"].isna().to_numpy()
    split["cluster"], split["side"] = None, "skipped"
    split.loc[used, "cluster"], split.loc[used, "side"] = list(map(str, clusters)), sides
    return fit, held_out
