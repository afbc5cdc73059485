"""Lexicons from WordNet: a synset's kinds become concepts, their lemmas the surface forms.

Reads the database files of WordNet 3.x as Debian's package `wordnet-base` installs them.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vergence.checks import at_least
from vergence.corpus.lexicon import Concept, Group, Lexicon
from vergence.errors import CorpusError, unknown
from vergence.files import read_text

DEBIAN_FOLDER = "/usr/share/wordnet"
_FILES = {"n": "noun", "v": "verb"}
# lemma pos synset_count pointer_count pointers... sense_count tagged_count offsets...
_INDEX = re.compile(r"\S+ [nvasr] [0-9]+ [0-9]+(?: [^\s0-9]\S*)* [0-9]+ [0-9]+(?P<offsets>(?: [0-9]{8})+)\s*", re.ASCII)
# offset file type word_count (word id)... pointer_count (symbol offset pos source_target)...
_DATA = re.compile(
    r"(?P<offset>[0-9]{8}) [0-9]{2} [nvasr] [0-9a-f]{2} (?P<words>(?:\S+ [0-9a-f] )+)(?P<count>[0-9]{3}) "
    r"(?P<pointers>(?:\S+ [0-9]{8} [nvasr] [0-9a-f]{4} )*)",
    re.ASCII,
)


@dataclass(frozen=True)
class _Synset:
    name: str
    lemmas: tuple[str, ...]
    kinds: tuple[int, ...]


def lexicon_from_wordnet(synset: str, *, depth: int = 1, folder: str | Path | None = None) -> Lexicon:
    """A lexicon of the kinds of a thing: one concept for each synset down to a depth, a group for each direct kind.

    A mention of a kind is a mention of what it is a kind of: a concept holds the lemmas of everything below it, also
    below `depth`. The synset itself is a concept in a group of its own.

    Args:
        synset: lemma.pos.number, pos n or v: "dog.n.01" is the first sense of the noun dog.
        depth: How many levels of kinds become concepts; at least 0.
        folder: Where data.noun and index.noun are; the environment's WNSEARCHDIR or Debian's folder if not given.

    Returns:
        The lexicon, named after the synset; concepts of one name are told apart by the synset's own name.

    Raises:
        CorpusError: If WordNet is not installed, with the line that installs it, or the synset is unknown.
    """
    at_least("depth", depth, 0)
    lemma, pos, number = _parse(synset)
    root = Path(folder or os.environ.get("WNSEARCHDIR") or DEBIAN_FOLDER)
    offset = _sense(root / f"index.{_FILES[pos]}", lemma, number, synset)
    synsets = _read(root / f"data.{_FILES[pos]}", pos)
    if offset not in synsets:
        raise CorpusError(f"{root} is not whole: its index names {offset:08d} for {synset!r}, which is not there")
    concepts = {offset: _concept(offset, synsets)}
    groups = [Group(concepts[offset].name, (concepts[offset],))]
    for kind in synsets[offset].kinds if depth else ():
        members = [node for node in _down(kind, synsets, depth - 1) if node not in concepts]
        concepts |= {node: _concept(node, synsets) for node in members}
        if members:
            groups.append(_group(members, concepts, synsets))
    names = [group.name for group in groups]
    groups = [
        Group(f"{group.name} ({number})", group.concepts) if group.name in names[:number] else group
        for number, group in enumerate(groups)
    ]
    return Lexicon(synset, tuple(groups), source=f"WordNet, kinds of {synset} to depth {depth}", language="English")


def _parse(synset: str) -> tuple[str, str, int]:
    lemma, _, rest = synset.rpartition(".")
    lemma, _, pos = lemma.rpartition(".")
    if not lemma or pos not in _FILES or not re.fullmatch("[0-9]{1,4}", rest) or int(rest) < 1:
        raise CorpusError(f"a synset is written lemma.pos.number with pos n or v, such as dog.n.01; got {synset!r}")
    return lemma.lower().replace(" ", "_"), pos, int(rest)


def _lines(path: Path) -> list[str]:
    if not os.path.exists(path):
        raise CorpusError(
            f"WordNet is not at {path.parent}; install it with: apt-get install wordnet-base, or give its folder"
        )
    return read_text(path).split("\n")


def _sense(path: Path, lemma: str, number: int, synset: str) -> int:
    entries = {line.split(" ", 1)[0]: line for line in _lines(path) if not line.startswith(" ")}
    if lemma not in entries:
        near = [name for name in entries if name[:2] == lemma[:2]]
        raise CorpusError(unknown("lemma", lemma, near[:8]) if near else f"WordNet has no lemma {lemma!r}")
    found = _INDEX.fullmatch(entries[lemma])
    if not found:
        raise CorpusError(f"{path}: the line of {lemma!r} is not of WordNet's form; copy the file anew")
    offsets = found["offsets"].split()
    if number > len(offsets):
        raise CorpusError(f"{lemma!r} has {len(offsets)} senses; got {synset!r}")
    return int(offsets[number - 1])


def _read(path: Path, pos: str) -> dict[int, _Synset]:
    synsets = {}
    for number, line in enumerate(_lines(path), start=1):
        if line.startswith(" ") or not line:
            continue
        found = _DATA.match(line)
        if not found or len(found["pointers"].split()) != 4 * int(found["count"]):
            raise CorpusError(f"{path}:{number} is not of WordNet's form; copy the file anew")
        lemmas = tuple(word.replace("_", " ") for word in found["words"].split()[::2])
        pointers = found["pointers"].split()
        quads = zip(pointers[::4], pointers[1::4], pointers[2::4], strict=True)
        kinds = tuple(int(target) for symbol, target, part in quads if symbol in ("~", "~i") and part == pos)
        synsets[int(found["offset"])] = _Synset(f"{lemmas[0]} ({pos}{found['offset']})", lemmas, kinds)
    for synset in synsets.values():
        if lost := [kind for kind in synset.kinds if kind not in synsets]:
            raise CorpusError(f"{path} is not whole: {synset.name} names {lost[0]:08d}, which is not there")
    return synsets


def _down(start: int, synsets: dict[int, _Synset], depth: int) -> list[int]:
    """Synsets reached within `depth` levels, each once, nearest first; all of them if depth is negative."""
    found = {start: None}
    level = [start]
    while level and depth != 0:
        level = [kind for node in level for kind in synsets[node].kinds if kind not in found]
        found |= dict.fromkeys(level)
        depth -= 1
    return list(found)


def _concept(offset: int, synsets: dict[int, _Synset]) -> Concept:
    forms = dict.fromkeys(lemma for node in _down(offset, synsets, -1) for lemma in synsets[node].lemmas)
    return Concept(synsets[offset].lemmas[0], tuple(forms))


def _group(members: list[int], concepts: dict[int, Concept], synsets: dict[int, _Synset]) -> Group:
    names = [concepts[node].name for node in members]
    unique = (
        concepts[node] if names.count(concepts[node].name) == 1 else Concept(synsets[node].name, concepts[node].forms)
        for node in members
    )
    return Group(concepts[members[0]].name, tuple(unique))
