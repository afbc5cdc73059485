"""ConSE [norouzi2014]: zero-shot without training on pairs, by a classifier of images and an encoder of texts.

An image lies where the names of the classes lie that a classifier takes it for:
f(x) = Σ_t p(y_t | x) s(y_t) / Σ_t p(y_t | x) over the most probable classes y_t, whose names have unit embeddings s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vergence.checks import at_least, at_most
from vergence.encoders.efficientnet import EfficientNetLite0
from vergence.encoders.framing import Framing
from vergence.encoders.preprocessing import Preprocessing
from vergence.encoders.pretrained import load_weights, transformers_model
from vergence.encoders.pretrained_pairs import PretrainedPair, require_tokenizer, transformers_tokenizer
from vergence.errors import ConfigError, CorpusError, first_line
from vergence.files import read_json, read_text

CONSE_CONFIG, CONSE_CLASSES, CONSE_CLASSIFIER, CONSE_TEXT = (
    "conse.json",
    "classes.txt",
    "classifier.safetensors",
    "text",
)
_AT_ONCE = 100  # names


class ConSE(nn.Module):
    """Both towers, and the directions of the classes.

    Args:
        classifier: Logits of classes from scaled pixels.
        text: A model of `transformers` whose last states are averaged.
        top: Of how many classes an image is made, >= 1.
    """

    classes: Tensor

    def __init__(self, classifier: nn.Module, text: nn.Module, *, top: int) -> None:
        super().__init__()
        self.classifier, self.text, self.top = classifier, text, top

    def name_classes(self, directions: Float[Tensor, "classes dim"]) -> None:
        """Say where the names of the classes lie."""
        self.register_buffer("classes", directions)

    def encode_image(self, pixels: Float[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """The mean of the most probable classes' directions, weighted by their probabilities."""
        probability, chosen = self.classifier(pixels).softmax(1).topk(self.top)
        return weighted(probability, self.classes[chosen])

    def encode_text(
        self, input_ids: Int[Tensor, "n length"], attention_mask: Int[Tensor, "n length"]
    ) -> Float[Tensor, "n dim"]:
        """The mean of the last states over the tokens of each text, of length 1."""
        states = self.text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return nn.functional.normalize(weighted(attention_mask.to(states.dtype), states), dim=1)


def weighted(weights: Float[Tensor, "n items"], vectors: Float[Tensor, "n items dim"]) -> Float[Tensor, "n dim"]:
    """The mean of vectors by their weights, whose sum is positive.

    Example:
        >>> weighted(torch.tensor([[0.6, 0.2]]), torch.eye(2)[None])
        tensor([[0.7500, 0.2500]])
    """
    return (weights[:, :, None] * vectors).sum(1) / weights.sum(1, keepdim=True)


class ConSEPair(PretrainedPair):
    """A folder that `vergence model conse` wrote.

    Args:
        folder: With `conse.json`, `classes.txt` (a name a line, in the classifier's order), `classifier.safetensors`,
            and in `text` a model of `transformers` with its tokenizer.

    Raises:
        CorpusError: If a file is missing or damaged.
        ConfigError: If parts do not belong together, or a setting is out of range.
        MissingExtraError: If `transformers` is not installed.
    """

    model: ConSE
    package = "transformers"

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        said = _Said.read(folder / CONSE_CONFIG)
        names = read_text(folder / CONSE_CLASSES).splitlines()
        at_least("top", said.top, 1)
        at_most("top", said.top, len(names), why=f"{CONSE_CLASSES} names no more")
        if not all(name.strip() for name in names):
            raise CorpusError(f"{folder / CONSE_CLASSES} has a class without a name; build the folder again")
        classifier = EfficientNetLite0(len(names))
        load_weights(classifier, folder / CONSE_CLASSIFIER)
        require_tokenizer(folder / CONSE_TEXT)
        text = transformers_model(folder / CONSE_TEXT, fitted=True)
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # half as long again without
        model = ConSE(classifier, text, top=said.top)
        super().__init__(model, folder=folder, framing=said.framing, preprocessing=said.preprocessing)
        self.tokenizer = transformers_tokenizer(folder / CONSE_TEXT, vocabulary=int(text.config.vocab_size))
        self.length = min(said.length, int(text.config.max_position_embeddings))
        self.names = tuple(names)
        self.model.name_classes(self.embed_texts(self.names, batch_size=_AT_ONCE))
        self.requires_grad_(False)  # the names' directions would no longer be those of the text tower

    def tokenize(self, texts: Sequence[str]) -> Mapping[str, Shaped[Tensor, "n length"]]:
        """Token numbers, and which of them are text."""
        found = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def encode_images(self, pixels: Float[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Where the classes lie that the images are taken for."""
        return self.model.encode_image(pixels)

    def encode_texts(self, tokens: Mapping[str, Tensor]) -> Float[Tensor, "n dim"]:
        """Where texts lie, of length 1."""
        return self.model.encode_text(**tokens)

    def too_long(self, texts: Sequence[str]) -> int:
        """How many of some texts `tokenize` cuts."""
        found = self.tokenizer(list(texts), padding=False, truncation=False, verbose=False)["input_ids"]
        return sum(len(tokens) > self.length for tokens in found)

    def save(self, folder: Path) -> None:
        """Refuse: nothing of it is fitted on pairs, and `vergence model conse` writes the rest."""
        raise ConfigError(f"{self.folder} is a ConSE model, of which nothing is fitted on pairs; copy its folder")


class _Said:
    """What `conse.json` says."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.top, self.length = int(given["top"]), int(given["length"])
        self.framing = Framing(**given["framing"])
        self.preprocessing = Preprocessing.from_json(json.dumps(given["preprocessing"]))

    @classmethod
    def read(cls, file: Path) -> "_Said":
        try:
            return cls(read_json(file))
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise CorpusError(
                f"{file} does not say how images are prepared ({first_line(error)}); build the folder again: "
                "vergence model conse --out DIR"
            ) from error


def conse_settings(*, top: int, length: int, framing: Framing, preprocessing: Preprocessing) -> dict[str, Any]:
    """What a folder's `conse.json` must say, beside what else it says."""
    return {
        "top": top,
        "length": length,
        "framing": asdict(framing),
        "preprocessing": json.loads(preprocessing.to_json()),
    }
