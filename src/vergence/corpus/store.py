"""The folder of an audit: what it is to count, and the counts of the parts that are done, each file with its digest."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vergence.corpus.counting import FORMAT, Settings
from vergence.corpus.coverage import Coverage
from vergence.corpus.lexicon import Lexicon
from vergence.errors import CorpusError, OutputError
from vergence.files import JOURNAL, parse_json, read_text, write_bytes, write_json, write_text
from vergence.sources.discovery import Part
from vergence.sources.problems import Problems, short

_MARK = "vergence audit"  # the first line of the file that marks an audit's folder


def claim_results(folder: Path) -> None:
    """Make the folder of an audit and mark it; one that holds anything else is refused, and nothing in it changed.

    Raises:
        OutputError: If it is a file, holds something else, or cannot be written to.
    """
    mark = folder / JOURNAL
    try:
        if folder.exists() and any(folder.iterdir()) and not (mark.is_file() and read_text(mark).startswith(_MARK)):
            raise OutputError(f"{folder} holds something else than an audit; choose another folder with --out")
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        reason = getattr(error, "strerror", None) or short(error)
        raise OutputError(f"{folder} cannot be used: {reason}; choose another folder with --out") from error
    if not mark.is_file():
        write_text(mark, f"{_MARK}\n")


class Store:
    """The folder of an audit: a manifest of what it is to count, and the counts of the parts that are done."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        claim_results(folder)

    def describe(self, everything: Sequence[Part], beside: Problems, shard: tuple[int, int]) -> None:
        """Write down what is to be counted, here and by other shards, and what lies beside the corpus."""
        manifest = {
            "format": FORMAT,
            "settings": self.settings.fingerprint,
            "lexicon": self.settings.lexicon.to_yaml(),
            "match": self.settings.match,
            "n_examples": self.settings.n_examples,
            "shard": list(shard),
            "parts": {self.settings.key(part): part.path for part in everything},
            "beside": beside.to_dict(),
        }
        write_json(self.folder / "manifest.json", manifest)

    def load(self, part: Part) -> Coverage | None:
        """The counts of a part; none if it was not counted yet, or its file is damaged."""
        try:
            return unpacked(self._file(part).read_bytes(), self.settings.lexicon)
        except (FileNotFoundError, CorpusError):
            return None

    def save(self, part: Part, data: bytes) -> None:
        """Keep the counts of a part."""
        file = self._file(part)
        for outdated in file.parent.glob(f"{self.settings.key(part)}-*.counts"):  # of the file before it was changed
            outdated.unlink()
        write_bytes(file, sha256(data).digest() + data)

    def _file(self, part: Part) -> Path:
        return self.folder / "parts" / f"{self.settings.key(part)}-{part.modified:x}.counts"


def unpacked(data: bytes, lexicon: Lexicon) -> Coverage:
    """The counts in a file, which begins with their digest.

    Raises:
        CorpusError: If it is not as it was written.
    """
    if sha256(data[32:]).digest() != data[:32]:
        raise CorpusError("damaged counts")
    return Coverage.from_bytes(data[32:], lexicon)


_MANIFEST = MappingProxyType(
    {"settings": str, "lexicon": str, "match": str, "n_examples": int, "shard": list, "parts": dict, "beside": dict}
)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the audit in a folder counts.

    Raises:
        CorpusError: If there is none, or it is damaged or of another version.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise CorpusError(f"{folder} holds no audit of a corpus; name the --out folders of shards")
    manifest = parse_json(read_text(path, limit=1 << 30), where=str(path))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CorpusError(f"{folder} was written by another version of vergence; audit it again")
    for name, kind in _MANIFEST.items():
        if not isinstance(manifest.get(name), kind):
            raise CorpusError(f"{path} is damaged: it lacks {name!r}; audit that shard again")
    return manifest
