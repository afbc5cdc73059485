"""What a person is asked about a folder of labels, and what the answers say of how often the labels are wrong."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vergence.corpus import DetectorError
from vergence.corpus.asking import UNSURE, allocate, answers_needed, draw, planned_width, strata_of
from vergence.corpus.detectors import SAMPLED, written
from vergence.corpus.errata import NONE, Stratum
from vergence.corpus.intervals import wilson
from vergence.corpus.lexicon_files import load_lexicon
from vergence.data.labelling import ERRORS, LABELS, LEXICON
from vergence.data.rows import Columns
from vergence.data.source import Source, read_source
from vergence.errors import ConfigError, CorpusError, unknown
from vergence.files import read_text
from vergence.folders import JobFolder
from vergence.reports.label_job import SCORES
from vergence.reports.sheet import Question, sheet_html

SAMPLE, SHEET = "sample.json", "sheet.html"
CANNOT_TELL = "(cannot tell)"
WIDTHS = (0.2, 0.1, 0.05)
"""Of intervals for which the number of answers is said."""
ANSWER_COLUMNS = ("key", "factor", "answer")
_SIDE = 320  # pixels of the longer side of an image on the sheet


@dataclass(frozen=True, eq=False)
class Asked:
    """The labels of one factor, divided into strata.

    Args:
        values: The factor's values.
        keys: Of the images.
        strata: Of each image, see `strata_of`.
    """

    values: tuple[str, ...]
    keys: tuple[str, ...]
    strata: np.ndarray

    @property
    def images(self) -> list[int]:
        """How many each stratum has."""
        return [int(n) for n in np.bincount(self.strata[self.strata >= 0], minlength=len(UNSURE) * len(self.values))]

    def needed(self, width: float) -> int:
        """How many answers make the interval of the share of wrong labels this narrow at least."""
        return answers_needed(self.images, width)

    def width(self, n: int) -> float:
        """How wide that interval is at most after so many answers."""
        images = self.images
        return planned_width(images, allocate(images, n))


@dataclass(frozen=True)
class FactorAnswers:
    """What the answers about one factor say.

    Args:
        asked: How many were asked for.
        told: How many name a value, or that there is none.
        cannot_tell: How many say that nobody can tell.
        wrong: Share of labels that are wrong, of images that show one of the values.
        low: Lower end of its interval.
        high: Upper end.
        none: Share of labelled images that show none of the values.
        note: Why there are no rates; empty if there are.
    """

    asked: int
    told: int
    cannot_tell: int
    wrong: float
    low: float
    high: float
    none: float
    note: str = ""


def askable(folder: Path) -> dict[str, Asked]:
    """By factor, the labelled images of a folder that somebody can be asked about.

    Raises:
        CorpusError: If the folder holds no labels.
        ConfigError: If no image has a label.
    """
    if not (folder / LABELS).is_file():
        raise CorpusError(f"{folder} holds no {LABELS}; label the images first")
    labels = pd.read_parquet(folder / LABELS)
    scores = pd.read_parquet(folder / SCORES).set_index("key") if (folder / SCORES).is_file() else None
    found = {}
    for group in load_lexicon(folder / LEXICON).groups:
        if group.name not in labels:
            continue
        values = tuple(concept.name for concept in group.concepts)
        codes = labels[group.name].map({value: place for place, value in enumerate(values)}).fillna(-1)
        margins = None if scores is None else scores.loc[labels["key"], group.name].to_numpy()
        strata = strata_of(codes.to_numpy(dtype=np.int64), margins)
        if (strata >= 0).any():
            found[group.name] = Asked(values, tuple(labels["key"]), strata)
    if not found:
        raise ConfigError(f"no image in {folder} has a label, so there is nothing to ask about")
    return found


def ask(folder: JobFolder, source: str | Path, columns: Columns, n: Mapping[str, int], *, seed: int = 0) -> int:
    """Draw images and write the contact sheet on which a person says what they show.

    The folder gets `sample.json`, the strata with their images and those that are asked about, and `sheet.html`. A
    larger sample of the same seed holds the smaller one, and the sheet still knows its answers.

    Args:
        folder: Of the labels.
        source: What was labelled.
        columns: Which of its columns say what.
        n: By factor, how many images to ask about.
        seed: Of the draw.

    Returns:
        How many questions the sheet has.

    Raises:
        ConfigError: If a number is not positive.
    """
    asked, content, questions = askable(folder.path), dict[str, Any](), list[Question]()
    for number, (factor, many) in enumerate(n.items()):
        of = asked[factor]
        rows = draw(of.strata, many, generator=np.random.default_rng([seed, number]))
        content[factor] = {
            "values": list(of.values),
            "images": of.images,
            "asked": {of.keys[row]: int(of.strata[row]) for row in rows.tolist()},
        }
        questions += [Question(of.keys[row], factor, of.values) for row in rows.tolist()]
    folder.write_json(SAMPLE, {"seed": seed, "factors": content})
    read = read_source(source, columns)
    identity = hashlib.sha256(repr([folder.read_json("job.json"), seed]).encode()).hexdigest()[:16]
    images = _thumbnails(read, list(dict.fromkeys(question.key for question in questions)))
    folder.write_text(SHEET, sheet_html(questions, images, none=NONE, cannot_tell=CANNOT_TELL, identity=identity))
    return len(questions)


def _thumbnails(read: Source, keys: Sequence[str]) -> dict[str, bytes]:
    first = read.by_key()
    stored, numbers = read.images([first[key] for key in keys])
    found = {}
    for key, number in zip(keys, numbers.tolist(), strict=True):
        image = stored.decoded(number)
        image.thumbnail((_SIDE, _SIDE))
        held = io.BytesIO()
        image.save(held, "WEBP", quality=85)
        found[key] = held.getvalue()
    return found


def read_answers(path: Path, sample: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Read the answers of a contact sheet: CSV with the columns key, factor, answer.

    Args:
        path: The file.
        sample: What `ask` wrote.

    Returns:
        By factor and key, the answer; one that is empty is none.

    Raises:
        CorpusError: Naming the line: another header, a factor or key that was not asked about, an answer that is no
            value, or a second answer to one question; or if there is no answer at all.
    """
    factors = sample["factors"]
    found: dict[str, dict[str, str]] = {factor: {} for factor in factors}
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = next(rows, [])
        if header != list(ANSWER_COLUMNS):
            raise CorpusError(f"{path}: the header must be {','.join(ANSWER_COLUMNS)}; got {','.join(header)[:80]!r}")
        for row in rows:
            if not row:
                continue
            where = f"{path}:{rows.line_num}"
            if len(row) != len(header):
                raise CorpusError(f"{where}: a row needs {len(header)} fields; got {len(row)}")
            key, factor, answer = row
            if factor not in factors:
                raise CorpusError(f"{where}: {unknown('factor', factor, factors)}")
            if key not in factors[factor]["asked"]:
                raise CorpusError(f"{where}: {key!r} is no image that was asked about for factor {factor!r}")
            if not answer:
                continue
            known = [*factors[factor]["values"], NONE, CANNOT_TELL]
            if answer not in known:
                raise CorpusError(f"{where}: {unknown(f'answer about factor {factor!r}', answer, known)}")
            if found[factor].get(key, answer) != answer:
                raise CorpusError(f"{where}: {key!r} is answered twice for factor {factor!r}, and differently")
            found[factor][key] = answer
    except csv.Error as error:
        raise CorpusError(f"{path}:{rows.line_num}: not valid CSV: {error}") from error
    if not any(found.values()):
        raise CorpusError(f"{path} holds no answer; answer some questions of {SHEET} first")
    return found


