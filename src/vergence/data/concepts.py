"""Images with the concepts that they show: a folder for each concept, or any source with a column that names them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vergence.data.rows import IMAGE_SUFFIXES, Columns, Row
from vergence.data.source import Source, read_source
from vergence.errors import ConfigError, CorpusError
from vergence.files import Scratch

Concept = tuple[str, str]


def read_concepts(path: str | Path, columns: Columns = Columns(caption="concept")) -> Source:  # noqa: B008 - frozen
    """Read images with the concepts that they show, which stand where a source has captions.

    Args:
        path: A folder of folders, each called as the concept that its images show (or `group/concept`, two deep); or
            what `read_source` takes, with several rows, or a list, for an image that shows several.
        columns: Which columns of a source say what; concepts are in "concept" by default.

    Returns:
        Its rows; a row's text is a concept, or `group/concept`.

    Raises:
        CorpusError: If there is no image, or what `read_source` raises.
    """
    folder = Path(path)
    if not (folder.is_dir() and _is_of_folders(folder)):
        return read_source(path, replace(columns, caption=columns.caption or "concept"))
    rows = []
    for place, inner, files in os.walk(folder):
        inner.sort()
        within = Path(place).relative_to(folder)
        for name in sorted(files):
            if name.startswith(".") or Path(name).suffix.lower() not in IMAGE_SUFFIXES:
                continue
            key = (within / name).as_posix()
            rows.append(Row(place=key, image=str(Path(place, name)), text=_spoken(within), key=key))
    if not rows:
        raise CorpusError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}); name a folder with one per concept")
    return Source(f"{len(rows):,} images in folders of their concepts", rows, Scratch(), ())


def _is_of_folders(folder: Path) -> bool:
    """Whether its images lie in folders within it, none beside them, and no table or archive either."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return bool(entries) and all(entry.is_dir() for entry in entries)


def _spoken(within: Path) -> str:
    return "/".join(within.parts[-2:])


def concepts_shown(
    rows: Iterable[Row], groups: Mapping[str, Sequence[str]]
) -> tuple[dict[str, set[Concept]], dict[str, int]]:
    """Which concepts the image of each key shows; a name that several groups have counts in each.

    Args:
        rows: With a key, and a text that names a concept, or a group and a concept with a slash between.
        groups: Names of the concepts of each group.

    Returns:
        By key its concepts; and names that are not known, with how many rows have them.

    Raises:
        ConfigError: If no image shows any of the concepts.
    """
    spelt: dict[str, list[Concept]] = {}
    for group, names in groups.items():
        for name in names:
            for form in (name, f"{group}/{name}"):
                spelt.setdefault(_plain(form), []).append((group, name))
    shown: dict[str, set[Concept]] = {}
    strange: dict[str, int] = {}
    for row in rows:
        if row.reason is not None or row.key is None:
            continue
        found = spelt.get(_plain(row.text)) or spelt.get(_plain(row.text.rsplit("/", 1)[-1]))
        if found is None:
            strange[row.text] = strange.get(row.text, 0) + 1
        else:
            shown.setdefault(row.key, set()).update(found)
    if not shown:
        known = ", ".join(name for names in groups.values() for name in names)
        some = ", ".join(map(repr, list(strange)[:3])) or "none"
        raise ConfigError(f"no image shows a concept of the lexicon; named are {some}, known are {known[:200]}")
    return shown, strange


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
