"""Labels of a whole source by its pixels, as `vergence audit --labels` reads them: one row an image, with its key."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vergence import __version__
from vergence.checks import at_least
from vergence.data.color_names import color_table
from vergence.data.pixels import PIXEL_FACTORS, Label, check_factors, label_image, label_table, needs_colors
from vergence.data.rows import Columns
from vergence.data.source import Source, StoredImages, read_source
from vergence.errors import CorpusError, FactorError
from vergence.files import decode, parse_json, parse_yaml, whole, yaml_text
from vergence.folders import JobFolder, WhenPresent

LABELS, ABOUT, LEXICON, ERRORS = "labels.parquet", "labels.json", "lexicon.yaml", "errors.json"
_GROUP = 1024  # images whose labels are waited for together
_NAMED = 20


@dataclass(frozen=True)
class Labelled:
    """What was labelled.

    Args:
        images: How many images have been looked at.
        captions: How many captions those that can be read have.
        values: By factor and value, how many images have it.
        unlabelled: By factor and reason, how many images have none.
        left_out: By reason, how many rows have no labels at all.
        rows: The first of them, with the reason.
        notes: What of the source was passed over, a line each.
    """

    images: int
    captions: int
    values: Mapping[str, Mapping[str, int]]
    unlabelled: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]
    rows: Sequence[str]
    notes: Sequence[str]


def label_source(
    source: str | Path,
    factors: Sequence[str] = tuple(PIXEL_FACTORS),
    *,
    out: Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    workers: int = 1,
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Labelled:
    """Label the images of a source by their pixels.

    The folder gets `lexicon.yaml`, how captions mention the values; `errors.json`, how often pixels confuse them, of
    those factors where that was measured; `labels.json`, how many images have which label, or none and why; and last
    `labels.parquet`, a row for each image, with `key`, `caption` (a list of all that it has) and a column for each
    factor. An image that cannot be read is left out with its captions.

    Args:
        source: A file, folder or glob: see `vergence.data.LAYOUTS`.
        factors: Which of `PIXEL_FACTORS`.
        out: The folder to write to.
        columns: Which columns of the source say what, where their names do not.
        workers: Threads that read and label images, >= 1; what is written does not depend on their number.
        present: What to do if the folder is not empty: see `JobFolder.claim`. Labels that are whole are not made again.
        about: What else `labels.json` is to say.
        progress: Is told how many images are done, and of how many.

    Returns:
        How much was labelled, and what was not.

    Raises:
        CorpusError: If the source or a column is missing, there is no pair, one key names two images, or no image can
            be read.
        ConfigError: If a setting is out of range, or the folder cannot be used.
        MissingExtraError: If scikit-image is not installed.
    """
    check_factors(factors)
    at_least("workers", workers, 1)
    if needs_colors(factors):
        color_table()  # before anything is read
    read = read_source(source, columns)
    first = read.by_key()
    folder = JobFolder.claim(out, label_job(source, read, pixels=list(factors)), present=present)
    if not (folder.path / LABELS).is_file():
        found, wrong = _read_labels(read, first, factors, workers=workers, progress=progress)
        folder.write_text(LEXICON, yaml_text(pixel_lexicon(factors)))
        known = [name for name in factors if any(labels[name].value is not None for labels in found.values())]
        if errors := pixel_errors(known):
            folder.write_json(ERRORS, errors)
        values = {name: PIXEL_FACTORS[name] for name in factors}
        write_labels(folder, read, found, wrong, values=values, about=about or {})
    return written_labels(folder, read)


def written_labels(folder: JobFolder, read: Source) -> Labelled:
    """What `write_labels` has written, in short."""
    said = folder.read_json(ABOUT) or {}
    return Labelled(
        **{name: said[name] for name in ("images", "captions", "values", "unlabelled", "left_out", "rows")},
        notes=read.notes,
    )


def label_job(source: str | Path, read: Source, **settings: Any) -> dict[str, Any]:
    """What identifies the labelling of a source by some settings."""
    rows = hashlib.sha256(repr([(row.key, row.text, row.reason) for row in read.rows]).encode())
    return {
        "job": "label",
        "source": str(Path(source).resolve()),
        "rows": rows.hexdigest()[:16],
        **settings,
        "vergence": __version__,
    }


def _read_labels(
    read: Source,
    first: Mapping[str, int],
    factors: Sequence[str],
    *,
    workers: int,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, dict[str, Label]], dict[str, str]]:
    """By key, the labels of each image that can be read, and why others cannot."""
    keys = list(first)
    stored, numbers = read.images(list(first.values()))
    found, wrong = dict[str, dict[str, Label]](), dict[str, str]()
    for key, label in zip(keys, _labels(stored, numbers.tolist(), factors, workers), strict=True):
        if isinstance(label, str):
            wrong[key] = label
        else:
            found[key] = label
        progress(len(found) + len(wrong), len(keys))
    if not found:
        raise CorpusError(f"none of {len(keys)} images can be read; {keys[0]}: {wrong[keys[0]]}")
    return found, wrong


def _labels(
    stored: StoredImages, numbers: list[int], factors: Sequence[str], workers: int
) -> Iterator[dict[str, Label] | str]:
    """Labels of images, or why one cannot be read, in their order."""

    def one(number: int) -> dict[str, Label] | str:
        try:
            return label_image(stored.layered(number), factors)
        except CorpusError as error:
            return str(error)

    with ThreadPoolExecutor(workers, thread_name_prefix="label") as pool:
        for at in range(0, len(numbers), _GROUP):
            yield from pool.map(one, numbers[at : at + _GROUP])


def write_labels(
    folder: JobFolder,
    read: Source,
    found: Mapping[str, Mapping[str, Label]],
    wrong: Mapping[str, str],
    *,
    values: Mapping[str, Sequence[str]],
    about: Mapping[str, Any],
) -> None:
    """Write `labels.json` and then `labels.parquet`; see `label_source`.

    Args:
        folder: Where to.
        read: The source.
        found: By key of each image that can be read, its labels by factor.
        wrong: By key, why others cannot.
        values: Of each factor.
        about: What else `labels.json` is to say.
    """
    factors = list(values)
    by_image = label_table(list(found.values()), factors)
    reasons = [row.reason or wrong.get(str(row.key)) for row in read.rows]
    kept = [row for row, reason in zip(read.rows, reasons, strict=True) if reason is None]
    folder.write_json(
        ABOUT,
        {
            "images": len(found),
            "captions": len(kept),
            "values": {name: _counts(by_image[name], values[name]) for name in factors},
            "unlabelled": by_image.attrs["unlabelled"],
            "left_out": _kinds(reason for reason in reasons if reason),
            "rows": list(
                islice((f"{row.place}: {why}" for row, why in zip(read.rows, reasons, strict=True) if why), _NAMED)
            ),
            **about,
        },
    )
    captions: dict[str, list[str]] = {key: [] for key in found}
    for row in kept:
        captions[str(row.key)].append(row.text)
    table = {"key": pa.array(captions, pa.string()), "caption": pa.array(captions.values(), pa.list_(pa.string()))}
    table |= {name: pa.array(by_image[name], pa.string()) for name in factors}
    with whole(folder.path / LABELS, of_job=True) as partial:
        pq.write_table(pa.table(table), partial)


def _counts(labels: pd.Series, values: Sequence[str]) -> dict[str, int]:
    return {value: int((labels == value).sum()) for value in values}


def _kinds(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason comes, by what is before its colon."""
    counts: dict[str, int] = {}
    for reason in reasons:
        kind = reason.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def pixel_lexicon(factors: Sequence[str] = tuple(PIXEL_FACTORS)) -> dict[str, Any]:
    """The lexicon of what pixels show, as lexicon files have it: groups for the factors, concepts for their values.

    Raises:
        FactorError: If pixels do not state a factor.

    Example:
        >>> pixel_lexicon(["color"])["groups"][0]["concepts"]["grey"]
        ['grey', 'gray', 'silver']
    """
    content: dict[str, Any] = parse_yaml(_packaged("pixel-lexicon.yaml"), where="pixel-lexicon.yaml")
    groups = {group["name"]: group for group in content["groups"]}
    if missing := [name for name in factors if name not in groups]:
        raise FactorError(f"pixels state no {missing[0]!r}; they state: {', '.join(groups)}")
    return {**content, "groups": [groups[name] for name in factors]}


def pixel_errors(factors: Sequence[str] = tuple(PIXEL_FACTORS)) -> dict[str, dict[str, dict[str, float]]]:
    """How often pixels confuse values, `{factor: {value: {label: rate}}}`, of those factors where it was measured.

    Rates are those of `benchmarks/results/pixel_labels.json`, of images that got a label.

    Example:
        >>> sorted(pixel_errors()), round(sum(pixel_errors()["color"]["red"].values()), 3)
        (['chroma', 'color', 'lightness'], 1.0)
    """
    measured = parse_json(_packaged("pixel-errors.json"), where="pixel-errors.json")
    return {name: measured[name] for name in factors if name in measured}


def _packaged(name: str) -> str:
    return decode((files("vergence.data") / name).read_bytes(), where=name)
