"""The official folders of Multimodal3DIdent and Causal3DIdent: rendered objects, by factors that are mostly continuous.

Rows of tables and lines of text belong to images by their number alone. So whatever cannot be told row by row, a table
of another length or one that contradicts another, is refused always; what is wrong with one row can be left out.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from jaxtyping import Float

from vergence.checks import one_of
from vergence.data.npy import listed, read_npy
from vergence.data.source import StoredImages
from vergence.data.sweeping import Problem, Read, check_images, kept_rows, numbered_images
from vergence.errors import CorpusError
from vergence.factors import Factor, FactorSpace
from vergence.files import Scratch, read_text
from vergence.misalignment import Misalignment
from vergence.pairs import Pairs
from vergence.scenes import scenes

_COLUMNS: Mapping[str, str] = MappingProxyType(  # what the tables call the factors
    {
        "shape": "object_shape",
        "x": "object_xpos",
        "y": "object_ypos",
        "spot_position": "spotlight_pos",
        "object_hue": "object_color",
        "spot_hue": "spotlight_color",
        "background_hue": "background_color",
        "rotation_alpha": "object_alpharot",
        "rotation_beta": "object_betarot",
        "rotation_gamma": "object_gammarot",
    }
)
_SAID: Mapping[str, tuple[str, ...]] = MappingProxyType(  # the tables of texts; one spells a name in its own way
    {
        "shape": ("object_shape",),
        "x": ("object_xpos",),
        "y": ("object_ypos",),
        "spot_position": ("spotlight_pos",),
        "object_hue": ("object_color_name",),
        "spot_hue": ("spotlight_color_name", "splotlight_color_name"),
        "background_hue": ("background_color_name",),
    }
)
_LATENTS = (  # of Causal3DIdent, in the order of its columns
    "x", "y", "z", "rotation_alpha", "rotation_beta", "rotation_gamma", "spot_position", "object_hue", "spot_hue",
    "background_hue",
)  # fmt: skip
_MOST_TEXT = 1 << 30


def read_multimodal3dident(
    folder: str | Path, *, text: str | None = None, strict: bool = True, check: str = "ends"
) -> Read:
    """Read a part of Multimodal3DIdent, or of [cai2025]'s Causal3DIdent, as their scripts lay it out.

    That is `images/000000.png` and so on, `latents_image.csv`, and line by line the sentences of `text/text_raw.txt`
    with `latents_text.csv`; in [cai2025]'s there are several, `text/selections_0/text_raw.txt` with
    `latents_text_selections_0.csv`.

    Args:
        folder: One part: `train`, `val` or `test`.
        text: Which sentences, where there are several: `selections_0`.
        strict: Whether to refuse the folder if anything is wrong, instead of leaving rows out and counting them.
        check: How images are looked at: `ends`, for the beginning and end of a whole file, or `pixels`: decoded.

    Returns:
        The pairs, of the factors of `scenes("causal3dident")`, and what was left out.

    Raises:
        CorpusError: If it is another folder, tables or lines are not as many as each other or contradict each other,
            or anything else is wrong and strict.
    """
    folder = Path(folder)
    latents = _table(folder / "latents_image.csv", _COLUMNS.values())
    table, lines = _sentences(folder, text)
    images = numbered_images(folder / "images", len(latents), table="latents_image.csv")
    sentences = [line.rstrip("\r") for line in read_text(lines, limit=_MOST_TEXT).rstrip("\r\n").split("\n")]
    if len(sentences) != len(latents):
        raise CorpusError(
            f"{lines} has {len(sentences):,} lines and latents_image.csv {len(latents):,} records; they belong "
            "together by number, so which are missing cannot be told"
        )
    labels, problems = _labels(folder / "latents_image.csv", latents)
    _check_text(table, latents, labels, lines, sentences)
    problems += check_images(images, folder / "images", check=check)
    problems += [Problem("no text", row, f"{lines} line {row + 1} is empty") for row, line in enumerate(sentences)
                 if not line.strip()]  # fmt: skip
    rows, left_out = kept_rows(len(latents), problems, strict=strict, where=folder)
    return Read(
        pairs=Pairs(
            images=StoredImages([str(images[row]) for row in rows], Scratch()),
            texts=[sentences[row] for row in rows],
            keys=[f"{row:06d}" for row in rows],
            clusters=rows,
            labels=labels.iloc[rows].reset_index(drop=True),
            factors=scenes("causal3dident").space,
            misalignment=_misalignment(table, text),
        ),
        left_out=left_out,
        problems=tuple(problem.text for problem in problems),
    )


def read_causal3dident(folder: str | Path, *, strict: bool = True, check: str = "ends") -> Read:
    """Read a part of Causal3DIdent as published: `images_0/00000.png` and so on and `raw_latents_0.npy` for each shape.

    Positions and rotations are continuous in it, as the hues are; all are brought from [-1, 1] to [0, 1].

    Args:
        folder: One part: `trainset` or `testset`.
        strict: Whether to refuse the folder if anything is wrong, instead of leaving rows out and counting them.
        check: How images are looked at: `ends`, for the beginning and end of a whole file, or `pixels`: decoded.

    Returns:
        The pairs and what was left out. No text is published: captions name the shape.

    Raises:
        CorpusError: If it is another folder, a table is too short for the images or contradicts another, or anything
            else is wrong and strict.
    """
    folder = Path(folder)
    shapes = scenes("causal3dident").space["shape"].values or ()
    files, values, problems = list[Path | None](), list[np.ndarray](), list[Problem]()
    keys, of_shape = list[str](), list[str]()
    for number, shape in enumerate(shapes):
        if not (folder / f"raw_latents_{number}.npy").is_file() and not (folder / f"images_{number}").is_dir():
            problems.append(
                Problem("missing shape", -1, f"{folder} lacks raw_latents_{number}.npy, of shape {shape!r}")
            )
            continue
        latents, found, wrong = _of_shape(folder, number, check=check)
        problems += [problem.moved(len(files)) for problem in wrong]
        keys += [f"{number}/{row:05d}" for row in range(len(latents))]
        files, of_shape = [*files, *found], [*of_shape, *[shape] * len(latents)]
        values.append(latents)
    if not values:
        raise CorpusError(f"{folder} holds no part of Causal3DIdent: images_0 and raw_latents_0.npy were expected")
    rows, left_out = kept_rows(len(files), problems, strict=strict, where=folder)
    unit = (np.concatenate(values)[rows] + 1) / 2
    labels = pd.DataFrame({"shape": np.array(of_shape, dtype=object)[rows], **dict(zip(_LATENTS, unit.T, strict=True))})
    return Read(
        pairs=Pairs(
            images=StoredImages([str(files[row]) for row in rows], Scratch()),
            texts=[f"a picture of the {of_shape[row]}" for row in rows],
            keys=[keys[row] for row in rows],
            clusters=rows,
            labels=labels,
            factors=FactorSpace((Factor("shape", shapes), *map(Factor, _LATENTS))),
            misalignment=Misalignment({"shape"}),
        ),
        left_out=left_out,
        problems=tuple(problem.text for problem in problems),
    )


def _of_shape(
    folder: Path, number: int, *, check: str
) -> tuple[Float[np.ndarray, "n latents"], list[Path | None], list[Problem]]:
    """Latents, images and problems of the images of one shape."""
    table = folder / f"raw_latents_{number}.npy"
    with np.errstate(invalid="ignore"):  # a NaN of a damaged file is reported below
        latents = read_npy(table, dtype=("float32", "float64"), shape=(None, len(_LATENTS))).astype(np.float64)
    if (beside := folder / f"latents_{number}.npy").is_file():  # the same, scaled: positions by 2, the rest by pi / 2
        scaled = read_npy(beside, dtype=("float32", "float64"), shape=(None, len(_LATENTS)))
        if scaled.shape != latents.shape or not np.allclose(
            scaled, latents * ([2.0] * 3 + [np.pi / 2] * 7), atol=1e-3, equal_nan=True
        ):
            raise CorpusError(f"{beside} and {table.name} are not of the same images; download both again")
    images = numbered_images(folder / f"images_{number}", len(latents), table=table.name)
    problems = [
        Problem("unknown value", row, f"{table} row {row}: {_LATENTS[column]} must be in [-1, 1]; got "
                f"{latents[row, column]:g}")
        for row, column in np.argwhere(~(np.abs(latents) <= 1 + 1e-4)).tolist()
    ]  # fmt: skip
    problems += _duplicates(table, pd.DataFrame(latents), first=0)
    return latents.clip(-1, 1), images, problems + check_images(images, folder / f"images_{number}", check=check)


def _misalignment(table: pd.DataFrame, text: str | None) -> Misalignment | None:
    """What sentences say by the columns of their table; `None` of those that say some of it wrong."""
    if (text or "").startswith("perturbations"):
        return None
    return Misalignment(name for name, column in _SAID.items() if set(column) & set(table.columns))


def _table(path: Path, needed: Iterable[str]) -> pd.DataFrame:
    """A CSV file as texts, a row for each line; a row without all fields has none."""
    try:
        header, *rows = csv.reader(io.StringIO(read_text(path, limit=_MOST_TEXT).rstrip("\r\n")), strict=True)
    except (csv.Error, ValueError) as error:
        raise CorpusError(f"{path} is no table: {error}") from error
    if missing := [name for name in needed if name not in header]:
        raise CorpusError(f"{path} lacks the columns {', '.join(missing)}; it has {listed(header)}")
    none = [""] * len(header)
    return pd.DataFrame([row if len(row) == len(header) else none for row in rows], columns=header, dtype=object)


def _sentences(folder: Path, text: str | None) -> tuple[pd.DataFrame, Path]:
    """The table of what the sentences say, and the file that they are in."""
    inner = sorted(path.parent.name for path in folder.glob("text/*/text_raw.txt"))
    if text is None:
        if not (folder / "text" / "text_raw.txt").is_file() and inner:
            raise CorpusError(f"{folder} has several texts; name one of them: {', '.join(inner)}")
        return _table(folder / "latents_text.csv", ["object_shape"]), folder / "text" / "text_raw.txt"
    one_of("text", text, inner)
    return _table(folder / f"latents_text_{text}.csv", ["object_shape"]), folder / "text" / text / "text_raw.txt"


def _labels(path: Path, latents: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Values by factor; those that cannot be are the first value, or 0, and a problem."""
    columns, problems = {}, list[Problem]()
    for factor in scenes("causal3dident").space.factors:
        given = latents[_COLUMNS[factor.name]]
        numbers = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
        if factor.values is None:
            allowed, right = "in [0, 1]", (numbers >= 0) & (numbers <= 1)
        else:
            allowed, right = f"in 0..{len(factor.values) - 1}", np.isin(numbers, np.arange(len(factor.values)))
        problems += [
            Problem(
                "unknown value", row, f"{path} record {row + 1}: {given.name} must be {allowed}; got {given[row]!r}"
            )
            for row in np.flatnonzero(~right).tolist()
        ]
        known = np.where(right, numbers, 0.0)
        columns[factor.name] = (
            known if factor.values is None else np.array(factor.values, dtype=object)[known.astype(np.int64)]
        )
    return pd.DataFrame(columns), problems + _duplicates(path, latents, first=1)


