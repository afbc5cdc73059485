"""What a model is aware of: zero-shot scores of every concept of every group, with intervals [cai2025]."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vergence.errors import ConfigError, ShapeError
from vergence.metrics.scale import unit
from vergence.probes.zeroshot import zero_shot

BARE = ("{}",)
"""Prompts as published: the names of concepts alone."""
TEMPLATES = ("a photo of {}", "a picture of {}", "an image that shows {}", "a drawing of {}", "{}")
"""Sentences to put names in, where none are given."""
Concept = tuple[str, str]  # group and name


@dataclass(frozen=True)
class AwarenessTable:
    """What a model sees.

    Args:
        concepts: As `Awareness.concepts`, with a column group before.
        groups: A row for each group with images: group, images, the entries of `Awareness.macro`, several (whether an
            image may have several of its concepts), without_images (concepts of which there is none).
        confusion: By group.
        answers: A row for each image of a group: group, image (its row), shown and told (names of concepts).
    """

    concepts: pd.DataFrame
    groups: pd.DataFrame
    confusion: dict[str, pd.DataFrame]
    answers: pd.DataFrame


def check_templates(templates: Sequence[str]) -> None:
    """Require each template to have one place for a name.

    Raises:
        ConfigError: Naming the first that has not, or if there is none.
    """
    if not templates:
        raise ConfigError('templates must hold at least one sentence, such as "a photo of {}"; got none')
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(
                f'a template must have one {{}}, where the name goes: "a photo of {{}}"; got {template!r}'
            )


def embed_concepts(
    names: Sequence[str], embed_texts: Callable[[list[str]], Tensor], *, templates: Sequence[str] = BARE
) -> Float[Tensor, "n dim"]:
    """The direction of each name: the mean of its unit vectors over all templates, of length 1.

    Raises:
        ConfigError: If a template has not one place for a name.
    """
    check_templates(templates)
    found = [unit(embed_texts([template.replace("{}", name) for name in names])) for template in templates]
    return unit(torch.stack(found).mean(0))


def awareness(
    z_image: Float[Tensor, "n dim"],
    shown: Sequence[Collection[Concept]],
    groups: Mapping[str, Sequence[str]],
    embed_texts: Callable[[list[str]], Tensor],
    *,
    templates: Sequence[str] = BARE,
    clusters: Int[np.ndarray, " n"] | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> AwarenessTable:
    """Score what a model sees of concepts, group by group: all concepts of a group compete, with or without images.

    Args:
        z_image: Of the images.
        shown: Of each image, which concepts of which groups it has.
        groups: Names of the concepts of each group.
        embed_texts: Of the same model.
        templates: Sentences with one `{}` each.
        clusters: Which images belong together; each is its own if `None`.
        seed: Of the resamples.
        n_resamples: How many.

    Raises:
        ShapeError: If images and labels are not as many.
        ConfigError: If a template has no place for a name, or no image shows any of the concepts.
    """
    if len(shown) != len(z_image):
        raise ShapeError(f"there must be labels of every image; got {len(z_image)} images and {len(shown)} labels")
    names = list(dict.fromkeys(name for concepts in groups.values() for name in concepts))
    z_text = dict(zip(names, embed_concepts(names, embed_texts, templates=templates), strict=True))
    z_unit = unit(z_image)
    tables, rows, confusion, answers = [], [], {}, []
    for number, (group, concepts) in enumerate(groups.items()):
        here = np.array([[(group, name) in labels for name in concepts] for labels in shown])
        some = np.flatnonzero(here.any(1))
        missing = [concepts[place] for place in np.flatnonzero(~here.any(0)).tolist()]
        if not len(some):
            continue
        similarity = (z_unit[torch.from_numpy(some)] @ torch.stack([z_text[name] for name in concepts]).T).numpy()
        found = zero_shot(
            similarity,
            here[some],
            concepts,
            clusters=None if clusters is None else clusters[some],
            generator=np.random.default_rng([seed, number]),
            n_resamples=n_resamples,
        )
        tables.append(found.concepts.assign(group=group))
        several = bool((here.sum(1) > 1).any())
        rows.append({"group": group, "images": len(some), **found.macro, "several": several, "without_images": missing})
        confusion[group] = found.confusion
        answers.append(_answers(group, some, concepts, here[some], found.told))
    if not rows:
        raise ConfigError("no image shows a concept of these groups; look at how concepts are spelt")
    table = pd.concat(tables, ignore_index=True)
    ordered = table[["group", *table.columns.drop("group")]]
    return AwarenessTable(ordered, pd.DataFrame(rows), confusion, pd.concat(answers, ignore_index=True))


def _answers(
    group: str,
    images: Int[np.ndarray, " n"],
    concepts: Sequence[str],
    shown: Bool[np.ndarray, "n concepts"],
    told: Bool[np.ndarray, "n concepts"],
) -> pd.DataFrame:
    """What each image shows and is told to show, by name."""
    names = np.array(concepts, dtype=object)
    named = {kind: [names[row].tolist() for row in of_image] for kind, of_image in (("shown", shown), ("told", told))}
    return pd.DataFrame({"group": group, "image": images, **named})
