"""The noun that flows: images and texts that belong together, what is known of them, and what they are called."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from vergence.errors import FactorError, ShapeError
from vergence.factors import FactorSpace
from vergence.images import Images, Rows, row_numbers
from vergence.misalignment import Misalignment
from vergence.splits import split_by_concept


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """Images with their texts. All parts have one entry for each item; images stay encoded until asked for.

    Args:
        images: What is shown.
        texts: What is said of it.
        keys: What each item is called.
        clusters: What each item is a form of, texts or numbers; items of one cluster are not independent, and a split
            keeps them on one side.
        labels: One column for each factor that is known, `None` where it is not stated; no column if none is.
        factors: The factors that the labels are of, if any.
        misalignment: What the texts mention and may get wrong, where that is known.

    Raises:
        ShapeError: If the parts have different numbers of entries.

    Example:
        >>> from vergence.data import load_emoji
        >>> emoji = load_emoji()
        >>> few = emoji.take([0, 7])
        >>> few.texts, few.images[1].size
        (['keycap: #', 'keycap: 5'], (64, 64))
        >>> halves = emoji.split({"train": 0.7, "test": 0.3}, generator=torch.Generator().manual_seed(0))
        >>> sum(map(len, halves.values())) == len(emoji)
        True
    """

    images: Images
    texts: Sequence[str]
    keys: Sequence[str]
    clusters: Shaped[np.ndarray, " n"]
    labels: pd.DataFrame = field(default_factory=pd.DataFrame)
    factors: FactorSpace | None = None
    misalignment: Misalignment | None = None

    def __post_init__(self) -> None:
        counts = {"texts": len(self.texts), "keys": len(self.keys), "clusters": len(self.clusters)}
        if len(self.labels.columns):
            counts["labels"] = len(self.labels)
        for name, n in counts.items():
            if n != len(self.images):
                raise ShapeError(f"each image must have its {name}; got {len(self.images)} images and {n} {name}")

    @property
    def space(self) -> FactorSpace:
        """The factors that the labels are of.

        Raises:
            FactorError: If nothing is labelled.
        """
        if self.factors is None:
            raise FactorError("no factor of these pairs is labelled; read them with labels")
        return self.factors

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Rows) -> "Pairs":
        """Select items without decoding them.

        Args:
            rows: Row numbers in the wanted order, or one boolean for each item.

        Returns:
            The selected items; the index of `labels` counts from 0 again.

        Raises:
            IndexError: If a row is out of range.
        """
        chosen = row_numbers(rows, len(self))
        return Pairs(
            images=self.images.chosen(chosen),
            texts=[self.texts[row] for row in chosen],
            keys=[self.keys[row] for row in chosen],
            clusters=self.clusters[chosen],
            labels=self.labels.iloc[chosen].reset_index(drop=True) if len(self.labels.columns) else self.labels,
            factors=self.factors,
            misalignment=self.misalignment,
        )

    def split(
        self,
        fractions: Mapping[str, float],
        *,
        generator: torch.Generator,
        strata: Iterable[Hashable] | None = None,
    ) -> dict[str, Int[np.ndarray, " _"]]:
        """Divide the rows at random so that no cluster is in two parts: see `split_by_concept`.

        Args:
            fractions: Share of the clusters by name of the part; together 1.
            generator: Source of randomness.
            strata: A class of each item, whose share is kept in every part; `None`: no classes.

        Returns:
            Row numbers by name of the part, for `take`.

        Raises:
            ConfigError: If a fraction is not positive, they do not sum to 1, or a part remains empty.
        """
        return split_by_concept(self.clusters.tolist(), fractions, generator=generator, strata=strata)

    def batches(
        self, groups: Iterable[Sequence[int]], *, side: int, workers: int = 1
    ) -> Iterator[tuple[UInt8[Tensor, "n 3 side side"], list[str]]]:
        """Decode groups of items, in threads and a little ahead of whoever takes them.

        Args:
            groups: Row numbers of each group.
            side: Pixels of a side to bring images to.
            workers: Threads, >= 1; what is given does not depend on their number.

        Yields:
            Images in [0, 255] and texts of each group.

        Raises:
            CorpusError: If an image is damaged.
        """
        texts: list[list[str]] = []

        def noted() -> Iterator[Sequence[int]]:
            for rows in groups:
                texts.append([self.texts[row] for row in rows])
                yield rows

        for images in self.images.batches(noted(), side=side, workers=workers):
            yield images, texts.pop(0)

    def __repr__(self) -> str:
        factors = f"; factors: {', '.join(self.factors.names)}" if self.factors else ""
        return f"Pairs({len(self)} items of {len(set(self.clusters.tolist()))} clusters{factors})"
