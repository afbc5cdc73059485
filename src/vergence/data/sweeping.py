"""Folders that are not whole: what is wrong is found row by row, and refused, or left out and counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from vergence.checks import one_of
from vergence.decoding import decode_image
from vergence.errors import CorpusError
from vergence.pairs import Pairs

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_ENDS = {  # how a whole file begins and ends
    ".png": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    ".jpg": (b"\xff\xd8", b"\xff\xd9"),
    ".jpeg": (b"\xff\xd8", b"\xff\xd9"),
    ".webp": (b"RIFF", b""),
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """What was read of a folder.

    Args:
        pairs: All that is whole.
        left_out: How many rows are not, by kind of problem; a row with several counts for the first.
        problems: All that is wrong, a line each, by file and row.
    """

    pairs: Pairs
    left_out: Mapping[str, int]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a row.

    Args:
        kind: What, in a word or two.
        row: Which, from 0; -1 if it is none of the rows.
        text: What, where and how.
    """

    kind: str
    row: int
    text: str

    def moved(self, by: int) -> "Problem":
        """The same, of a row that stands further down in a longer table."""
        return self if self.row < 0 else replace(self, row=self.row + by)


def numbered_images(folder: Path, n: int, *, table: str) -> list[Path | None]:
    """Images that are called by the numbers of rows.

    Args:
        folder: Where they are.
        n: Rows of their table.
        table: What it is called.

    Returns:
        The image of each row; `None` where there is none.

    Raises:
        CorpusError: If there is no such folder, an image is not called by a number, two are called by the same one, or
            the table ends before the images.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} does not exist; images called 000000.png and so on were expected in it")
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        if not (path.stem.isascii() and path.stem.isdigit()):
            raise CorpusError(f"{path} is not called by the number of its row; move it elsewhere")
        number = int(path.stem)
        if number in found:
            raise CorpusError(f"{found[number]} and {path.name} have the same number; keep one of them")
        found[number] = path
    if found and max(found) >= n:
        raise CorpusError(
            f"{table} has {n:,} rows and does not reach {found[max(found)]}; they belong together by number, so which "
            "rows are missing cannot be told"
        )
    return [found.get(number) for number in range(n)]


def check_images(images: Sequence[Path | None], folder: Path, *, check: str) -> list[Problem]:
    """Images that are missing or cannot be read.

    Args:
        images: By row.
        folder: Where they should be.
        check: `ends` if each must begin and end as a whole file does, `pixels` if it must be decoded.

    Raises:
        ConfigError: If it is neither.
    """
    one_of("check", check, ("ends", "pixels"))
    problems = []
    for row, path in enumerate(images):
        if path is None:
            problems.append(Problem("missing image", row, f"{folder / f'{row:06d}.png'} is missing (row {row})"))
        elif reason := _reason(path, decode=check == "pixels"):
            problems.append(Problem("damaged image", row, f"{path} cannot be read (row {row}): {reason}"))
    return problems


def _reason(path: Path, *, decode: bool) -> str:
    """Why an image cannot be read; empty if it can."""
    try:
        if decode:
            decode_image(path)
            return ""
        begin, end = _ENDS[path.suffix.lower()]
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            first = file.read(len(begin))
            file.seek(max(0, size - 64))
            last = file.read()
        return "" if first == begin and end in last else "it does not begin and end as a whole file does"
    except CorpusError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return error.strerror or type(error).__name__


def kept_rows(
    n: int, problems: Sequence[Problem], *, strict: bool, where: Path
) -> tuple[Int[np.ndarray, " k"], dict[str, int]]:
    """Rows with which nothing is wrong, and how many others there are, by kind.

    Raises:
        CorpusError: If anything is wrong and strict, or nothing is left.
    """
    first: dict[tuple[int, int], str] = {}
    for place, problem in enumerate(problems):
        first.setdefault((problem.row, 0) if problem.row >= 0 else (-1, place), problem.kind)
    left_out = dict(sorted(Counter(first.values()).items()))
    counted = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items())
    if problems and strict:
        raise CorpusError(f"{problems[0].text}. In all: {counted}; read with strict=False to leave these out")
    kept = np.setdiff1d(np.arange(n), [problem.row for problem in problems])
    if not len(kept):
        raise CorpusError(f"{where} holds no whole pair: {counted or 'it is empty'}")
    return kept, left_out
