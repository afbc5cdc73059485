"""Weights from a local file or folder: nothing is fetched, nothing is unpickled, nothing that disagrees is loaded.

Beside weights of an image encoder, `NAME.safetensors`, stands `NAME.json` with the preprocessing they were fitted to.
"""

import importlib
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vergence.encoders.preprocessing import Preprocessing
from vergence.errors import ConfigError, CorpusError, MissingExtraError, first_line
from vergence.files import read_json, read_text, write_text
from vergence.tensors import read_tensors, write_tensors

TRANSFORMERS_DESCRIPTIONS = ("config.json", "preprocessor_config.json")
"""Files of a model's folder that say what it is, without its weights."""

_SUFFIXES = (".safetensors", ".pt", ".pth")
_SHOWN = 3


def save_weights(encoder: nn.Module, path: str | Path) -> None:
    """Write an encoder's weights, and its preprocessing beside them where it has one.

    Args:
        encoder: What to save.
        path: A name that ends in `.safetensors`; its folder is made.

    Raises:
        ConfigError: If the name ends otherwise.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ConfigError(f"weights are written as .safetensors; got {path.name!r}")
    beside = path.with_suffix(".json")
    beside.unlink(missing_ok=True)  # first: a save cut short leaves weights that are refused, not misread
    write_tensors(path, encoder.state_dict())
    if (preprocessing := getattr(encoder, "preprocessing", None)) is not None:
        write_text(beside, preprocessing.to_json() + "\n")


def load_weights(encoder: nn.Module, path: str | Path) -> None:
    """Load weights into an encoder, all of them or none.

    Args:
        encoder: Of the structure that the weights are for, with the preprocessing that they were fitted to.
        path: A `.safetensors` file, a `.pt` or `.pth` file that holds a mapping from names to tensors, or a folder
            with one such file.

    Raises:
        CorpusError: If the file or its preprocessing is missing or broken, or holds more than tensors.
        ConfigError: If names, shapes or kinds of number differ from the encoder's, or the preprocessing does.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save_weights(nn.Linear(3, 2), Path(folder) / "linear.safetensors")
        ...     load_weights(nn.Linear(4, 2), folder)
        Traceback (most recent call last):
        vergence.errors.ConfigError: ….safetensors is of another model: weight is (2, 3), not (2, 4)
    """
    file = _weights_file(Path(path))
    tensors = _read(file)
    _check_preprocessing(encoder, file)
    own = encoder.state_dict()
    wrong = [
        *(f"{name} is missing" for name in own if name not in tensors),
        *(f"{name} is not expected" for name in tensors if name not in own),
        *(
            f"{name} is {_described(tensors[name], weight)}, not {_described(weight, tensors[name])}"
            for name, weight in own.items()
            if name in tensors and _described(tensors[name], weight) != _described(weight, tensors[name])
        ),
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ConfigError(f"{file} is of another model: {'; '.join(wrong[:_SHOWN])}{more}")
    encoder.load_state_dict(tensors)


def load_preprocessing(path: str | Path) -> Preprocessing:
    """Read the preprocessing that stands beside weights, to build their encoder with.

    Args:
        path: As for `load_weights`.

    Raises:
        CorpusError: If the weights or the preprocessing are missing.
        ConfigError: If what is there is not a preprocessing.
    """
    return _preprocessing_of(_weights_file(Path(path)))


class TransformersImageEncoder(nn.Module):
    """Pooled image features of a `transformers` model that lies in a local folder, as its `save_pretrained` wrote it.

    A model with text beside images, such as CLIP, gives its projected image features; any other its pooled output.
    Pixels are scaled as the folder's `preprocessor_config.json` says; the images must have the side that it states.

    Args:
        folder: With `config.json`, `model.safetensors` and `preprocessor_config.json`.
        fitted: Whether to read the weights; if not, they are random until others are loaded, and the two descriptions
            are all that the folder needs to hold.

    Raises:
        CorpusError: If the folder or one of its files is missing, broken or not complete.
        MissingExtraError: If `transformers` is not installed.
    """

    def __init__(self, folder: str | Path, *, fitted: bool = True) -> None:
        super().__init__()
        self.preprocessing = _transformers_preprocessing(Path(folder))
        self.model = transformers_model(Path(folder), fitted=fitted)

    def forward(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type.

        Raises:
            ConfigError: If the model has no pooled output.
        """
        pixels = self.preprocessing(image, dtype=self.model.dtype)
        output = getattr(self.model, "get_image_features", self.model)(pixel_values=pixels)
        pooled = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
        if pooled is None:
            raise ConfigError(
                f"{type(self.model).__name__} has no pooled output; use a model that has, such as ViTModel"
            )
        return pooled.flatten(1)  # some pool to (batch, dim, 1, 1)