def errors_from_answers(folder: JobFolder, path: Path) -> dict[str, FactorAnswers]:
    """Estimate from answers how often labels are wrong, and write `errors.json`, which audit takes.

    Factors that were not asked about keep the rates that are there.

    Args:
        folder: Of the labels and the sample.
        path: CSV that the sheet gave.

    Returns:
        By factor, what the answers say.

    Raises:
        CorpusError: If there is no sample, or the answers cannot be read; see `read_answers`.
        ConfigError: If no factor's rates can be estimated.
    """
    sample = folder.read_json(SAMPLE)
    if sample is None:
        raise ConfigError(f"{folder.path} holds no {SAMPLE}: nobody was asked; pass --ask N or --width W first")
    answers = read_answers(path, sample)
    detectors, strata, found = {}, {}, {}
    for factor, of in sample["factors"].items():
        own = strata_answered(of, answers[factor])
        note = ""
        try:
            detectors[factor] = DetectorError.from_sample(of["values"], own)
            strata[factor] = own
        except ConfigError as error:
            note = str(error)
        found[factor] = _summary(of, answers[factor], own, note)
    if not detectors:
        raise ConfigError(f"{path}: no rates can be estimated; {next(iter(found.values())).note}")
    before = folder.read_json(ERRORS) or {}
    kept = {factor: one for factor, one in (before.pop(SAMPLED, None) or {}).items() if factor not in detectors}
    content = {**before, **written(detectors, strata)}
    content[SAMPLED] = {**kept, **content[SAMPLED]}
    folder.write_json(ERRORS, content)
    return found


def strata_answered(of: Mapping[str, Any], answers: Mapping[str, str]) -> list[Stratum]:
    """The strata of a factor's sample with their answers; who cannot tell has given none."""
    seen: dict[int, dict[str, int]] = {}
    for key, answer in answers.items():
        if answer != CANNOT_TELL:
            counts = seen.setdefault(of["asked"][key], {})
            counts[answer] = counts.get(answer, 0) + 1
    return [
        Stratum(of["values"][number // len(UNSURE)], images, dict(sorted(seen.get(number, {}).items())))
        for number, images in enumerate(of["images"])
        if images
    ]


def _summary(of: Mapping[str, Any], answers: Mapping[str, str], strata: Sequence[Stratum], note: str) -> FactorAnswers:
    """Shares over all images of the strata with an answer, at the effective number of answers."""
    told = [one for one in strata if one.answered]
    total = sum(one.images for one in told)
    wrong = none = variance = 0.0
    for one in told:
        share, n = one.images / total if total else 0, one.answered
        right, outside = one.answers.get(one.label, 0) / n, one.answers.get(NONE, 0) / n
        wrong += share * (1 - right - outside)
        none += share * outside
        variance += share**2 * (right + outside) * (1 - right - outside) / n * (1 - n / one.images)
    wrong = wrong / (1 - none) if none < 1 else float("nan")
    trials = wrong * (1 - wrong) / variance if variance > 0 else sum(one.answered for one in told)
    low, high = wilson(np.array([wrong * trials]), trials) if told and none < 1 else (np.zeros(1), np.ones(1))
    if strata and all(one.answered == one.images for one in strata):
        low = high = np.array([wrong])
    return FactorAnswers(
        asked=len(of["asked"]),
        told=sum(one.answered for one in told),
        cannot_tell=sum(answer == CANNOT_TELL for answer in answers.values()),
        wrong=wrong,
        low=float(low[0]),
        high=float(high[0]),
        none=none,
        note=note,
    )
