"""What a folder or file of results holds, told by what is in it."""

from enum import StrEnum
from pathlib import Path

from vergence.encoders import OPEN_CLIP_CONFIG
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json
from vergence.training.export import holds_export

EMBEDDINGS = (".npy", ".safetensors", ".parquet")
"""How a file of embeddings ends; before a table of keys beside it stands the file of numbers."""


class Kind(StrEnum):
    """What can be compared."""

    AWARENESS = "awareness"
    AUDIT = "audit"
    EMBEDDINGS = "embeddings"
    MODEL = "model"
    PROBE = "probe"
    ALIGNMENT = "alignment"
    STUDY = "study"
    SEEDS = "seeds"


MADE_BY = {
    Kind.AWARENESS: "awareness.json of vergence awareness",
    Kind.AUDIT: "coverage.json of vergence audit",
    Kind.EMBEDDINGS: "images.parquet of vergence embed",
    Kind.MODEL: "a run of vergence train, or a model of transformers or open_clip",
    Kind.PROBE: "the JSON of vergence probe",
    Kind.ALIGNMENT: "alignment.json or spectrum.json",
    Kind.STUDY: "table.parquet and verdict.json of a study",
    Kind.SEEDS: "folders of one of these kinds, one for each seed",
}
"""By what each is recognised."""


def kind_of(path: Path) -> Kind:
    """Tell what a path holds.

    Raises:
        CorpusError: If it does not exist, or holds nothing that is known; one line that lists what is.
    """
    if not path.exists():
        raise CorpusError(f"{path} does not exist; name a folder of results")
    if path.is_file():
        if is_probe(path):
            return Kind.PROBE
        raise CorpusError(f"{path} is no result of vergence probe; name one, or a folder of results")
    has = [kind for kind, there in _signs(path) if there]
    if has:
        return has[0]
    inner = seeds_in(path)
    if inner and len({kind_of(folder) for folder in inner.values()}) == 1:
        return Kind.SEEDS
    raise CorpusError(f"{path} holds nothing that can be compared; it must hold one of: {'; '.join(MADE_BY.values())}")


def one_kind(before: Path, afters: list[Path]) -> Kind:
    """Require all to be of one kind.

    Raises:
        ConfigError: Naming two that are not.
        CorpusError: As `kind_of` does.
    """
    kind = kind_of(before)
    for path in afters:
        if (other := kind_of(path)) is not kind:
            raise ConfigError(
                f"{before} holds {kind} and {path} holds {other}; compare results of one kind, made by the same command"
            )
    return kind


def seeds_in(path: Path) -> dict[str, Path]:
    """By name, the folders in a folder that holds nothing else that can be compared."""
    folders = (one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith("."))
    return {one.name: one for one in folders if any(there for _, there in _signs(one))}


def embeddings_in(folder: Path, side: str) -> Path | None:
    """The file of embeddings of images or texts; `None` if there is none."""
    return next((one for ending in EMBEDDINGS if (one := folder / f"{side}{ending}").is_file()), None)


def probe_in(path: Path) -> Path | None:
    """The result of `vergence probe` that a path is, or that is the only one in it."""
    found = [path] if path.is_file() else sorted(path.glob("*.json"))
    results = [one for one in found if is_probe(one)]
    return results[0] if len(results) == 1 else None


def is_probe(path: Path) -> bool:
    """Whether a file is what `vergence probe --out` writes."""
    try:
        content = read_json(path)
    except CorpusError:
        return False
    return isinstance(content, dict) and {"embeddings", "labels", "factors", "test_fraction"} <= content.keys()


def _signs(path: Path) -> list[tuple[Kind, bool]]:
    def has(*names: str) -> bool:
        return all((path / name).is_file() for name in names)

    return [
        (Kind.AWARENESS, has("awareness.json")),
        (Kind.AUDIT, has("coverage.json")),
        (Kind.STUDY, has("table.parquet", "verdict.json")),
        (Kind.ALIGNMENT, has("alignment.json") or has("spectrum.json")),
        (Kind.MODEL, holds_export(path) or has(OPEN_CLIP_CONFIG) or has("config.json")),
        (Kind.EMBEDDINGS, embeddings_in(path, "images") is not None),
        (Kind.PROBE, probe_in(path) is not None),
    ]