def _weights_file(path: Path) -> Path:
    found = sorted(file for file in path.glob("*") if file.suffix in _SUFFIXES) if os.path.isdir(path) else [path]
    if len(found) != 1 or found[0].suffix not in _SUFFIXES or not os.path.isfile(found[0]):
        names = ", ".join(file.name for file in found if os.path.isfile(file)) or "nothing of the kind"
        raise CorpusError(
            f"no weights at {path}: name a {', '.join(_SUFFIXES)} file, or a folder with one such file; found {names}. "
            "Nothing is downloaded: copy the weights there first"
        )
    return found[0]


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return read_tensors(file)[0]
    try:
        held: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CorpusError(
            f"{file} holds more than tensors, or is broken; save its state_dict() as safetensors"
        ) from error
    except Exception as error:  # whatever the bytes of a damaged archive lead torch to
        raise CorpusError(f"{file} is broken ({first_line(error)}); copy it anew") from error
    if not isinstance(held, Mapping) or not all(isinstance(value, Tensor) for value in held.values()):
        raise CorpusError(f"{file} is not a mapping from names to tensors; save the model's state_dict()")
    return {str(name): value for name, value in held.items()}


def _described(tensor: Tensor, other: Tensor) -> str:
    """Its shape; and what kind of number it holds where the other's is different."""
    kinds = [("floating" if each.is_floating_point() else "whole") for each in (tensor, other)]
    return f"{tuple(tensor.shape)}" + (f" of {kinds[0]} numbers" if kinds[0] != kinds[1] else "")


def _check_preprocessing(encoder: nn.Module, file: Path) -> None:
    own: Preprocessing | None = getattr(encoder, "preprocessing", None)
    if own is None and not file.with_suffix(".json").exists():
        return
    stored = _preprocessing_of(file)
    if stored != own:
        raise ConfigError(
            f"{file} was fitted to {stored.to_json()}, the encoder has {own.to_json() if own else 'no preprocessing'}; "
            "build it with preprocessing=load_preprocessing(path)"
        )


def _preprocessing_of(file: Path) -> Preprocessing:
    beside = file.with_suffix(".json")
    if not beside.is_file():
        raise CorpusError(
            f"{beside} is missing: it must state what pixels the weights were fitted to, as "
            f"{Preprocessing(side=64).to_json()}"
        )
    return Preprocessing.from_json(read_text(beside))


def transformers_model(folder: Path, *, fitted: bool, kind: str = "AutoModel") -> Any:
    """A model of `transformers` in a local folder, in evaluation mode; without weights only what its config says."""
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("transformers", "transformers") from error
    transformers.logging.disable_progress_bar()  # there is one door to the terminal, and this is not it
    try:
        if not fitted:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            model = getattr(transformers, kind).from_config(config)
            return model.to(getattr(config, "dtype", None) or torch.float32).eval()
        model, info = getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # whatever the files of a folder lead transformers to
        raise CorpusError(f"{folder} holds no model that can be loaded ({first_line(error)})") from error
    if absent := sorted(map(str, (*info["missing_keys"], *info["mismatched_keys"]))):
        raise CorpusError(f"{folder} lacks weights that would start at random: {', '.join(absent[:_SHOWN])}")
    return model.eval()


def _transformers_preprocessing(folder: Path) -> Preprocessing:
    for name in TRANSFORMERS_DESCRIPTIONS:
        if not os.path.isfile(folder / name):
            raise CorpusError(
                f"{folder / name} is missing: name a folder that save_pretrained of a model and of its image processor "
                "wrote. Nothing is downloaded: copy it there first"
            )
    try:
        given = read_json(folder / "preprocessor_config.json")
        size = given["crop_size"] if given.get("do_center_crop") else given["size"]
        sides = {size} if isinstance(size, int) else set(size.values())
        if len(sides) != 1 or not given.get("do_rescale", True) or given.get("rescale_factor", 1 / 255) != 1 / 255:
            raise ValueError("only square images rescaled by 1/255 are known")
        mean, std = (given["image_mean"], given["image_std"]) if given.get("do_normalize", True) else ([0] * 3, [1] * 3)
        stated = {"side": sides.pop(), "mean": list(mean), "std": list(std)}
        return Preprocessing.from_json(json.dumps(stated))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorpusError(f"{folder / 'preprocessor_config.json'} is not of a known form ({error!r})") from error
