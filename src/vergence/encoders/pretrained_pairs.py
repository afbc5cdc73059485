"""Pretrained models with an image tower and a text tower, from a local folder: of `transformers` or of open_clip.

Towers and tokenizers are the library's own, taken as they are. What becomes of an image before its tower is done here
(`Framing`, `Preprocessing`), so that many threads can do it and bytes, not floats, travel; a setting that is not known
is refused. What is transparent is white to `transformers`; to open_clip it has the colour that the file has there.
"""

import importlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from PIL import Image
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.decoding import Clear, as_image
from vergence.encoders.batches import groups, rows_of, several_images, several_texts
from vergence.encoders.framing import Framing
from vergence.encoders.preprocessing import Preprocessing
from vergence.encoders.pretrained import transformers_model
from vergence.encoders.pretrained_images import open_clip_images, transformers_images
from vergence.errors import ConfigError, CorpusError, MissingExtraError, first_line
from vergence.files import read_bytes, read_json, write_bytes, written_by_others
from vergence.tensors import write_tensors

OPEN_CLIP_CONFIG = "open_clip_config.json"
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_TOKENIZING = Lock()  # tokenizers of `transformers` refuse a second thread
_DESCRIPTIONS = (".json", ".txt", ".model")  # of a model, beside its weights
_PADDED_TO = 512  # vocabularies are rounded up to a multiple, at most of this