def _duplicates(path: Path, latents: pd.DataFrame, *, first: int) -> list[Problem]:
    """Rows that repeat an earlier one: of numbers that were drawn, none comes twice."""
    again = np.flatnonzero(latents.duplicated().to_numpy())
    what = "record" if first else "row"
    return [Problem("duplicate", row, f"{path} {what} {row + first} repeats an earlier one") for row in again.tolist()]


def _check_text(
    table: pd.DataFrame, latents: pd.DataFrame, labels: pd.DataFrame, lines: Path, sentences: list[str]
) -> None:
    """Require tables of images and texts, and sentences, to speak of the same objects: a shifted one does not."""
    if len(table) != len(latents):
        raise CorpusError(
            f"the table of {lines} has {len(table):,} records and latents_image.csv {len(latents):,}; they belong "
            "together by number, so which are missing cannot be told"
        )
    both = pd.DataFrame({"image": latents["object_shape"], "text": table["object_shape"]}).apply(
        pd.to_numeric, errors="coerce"
    )
    known = both.isin(range(len(scenes("causal3dident").space["shape"].values or ()))).all(axis=1)
    apart = np.flatnonzero(known & (both["image"] != both["text"]))
    if len(apart):
        raise CorpusError(
            f"the tables of images and texts beside {lines} are shifted against each other: in record {apart[0] + 1} "
            f"object_shape is {latents['object_shape'][apart[0]]} and {table['object_shape'][apart[0]]}"
        )
    for row, (shape, line) in enumerate(zip(labels["shape"], sentences, strict=True)):
        if known[row] and line.strip() and shape not in line.lower():
            raise CorpusError(f"{lines} line {row + 1} does not speak of its {shape}: it is shifted; got {line[:80]!r}")
