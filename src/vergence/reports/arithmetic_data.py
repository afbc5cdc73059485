"""What arithmetic is asked of: images with concepts and factors, and what is said of a value."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from vergence.data import STYLE, load_emoji
from vergence.data.rows import Columns
from vergence.data.source import read_source
from vergence.errors import ConfigError, CorpusError, FactorError, unknown
from vergence.images import Images
from vergence.metrics.files import Embeddings
from vergence.probes.awareness import BARE, check_templates
from vergence.probes.labels import read_labels
from vergence.splits import SPLIT_FILE, read_split

_EXPORT = "encoder"
_TABLES = (".csv", ".tsv", ".parquet")
_DRAWN = ("skin_tone", "gender")


@dataclass(frozen=True, eq=False, kw_only=True)
class Gallery:
    """Images with a concept, and values of factors.

    Args:
        name: What they are, in a few words.
        images: Still encoded.
        keys: What each is called.
        labels: A column for each factor, missing where an image has no value.
        concepts: What each is a form of.
        values: By factor that may be changed, its values in order.
        templates: By factor, the sentences that say a value where none are given.
        notes: What a reader should know, a line each.
    """

    name: str
    images: Images
    keys: Sequence[str]
    labels: pd.DataFrame
    concepts: Sequence[Hashable]
    values: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def take(self, rows: Int[np.ndarray, " n"]) -> "Gallery":
        """Some of the images."""
        return replace(
            self,
            images=self.images.take(rows),
            keys=[self.keys[row] for row in rows],
            labels=self.labels.iloc[rows].reset_index(drop=True),
            concepts=[self.concepts[row] for row in rows],
        )

    def unseen(self, model: str | Path) -> "Gallery":
        """The images that a training run has not seen, where it says which; else all, with a note."""
        places = [place for place in (Path(model), Path(model, _EXPORT)) if (place / SPLIT_FILE).is_file()]
        if not places:
            return self._noted("the model does not say what it was trained on; all images are asked")
        sides = read_split(places[0]).to_pandas().groupby("key")["side"].agg(set)
        known = [sides.get(key, set()) for key in self.keys]
        if not any("fit" in side for side in known):
            return self._noted("none of the images is among those that the model was trained on")
        rows = np.flatnonzero(["fit" not in side and "held_out" in side for side in known])
        if not len(rows):
            return self._noted("the model was trained on these images and held none of them out; all are asked")
        return self.take(rows)._noted(f"{len(rows)} of {len(self.keys)} images, which the model was not trained on")

    def without(self, names: Sequence[str]) -> "Gallery":
        """The same images, of which some factors may differ.

        Raises:
            FactorError: If one is unknown.
        """
        for name in names:
            if name not in self.labels:
                raise FactorError(unknown("factor", name, map(str, self.labels)))
        values = {name: known for name, known in self.values.items() if name not in names}
        return replace(self, labels=self.labels.drop(columns=list(names)), values=values)

    def phrases(
        self, factors: Sequence[str] = (), templates: Sequence[str] = ()
    ) -> dict[tuple[str, str], tuple[str, ...]]:
        """What is said of each value.

        Args:
            factors: Which are changed; all if there are none.
            templates: Sentences with one `{}` for a value, each after the name of its factor: "tone=a {} tone"; without
                a name for every factor. Those of a factor are averaged.

        Returns:
            By factor and value, the sentences.

        Raises:
            FactorError: If a factor is unknown, or there is none.
            ConfigError: If a template has not one place for a value.
        """
        chosen = list(dict.fromkeys(factors)) or list(self.values)
        said: dict[str, list[str]] = {}
        for template in templates:
            name, sign, sentence = template.partition("=")
            check_templates([sentence if sign else template])
            said.setdefault(name if sign else "", []).append(sentence if sign else template)
        for name in (*chosen, *filter(None, said)):
            if name not in self.values:
                raise FactorError(unknown("factor", name, self.values))
        if not chosen:
            raise FactorError(f"{self.name} has no discrete factor to change; name a table with one: --labels")
        found = {}
        for name in chosen:
            sentences = said.get(name) or said.get("") or self.templates.get(name, BARE)
            for value in self.values[name]:
                found[name, value] = tuple(sentence.replace("{}", value) for sentence in sentences)
        return found

    def _noted(self, note: str) -> "Gallery":
        return replace(self, notes=(*self.notes, note))


def drawings() -> Gallery:
    """The embedded set; skin tone and gender may be changed."""
    emoji = load_emoji()
    return Gallery(
        name="the embedded drawings",
        images=emoji.images,
        keys=list(emoji.keys),
        labels=emoji.labels,
        concepts=emoji.clusters.tolist(),
        values={name: emoji.space[name].values or () for name in _DRAWN},
        templates={name: (STYLE.word(name, "{}"),) for name in _DRAWN},
    )


def read_gallery(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    concept: str = "concept",
    columns: Columns = Columns(),  # noqa: B008
) -> Gallery:
    """Read images, and what each is from a table.

    Args:
        path: What `read_source` takes; a table of images that has no captions is one whose captions are concepts.
        labels: CSV or Parquet with a key, the concept and the factors of each image; the source itself if it is one.
        concept: Column of concepts.
        columns: Which columns of the source say what.

    Raises:
        CorpusError: If images or labels cannot be read, or a column is missing.
    """
    own = labels is None
    if own and Path(path).suffix.lower() not in _TABLES:
        raise ConfigError(f"{path} is no table that has concepts and factors; name one with --labels FILE")
    source = read_source(path, replace(columns, caption=columns.caption or (concept if own else None)))
    first = source.by_key()
    stored, numbers = source.images(list(first.values()))
    asked = Embeddings(path=Path(path), values=np.zeros((len(first), 1)), identifiers=tuple(first))
    read = read_labels(Path(path if labels is None else labels), asked, cluster=concept)
    assert read.clusters is not None
    values = {name: factor.values for name, factor in read.space.items() if factor.values}
    if not values:
        raise CorpusError(f"{labels or path} labels no discrete factor; it needs a column of values beside {concept!r}")
    return Gallery(
        name=source.name,
        images=stored.take(numbers),
        keys=list(first),
        labels=read.values,
        concepts=read.clusters.tolist(),
        values=values,
        templates={},
        notes=(*source.notes, *read.notes),
    )