class PretrainedPair(nn.Module, ABC):
    """An image tower and a text tower with their preprocessing and their tokenizer.

    Args:
        model: With both towers.
        folder: Where it lies.
        framing: How images become squares.
        preprocessing: How pixels are scaled.
    """

    clear: Clear = "white"
    package: str
    """Whose model it is, as it is installed."""

    def __init__(self, model: nn.Module, *, folder: Path, framing: Framing, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model.eval()
        self.folder, self.framing, self.preprocessing = folder, framing, preprocessing

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Mapping[str, Shaped[Tensor, "n length"]]:
        """What the text tower is given, by the names of its arguments; texts too long for it are cut."""

    @abstractmethod
    def encode_images(self, pixels: Float[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Features of scaled pixels, not normalised."""

    @abstractmethod
    def encode_texts(self, tokens: Mapping[str, Tensor]) -> Float[Tensor, "n dim"]:
        """Features of what `tokenize` gives, not normalised."""

    @abstractmethod
    def too_long(self, texts: Sequence[str]) -> int:
        """How many of some texts the text tower does not take whole, so that `tokenize` cuts them."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model in the form that it was read in, with its tokenizer and preprocessing as they were.

        Raises:
            OutputError: If it cannot be written.
            CorpusError: If what goes with the weights is no longer where it was read.
        """

    def image_features(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Features of what `prepared` gave, on the device of the model, with their gradient."""
        weight = next(self.model.parameters())
        return self.encode_images(self.preprocessing(pixels.to(weight.device)).to(weight.dtype))

    def numbered(self, texts: Sequence[str]) -> Int[Tensor, "n inputs length"]:
        """What `tokenize` gives, as one tensor: training passes one on."""
        return torch.stack(list(self.tokenize(texts).values()), dim=1)

    def text_features(self, numbers: Int[Tensor, "n inputs length"]) -> Float[Tensor, "n dim"]:
        """Features of what `numbered` gave, on the device of the model, with their gradient."""
        return self.encode_texts(dict(zip(self._inputs, numbers.unbind(1), strict=True)))

    @cached_property
    def _inputs(self) -> tuple[str, ...]:
        return tuple(self.tokenize(["a"]))

    @property
    def side(self) -> int:
        """Pixels of a side of what the image tower takes."""
        return self.framing.side

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by; 1 if the model has none."""
        scale = getattr(self.model, "logit_scale", None)
        return 1.0 if scale is None else float(scale.detach().exp())

    @property
    def logit_bias(self) -> float:
        """What is added to them then; 0 if the model has none."""
        bias = getattr(self.model, "logit_bias", None)
        return 0.0 if bias is None else float(bias.detach())

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """What is encoded of an image given in any way that `as_image` takes; files are read as threads like."""
        return self.framing(as_image(image, clear=self.clear))

    def embed_images(
        self, images: Iterable[object] | Image.Image | Path, *, batch_size: int = 64
    ) -> Float[Tensor, "n dim"]:
        """Encode images given in any way, in evaluation mode and without gradients.

        Args:
            images: As for `DualEncoder.embed_images`, of any size.
            batch_size: Images at once, >= 1.

        Returns:
            A row for each, on the CPU, not normalised.

        Raises:
            ConfigError: If one image is given for the list, there is none, or the batch size is below 1.
            CorpusError: If a file is missing or damaged.
        """
        at_least("batch_size", batch_size, 1)
        taken = groups(map(self.prepared, several_images(images)), batch_size)
        return rows_of(self.embed_pixels(torch.from_numpy(np.stack(batch))) for batch in taken)

    def embed_pixels(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Encode what `prepared` gave, on the device of the model; the result is on the CPU."""
        with torch.inference_mode():
            return self.image_features(pixels).float().cpu()

    def embed_texts(self, texts: Iterable[str], *, batch_size: int = 256) -> Float[Tensor, "n dim"]:
        """Encode texts, in evaluation mode and without gradients; what is beyond the tower's length is cut.

        Args:
            texts: Texts; they are taken as they are needed.
            batch_size: Texts at once, >= 1.

        Returns:
            A row for each, on the CPU, not normalised.

        Raises:
            ConfigError: If one text is given for the list, there is none, or the batch size is below 1.
        """
        at_least("batch_size", batch_size, 1)
        return rows_of(self._embedded(batch) for batch in groups(several_texts(texts), batch_size))

    def _embedded(self, texts: Sequence[str]) -> Float[Tensor, "n dim"]:
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            with _TOKENIZING:
                tokenized = self.tokenize(texts)
            tokens = {name: value.to(device) for name, value in tokenized.items()}
            return self.encode_texts(tokens).float().cpu()


class TransformersPair(PretrainedPair):
    """CLIP, SigLIP, SigLIP 2 or another model of `transformers` with both towers, as `save_pretrained` wrote it.

    Args:
        folder: With `config.json`, `model.safetensors`, `preprocessor_config.json` and a tokenizer.

    Raises:
        CorpusError: If a file is missing or damaged, or weights are not complete.
        ConfigError: If the model has not both towers, images are prepared in a way that is not known, or the tokenizer
            is of another vocabulary.
        MissingExtraError: If `transformers` is not installed.
    """

    package = "transformers"

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        framing, preprocessing = transformers_images(folder)
        require_tokenizer(folder)
        model = transformers_model(folder, fitted=True)
        if not all(hasattr(model, f"get_{side}_features") for side in ("image", "text")):
            raise ConfigError(
                f"{folder} holds a {type(model).__name__}, which has not both an image tower and a text tower; name a "
                "model that has, such as CLIP or SigLIP"
            )
        super().__init__(model, folder=folder, framing=framing, preprocessing=preprocessing)
        text = model.config.text_config
        self.tokenizer = transformers_tokenizer(folder, vocabulary=int(text.vocab_size))
        self.length = int(text.max_position_embeddings)
        # SigLIP was trained on texts filled up to one length, and sees the filling.
        self.padding = "max_length" if model.config.model_type.startswith("siglip") else True

    def tokenize(self, texts: Sequence[str]) -> Mapping[str, Shaped[Tensor, "n length"]]:
        """Token numbers, and which of them are text where the model asks for it."""
        found = self.tokenizer(
            list(texts), padding=self.padding, truncation=True, max_length=self.length, return_tensors="pt"
        )
        return {name: found[name] for name in self.tokenizer.model_input_names if name in found}

    def encode_images(self, pixels: Float[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """The model's projected features."""
        return _pooled(self.model.get_image_features(pixel_values=pixels))  # type: ignore[operator]

    def encode_texts(self, tokens: Mapping[str, Tensor]) -> Float[Tensor, "n dim"]:
        """The model's projected features."""
        return _pooled(self.model.get_text_features(**tokens))  # type: ignore[operator]

    def too_long(self, texts: Sequence[str]) -> int:
        """How many of some texts `tokenize` cuts."""
        found = self.tokenizer(list(texts), padding=False, truncation=False, verbose=False)["input_ids"]
        return sum(len(tokens) > self.length for tokens in found)

    def save(self, folder: Path) -> None:
        """Write what `save_pretrained` writes, and the files of tokenizer and preprocessing as they were."""
        with written_by_others(folder):
            self.model.save_pretrained(folder)  # type: ignore[operator]
        copy_descriptions(self.folder, folder, without=("config.json",))


class OpenClipPair(PretrainedPair):
    """A model of open_clip: its `open_clip_config.json`, and weights as safetensors or as a checkpoint beside it.

    Args:
        folder: With the configuration and one file of weights; and with the tokenizer, where the configuration names
            one of `transformers`.

    Raises:
        CorpusError: If a file is missing or damaged, or holds more than tensors.
        ConfigError: If the weights are of another model, or images are prepared in a way that is not known.
        MissingExtraError: If open_clip is not installed.
    """

    clear = "as stored"
    package = "open_clip_torch"

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        config = read_json(folder / OPEN_CLIP_CONFIG)
        if not isinstance(config, Mapping) or not isinstance(config.get("model_cfg"), Mapping):
            raise CorpusError(f"{folder / OPEN_CLIP_CONFIG} has no model_cfg; copy the file that belongs to the model")
        text = config["model_cfg"].get("text_cfg") or {}
        if text.get("hf_tokenizer_name"):
            require_tokenizer(folder)
        weights = _open_clip_weights(folder)
        framing, preprocessing = open_clip_images(folder / OPEN_CLIP_CONFIG, config)
        try:
            factory: Any = importlib.import_module("open_clip.factory")
        except ImportError as error:
            raise MissingExtraError("open_clip", "open-clip") from error
        name = f"local-dir:{folder}"
        with _offline():
            try:
                model = factory.create_model(name, load_weights=False)
                tokenizer = factory.get_tokenizer(name)
            except Exception as error:  # whatever the files of a folder lead open_clip to
                raise CorpusError(f"{folder} holds no model that can be made ({first_line(error)})") from error
        try:
            factory.load_checkpoint(model, str(weights), weights_only=True)
        except RuntimeError as error:
            raise ConfigError(f"{weights} is of another model: {first_line(error)}") from error
        except Exception as error:
            raise CorpusError(
                f"{weights} holds more than tensors, or is broken ({first_line(error)}); save its state_dict() as "
                "safetensors"
            ) from error
        super().__init__(model, folder=folder, framing=framing, preprocessing=preprocessing)
        self.tokenizer = tokenizer

    def tokenize(self, texts: Sequence[str]) -> Mapping[str, Shaped[Tensor, "n length"]]:
        """Token numbers."""
        return {"text": self.tokenizer(list(texts))}

    def encode_images(self, pixels: Float[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """The model's projected features."""
        return self.model.encode_image(pixels)  # type: ignore[operator,no-any-return]

    def encode_texts(self, tokens: Mapping[str, Tensor]) -> Float[Tensor, "n dim"]:
        """The model's projected features."""
        return self.model.encode_text(**tokens)  # type: ignore[operator,no-any-return]

    def too_long(self, texts: Sequence[str]) -> int:
        """How many of some texts `tokenize` cuts: those that leave nothing to fill up, had they one place more."""
        found = self.tokenizer([*texts, "a"], context_length=int(self.tokenizer.context_length) + 1)
        *_, short = found
        fill = short.mode().values
        place = 0 if short[0] == fill else -1  # some fill up in front
        return int((found[:, place] != fill).sum())

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors, and the configuration and any tokenizer as they were."""
        write_tensors(folder / _OPEN_CLIP_WEIGHTS[0], self.model.state_dict(), {"format": "pt"}, of_job=True)
        copy_descriptions(self.folder, folder)


def copy_descriptions(source: Path, folder: Path, *, without: Sequence[str] = ()) -> None:
    """Copy what stands beside the weights of a model: its tokenizer, its preprocessing.

    Args:
        source: The model's folder.
        folder: Where to.
        without: Names of files that are not to be copied.

    Raises:
        CorpusError: If it is no longer there.
    """
    if not source.is_dir():
        raise CorpusError(f"{source} is gone, with the tokenizer that belongs to the model; put it back and resume")
    for file in sorted(source.iterdir()):
        about_weights = file.name in without or file.name.endswith(".index.json")
        if file.is_file() and file.suffix in _DESCRIPTIONS and not about_weights:
            write_bytes(folder / file.name, read_bytes(file), of_job=True)


def _pooled(output: Any) -> Tensor:
    pooled: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return pooled


@contextmanager
def _offline() -> Iterator[None]:
    """Keep open_clip from fetching what a folder lacks, and from warning that weights are random, which follow."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def require_tokenizer(folder: Path) -> None:
    """Require the files of a tokenizer.

    Raises:
        CorpusError: If a folder has none.
    """
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise CorpusError(
            f"{folder} holds no tokenizer (one of {', '.join(_TOKENIZERS)}); texts are never numbered by guess: copy "
            "it there, as save_pretrained of the tokenizer writes it"
        )


def transformers_tokenizer(folder: Path, *, vocabulary: int) -> Any:
    """The tokenizer of a folder.

    Args:
        folder: Where it is; see `require_tokenizer`.
        vocabulary: How many tokens the model is for.

    Raises:
        CorpusError: If it cannot be loaded.
        ConfigError: If it is of another vocabulary.
    """
    transformers: Any = importlib.import_module("transformers")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever the files of a folder lead transformers to
        raise CorpusError(f"{folder} holds no tokenizer that can be loaded ({first_line(error)})") from error
    if not 0 <= vocabulary - len(tokenizer) < _PADDED_TO:
        raise ConfigError(
            f"the tokenizer in {folder} has {len(tokenizer):,} tokens, the model is for {vocabulary:,}; "
            "copy the model's own tokenizer there"
        )
    return tokenizer


def _open_clip_weights(folder: Path) -> Path:
    for name in _OPEN_CLIP_WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    found = sorted(file for file in folder.glob("*") if file.suffix in (".safetensors", ".bin", ".pt", ".pth"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "nothing of the kind"
        raise CorpusError(
            f"{folder} must hold one file of weights, best {_OPEN_CLIP_WEIGHTS[0]}; found {names}. Nothing is "
            "downloaded: copy it there first"
        )
    return found[0]
