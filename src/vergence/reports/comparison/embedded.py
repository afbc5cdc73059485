"""Two folders of embeddings of the same items: retrieval, alignment, spectrum, and probes where labels are given."""

from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vergence.errors import ConfigError, CorpusError
from vergence.metrics import Interval, canonical_spectrum, cluster_bootstrap, retrieve
from vergence.metrics.canonical import MIN_PAIRS
from vergence.metrics.differences import Paired, cka_difference, paired_scores, share_of_sums, strength_differences
from vergence.metrics.files import Embeddings, read_embeddings
from vergence.metrics.identifiers import row_of_each
from vergence.metrics.neighbours import find_neighbours, shared_by_item
from vergence.probes.comparison import Compared, answers_rows, paired_rows
from vergence.probes.labels import keep_scored, read_labels
from vergence.probes.protocol import Labelled, answer, check_halves
from vergence.random import named
from vergence.reports.comparison.kinds import embeddings_in
from vergence.splits import hold_out

RANKS = (1, 5, 10)
NEIGHBOURS = 10
DIRECTIONS = 8
_CONSTANT = "a constant answer"


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """How embeddings are probed.

    Args:
        labels: The file of labels.
        factors: Columns; all that can be probed if `None`.
        cluster: The column that says what belongs together.
        test_fraction: Of clusters.
        floor: Folder of embeddings by an encoder that was not trained.
        ceiling: Folder of embeddings by one that labels have trained.
    """

    labels: Path | None = None
    factors: tuple[str, ...] | None = None
    cluster: str | None = None
    test_fraction: float = 0.3
    floor: Path | None = None
    ceiling: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Folder:
    """Embeddings by key: of images, and of texts with the image that each is of."""

    images: Embeddings
    texts: Embeddings | None

    @classmethod
    def read(cls, path: Path) -> "Folder":
        """Read a folder of `vergence embed`.

        Raises:
            CorpusError: If it holds no embeddings of images, or a file does not say which item a row is of.
        """
        files = [embeddings_in(path, side) for side in ("images", "texts")]
        if files[0] is None:
            raise CorpusError(f"{path} holds no embeddings of images; name the --out folder of vergence embed")
        images, texts = (None if file is None else read_embeddings(file) for file in files)
        assert images is not None
        for side in (images, texts):
            if side is not None and side.identifiers is None:
                raise CorpusError(f"{side.path} does not say which item a row is of; it needs a column called 'key'")
        return cls(images=images, texts=texts)


def compare_embeddings(
    before: Path, after: Path, *, labelling: Labelling, seed: int, without: frozenset[str] = frozenset()
) -> Compared:
    """Compare two folders of `vergence embed` on the images, and the texts, that both have.

    Args:
        before: One folder.
        after: The other.
        labelling: Labels and how to probe them.
        seed: Of splits and resamples.
        without: Keys of images to leave out, such as those that a model was trained on.

    Raises:
        CorpusError: If a file is missing or broken, or nothing is shared.
        ConfigError: If labels cannot be probed.
    """
    folders = [Folder.read(path) for path in (before, after)]
    keys = [list(row_of_each(one.images.identifiers or (), where=one.images.path)) for one in folders]
    theirs = set(keys[1])
    shared = [key for key in keys[0] if key in theirs and key not in without]
    if not shared:
        reason = f", but {len(without):,} that were trained on" if set(keys[0]) & theirs else ""
        raise CorpusError(f"{before} and {after} have no image in common{reason}; embed the same source with both")
    counts = {"images": (len(shared), len(set(keys[0]) - theirs), len(theirs - set(keys[0])))}
    notes = []
    if left := len(set(keys[0]) & theirs) - len(shared):
        notes.append(f"{left:,} images that a model was trained on are left out")
    images = [_rows(one.images, shared) for one in folders]
    clusters = np.arange(len(shared))
    parts: list[pd.DataFrame] = []
    if labelling.labels is not None:
        probed, clusters, said = _probed(folders[0].images, shared, images, labelling, seed)
        parts.append(probed)
        notes += said
    if any(one.texts is None for one in folders):
        notes.append("without texts in both folders, retrieval, alignment and the spectrum are not compared")
    else:
        found, texts, said = _agreement(folders, shared, images, clusters, seed)
        parts += found
        counts["texts"] = texts
        notes += said
    return Compared(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), shared=counts, notes=tuple(notes))


