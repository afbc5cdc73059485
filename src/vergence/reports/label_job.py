"""From images and a model to labels: zero-shot scores of the groups of a lexicon, in a folder with what audit needs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from vergence.checks import inside, probability
from vergence.corpus import Concept, Group, Lexicon
from vergence.data.labelling import LABELS, LEXICON, Labelled, label_job, write_labels, written_labels
from vergence.data.pixels import Label
from vergence.data.rows import Columns
from vergence.data.source import read_source
from vergence.errors import ConfigError, unknown
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.metrics.scale import unit
from vergence.probes.assigned import MARGIN, THRESHOLD, best_values, present_values
from vergence.probes.awareness import BARE, check_templates, embed_concepts
from vergence.training.embed_images import UNREADABLE, embedded_images
from vergence.training.models import Dtype, ImageTextModel, load_model, weights_digest

SCORES = "scores.parquet"
"""By key and factor, how sure the labels are."""
_COLUMNS = ("key", "caption")
_NO = ("no", "without", "without a", "without an")


@dataclass(frozen=True)
class Rule:
    """When an image gets a label.

    Args:
        margin: The least difference of probabilities; see `vergence.probes.assigned`.
        threshold: The probability from which on a concept of the groups in `several` is there.
        several: Groups of which an image may show several concepts, or none.
        templates: Sentences with one `{}`.

    Raises:
        ConfigError: If a number is out of range, or a template has no place for a name.
    """

    margin: float = MARGIN
    threshold: float = THRESHOLD
    several: Collection[str] = ()
    templates: Sequence[str] = BARE

    def __post_init__(self) -> None:
        probability("margin", self.margin)
        inside("threshold", self.threshold, 0, 1)
        check_templates(self.templates)


def label_by_model(
    source: str | Path,
    model: str,
    *,
    lexicon: Lexicon,
    out: Path,
    rule: Rule = Rule(),
    columns: Columns = Columns(),  # noqa: B008 - frozen
    batch_size: int = 64,
    workers: int = 1,
    device: str = "cpu",
    dtype: Dtype = "float32",
    download: bool = False,
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
) -> Labelled:
    """Label the images of a source by a model's zero-shot scores.

    The folder gets `lexicon.yaml`, for the audit; `labels.json` and `labels.parquet` as those of labels by pixels, and
    `scores.parquet`, how sure each label is; and the embeddings of the images, which are not made again. A factor is a
    group; of a group in `several`, each concept is one, with the values "dog" and "no dog".

    Args:
        source: What `read_source` takes.
        model: A folder that `load_model` takes.
        lexicon: Whose groups and concepts are asked for.
        out: The folder to write to.
        rule: When an image gets a label.
        columns: Which columns of the source say what.
        batch_size: Images at once.
        workers: Threads that decode.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What the model computes in.
        download: Whether the model may be fetched.
        present: What to do if the folder is not empty.
        about: What else `labels.json` is to say.

    Raises:
        CorpusError: If the source or the model cannot be read, or no image can.
        ConfigError: If a group is unknown or cannot be a factor, or a setting is out of range.
    """
    factors = factors_of(lexicon, rule.several)
    encoder = load_model(model, device=device, dtype=dtype, download=download)
    read = read_source(source, columns)
    first = read.by_key()
    digest = weights_digest(encoder)
    settings = {
        "model": digest,
        "lexicon": lexicon.fingerprint[:16],
        "rule": [rule.margin, rule.threshold, sorted(rule.several), list(rule.templates)],
    }
    folder = JobFolder.claim(out, label_job(source, read, **settings), present=present)
    name = f"images-{digest}.parquet"
    z, keys = embedded_images(folder, name, encoder, read, first, batch_size=batch_size, workers=workers)
    if not (folder.path / LABELS).is_file():
        codes, margins = scored(z, encoder, lexicon, rule)
        folder.write_text(LEXICON, audited(lexicon, rule.several).to_yaml())
        table = {factor: pa.array(of, pa.float64()) for factor, of in margins.items()}
        with whole(folder.path / SCORES, of_job=True) as unfinished:
            pq.write_table(pa.table({"key": pa.array(keys, pa.string()), **table}), unfinished)
        labels = {factor: _named(codes[factor], values) for factor, values in factors.items()}
        found = {key: {factor: labels[factor][row] for factor in factors} for row, key in enumerate(keys)}
        wrong = folder.read_json(UNREADABLE) or {}
        write_labels(folder, read, found, wrong, values=factors, about=about or {})
    return written_labels(folder, read)


def factors_of(lexicon: Lexicon, several: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """By factor, its values: a group and its concepts, or a concept of a group in `several`, there or not.

    Raises:
        ConfigError: If a group in `several` is unknown, a group of one concept is not in it, or a factor would be
            called as a column of the labels is.

    Example:
        >>> pets = Lexicon("pets", (Group("animal", (Concept("dog"), Concept("cat"))),))
        >>> factors_of(pets), factors_of(pets, ["animal"])
        ({'animal': ('dog', 'cat')}, {'dog': ('dog', 'no dog'), 'cat': ('cat', 'no cat')})
    """
    lexicon = audited(lexicon, several)
    found = {group.name: tuple(concept.name for concept in group.concepts) for group in lexicon.groups}
    for name, values in found.items():
        if name in _COLUMNS:
            raise ConfigError(f"a group cannot be called {name!r}, as a column of the labels is; rename it")
        if len(values) == 1:
            raise ConfigError(
                f"group {name!r} has one concept, which every image would get; name it with --several, so that images "
                "are asked whether they show it"
            )
    return found


def audited(lexicon: Lexicon, several: Collection[str]) -> Lexicon:
    """The lexicon with a group for each factor.

    Raises:
        ConfigError: If a group in `several` is unknown.
    """
    names = [group.name for group in lexicon.groups]
    for name in several:
        if name not in names:
            raise ConfigError(unknown("group", name, names))
    taken = [*names, *(concept.name for concept in lexicon.concepts), *_COLUMNS]
    groups = []
    for group in lexicon.groups:
        if group.name not in several:
            groups.append(group)
            continue
        for concept in group.concepts:
            name = concept.name if taken.count(concept.name) == 1 else f"{group.name}: {concept.name}"
            groups.append(Group(name, _there_or_not(concept), group.tier))
    return replace(lexicon, groups=tuple(groups))


def _there_or_not(concept: Concept) -> tuple[Concept, Concept]:
    """A concept, and its absence, which captions mention by saying so."""
    absent = tuple(f"{no} {form}" for form in concept.surface_forms for no in _NO)
    return replace(concept, exclude=(*concept.exclude, *absent)), Concept(f"no {concept.name}", absent)


def scored(
    z: Tensor, model: ImageTextModel, lexicon: Lexicon, rule: Rule
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Places of the labels of images, -1 without one, and their margins, by factor in the order of `factors_of`."""
    codes: list[np.ndarray] = []
    margins: list[np.ndarray] = []
    for group in lexicon.groups:
        names = [concept.name for concept in group.concepts]
        z_text = embed_concepts(names, model.embed_texts, templates=rule.templates)
        similarity = (unit(z) @ z_text.T).numpy().astype(np.float64)
        if group.name in rule.several:
            neutral = (unit(z) @ unit(z_text.mean(0, keepdim=True)).T)[:, 0].numpy().astype(np.float64)
            there, sure = present_values(
                similarity,
                neutral,
                scale=model.logit_scale,
                bias=model.logit_bias,
                threshold=rule.threshold,
                margin=rule.margin,
            )
            codes += list(np.where(there < 0, -1, 1 - there).T)  # the value that is there comes first
            margins += list(sure.T)
        else:
            best, sure = best_values(similarity, scale=model.logit_scale, margin=rule.margin)
            codes.append(best)
            margins.append(sure)
    names = list(factors_of(lexicon, rule.several))
    return dict(zip(names, codes, strict=True)), dict(zip(names, margins, strict=True))


def _named(codes: np.ndarray, values: Sequence[str]) -> list[Label]:
    none = Label(None, "the margin is small")
    return [none if code < 0 else Label(values[code]) for code in codes.tolist()]