def _rows(side: Embeddings, keys: list[str]) -> Tensor:
    place = row_of_each(side.identifiers or (), where=side.path)
    return torch.from_numpy(np.ascontiguousarray(side.values[[place[key] for key in keys]], dtype=np.float64))


def _probed(
    of: Embeddings, shared: list[str], images: list[Tensor], labelling: Labelling, seed: int
) -> tuple[pd.DataFrame, Int[np.ndarray, " n"], list[str]]:
    """A row for each factor, which images belong together, and what to say."""
    assert labelling.labels is not None
    only = replace(of, values=images[0].numpy(), identifiers=tuple(shared), images=None, mapping=None)
    labels = read_labels(labelling.labels, only, factors=labelling.factors, cluster=labelling.cluster)
    clusters = np.arange(len(shared)) if labels.clusters is None else labels.clusters
    halves = hold_out(clusters.tolist(), labelling.test_fraction, generator=named(seed, "split"))
    labels = keep_scored(labels, *halves, named=labelling.factors is not None)
    ends: dict[str, Tensor] = {}
    for name, path in (("floor", labelling.floor), ("ceiling", labelling.ceiling)):
        if path is not None:
            ends[name] = _rows(_holding(path, shared), shared)
    notes = [*labels.notes, *(f"not probed: column {name!r} {why}" for name, why in labels.left_out.items())]
    sides = {"before": images[0], "after": images[1], **ends}
    split = {
        name: [Labelled(z[rows], labels.values.iloc[rows], clusters[rows]) for rows in halves]
        for name, z in sides.items()
    }
    check_halves(split["before"][0], split["before"][1])
    rows, streams = [], {name: named(seed, "intervals") for name in ("before", "after")}
    for factor in labels.space.factors:
        found = {name: answer(fit, test, factor) for name, (fit, test) in split.items()}
        before, after = (_own(found[name], streams[name]) for name in ("before", "after"))
        rows.append(
            answers_rows(
                found["before"],
                found["after"],
                generator=named(seed, f"difference {factor.name}"),
                floor=found["floor"].value if "floor" in found else 0.0,
                floor_is="untrained encoder" if "floor" in found else _CONSTANT,
                ceiling=found["ceiling"].value if "ceiling" in found else nan,
                intervals=(before, after),
            )
        )
    return pd.concat(rows, ignore_index=True), clusters, notes


def _own(found: Any, stream: torch.Generator) -> Interval:
    """As `vergence probe` has it."""
    return cluster_bootstrap(found.score, found.truth, found.predicted, found.clusters, generator=stream)


def _holding(path: Path, shared: list[str]) -> Embeddings:
    images = Folder.read(path).images
    missing = set(shared) - set(row_of_each(images.identifiers or (), where=images.path))
    if missing:
        raise CorpusError(
            f"{path} lacks {len(missing):,} of {len(shared):,} images that are compared; embed all of them"
        )
    return images


def _agreement(
    folders: list[Folder], shared: list[str], images: list[Tensor], clusters: Int[np.ndarray, " n"], seed: int
) -> tuple[list[pd.DataFrame], tuple[int, int, int], list[str]]:
    """Rows on how images and texts agree in each folder, how many texts are shared, and what to say."""
    of = [_images_of(one.texts) for one in folders if one.texts is not None]
    row = {key: place for place, key in enumerate(shared)}
    both = [key for key, image in of[0].items() if image in row and of[1].get(key) == image]
    counts = len(both), len(of[0].keys() - of[1].keys()), len(of[1].keys() - of[0].keys())
    if len(both) < 2:
        raise CorpusError(
            "fewer than two texts of shared images are in both folders; embed the same captions with both"
        )
    target = torch.tensor([row[of[0][key]] for key in both])
    texts = [_rows(one.texts, both) for one in folders if one.texts is not None]
    members = torch.from_numpy(np.ascontiguousarray(clusters))
    rows = [_retrieval(images, texts, target, members, seed)]
    _, first = np.unique(target.numpy(), return_index=True)
    one_each = torch.from_numpy(first)
    pairs = [(z[target[one_each]], t[one_each]) for z, t in zip(images, texts, strict=True)]
    own = members[target[one_each]]
    notes, n_own = [], len(np.unique(own.numpy()))
    if n_own >= 10 and len(own) > NEIGHBOURS:
        rows.append(_alignment(pairs, own, seed))
    else:
        notes.append(f"alignment is not compared: there are {len(own)} pairs, it needs more than {NEIGHBOURS}")
    if n_own >= MIN_PAIRS:
        rows.append(_spectrum(pairs, own, seed))
    else:
        notes.append(f"the spectrum is not compared: {n_own} clusters of pairs, it needs {MIN_PAIRS}")
    return rows, counts, notes


def _images_of(texts: Embeddings) -> dict[str, str]:
    """By key, the image that each text is of."""
    keys = list(row_of_each(texts.identifiers or (), where=texts.path))
    return dict(zip(keys, keys if texts.images is None else map(str, texts.images), strict=True))


def _retrieval(images: list[Tensor], texts: list[Tensor], target: Tensor, members: Tensor, seed: int) -> pd.DataFrame:
    found = [retrieve(z, t, image_of_text=target) for z, t in zip(images, texts, strict=True)]
    queries = {"image_retrieval": members[target], "text_retrieval": members[np.unique(target.numpy())]}
    rows = []
    for way, clusters in queries.items():
        ranks = [getattr(one, way) for one in found]
        hits = [torch.stack([one.hits(k) for k in RANKS], dim=1) for one in ranks]
        paired = _shares(hits, clusters, seed, way)
        floor = [min(1.0, k / ranks[0].gallery) for k in RANKS]
        names = [way.replace("_", " ")] * len(RANKS)
        metrics = [f"recall@{k}" for k in RANKS]
        rows.append(
            paired_rows(
                paired,
                names,
                section="retrieval",
                metric=metrics,
                over="items",
                floor=floor,
                floor_is="chance",
                ceiling=1.0,
            )
        )
    return pd.concat(rows, ignore_index=True)


def _shares(values: list[Float[Tensor, "n scores"]], clusters: Tensor, seed: int, what: str) -> Paired:
    one, other = (torch.stack([side, torch.ones_like(side)], dim=-1) for side in values)
    return paired_scores(one, other, share_of_sums, clusters, jump=1 / len(one), generator=named(seed, what))


def _alignment(pairs: list[tuple[Tensor, Tensor]], clusters: Tensor, seed: int) -> pd.DataFrame:
    n = len(clusters)
    cka = cka_difference(pairs[0], pairs[1], clusters, generator=named(seed, "groups"))
    near = [shared_by_item(*find_neighbours(*pair, k=NEIGHBOURS))[:, None] for pair in pairs]
    knn = _shares(near, clusters, seed, "neighbours")
    parts = ((cka, "CKA, unbiased", 0.0), (knn, f"mutual {NEIGHBOURS}-NN", NEIGHBOURS / (n - 1)))
    rows = [
        paired_rows(
            found,
            ["images and texts"],
            section="alignment",
            metric=metric,
            over="items",
            floor=floor,
            floor_is="chance",
            ceiling=1.0,
        )
        for found, metric, floor in parts
    ]
    return pd.concat(rows, ignore_index=True)


def _spectrum(pairs: list[tuple[Tensor, Tensor]], clusters: Tensor, seed: int) -> pd.DataFrame:
    one, other = (canonical_spectrum(*pair, clusters, generator=named(seed, "halves")) for pair in pairs)
    if not one.strengths or not other.strengths:
        raise ConfigError("no direction varies on both sides: all rows of one file are equal")
    found = strength_differences(one, other)
    m = min(DIRECTIONS, len(found.difference.value))
    names = [f"direction {place + 1}" for place in range(len(found.difference.value))]
    rows = paired_rows(
        found,
        names,
        section="spectrum",
        metric="strength",
        over="items",
        floor=max(one.chance, other.chance),
        floor_is="chance",
        ceiling=1.0,
    )
    return rows.head(m)
