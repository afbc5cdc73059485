"""An encoder to take away: weights, vocabulary, what it was made of, and a card that says what it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from vergence.decoding import as_image
from vergence.encoders import TRANSFORMERS_DESCRIPTIONS, UNKNOWN, DualEncoder, Preprocessing, Vocabulary
from vergence.errors import ConfigError, CorpusError, first_line
from vergence.files import read_json, read_text, write_json, write_text
from vergence.images import resized
from vergence.losses import Ramp, process_rank
from vergence.misalignment import Misalignment
from vergence.splits import SPLIT_FILE, write_split
from vergence.tensors import read_tensors
from vergence.training.checkpoint import whole_state, write_tensors
from vergence.training.mapping import from_mapping
from vergence.training.pairs import TrainingPairs
from vergence.training.spec import RunConfig, TermConfig
from vergence.training.towers import EncoderConfig

_WEIGHTS, _WORDS, _SHAPE = "encoder.safetensors", "vocabulary.json", "encoder.json"
EXPORT = "encoder"
"""The folder of a run that its encoder is exported to."""
_MODEL = "image_model"  # what describes a model of transformers; its weights are with all others


def save_encoder(
    folder: Path,
    encoder: DualEncoder,
    vocabulary: Vocabulary,
    config: RunConfig,
    *,
    card: str,
    split: pd.DataFrame | None = None,
) -> None:
    """Write what `load_encoder` reads, and the card; every process calls it, and the first one writes.

    Args:
        folder: Where to.
        encoder: Made from the configuration.
        vocabulary: What its text encoder numbers words with.
        config: What it was made from.
        card: What to say about it: `README.md`.
        split: Which rows it was trained on, which `read_split` reads; none is written if `None`.
    """
    weights = whole_state(encoder)
    if process_rank() > 0:
        return
    write_tensors(folder / _WEIGHTS, weights, {"format": "pt"})
    write_text(folder / _WORDS, vocabulary.to_json() + "\n", of_job=True)
    shape = encoder_settings(config) | {"side": config.data.side}
    if (preprocessing := getattr(encoder.image, "preprocessing", None)) is not None:
        shape["preprocessing"] = json.loads(preprocessing.to_json())
    write_json(folder / _SHAPE, shape, of_job=True)
    if config.encoder.image.kind == "transformers":
        for name in TRANSFORMERS_DESCRIPTIONS:
            description = read_text(Path(str(config.encoder.image.weights)) / name)
            write_text(folder / _MODEL / name, description, of_job=True)
    write_beside(folder, card, split)


def write_beside(folder: Path, card: str, split: pd.DataFrame | None) -> None:
    """Write what stands beside an encoder: its card, and which rows it was trained on if that is known."""
    if split is not None:
        write_split(folder / SPLIT_FILE, split)
    write_text(folder / "README.md", card, of_job=True)


class ExportedEncoder(DualEncoder):
    """An encoder that `vergence train` exported: it takes images and texts as they are.

    `encoder, vocabulary = load_encoder(folder)` gives its vocabulary beside it. Its temperature belongs to the training
    and is not exported, so its logits are cosines.
    """

    logit_scale, logit_bias = 1.0, 0.0
    package: str | None = None
    folder: Path
    """Where it was read."""

    def image_features(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Encode what `prepared` gave, on the device of the encoder, with the gradient."""
        z: Tensor = self.image(pixels)
        return z

    def numbered(self, texts: Sequence[str]) -> Int[Tensor, "n length"]:
        """Number the words of texts, as many as the text encoder takes."""
        return self._words.encode(texts)[:, : self._longest]

    def text_features(self, numbers: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Encode what `numbered` gave, on the device of the encoder, with the gradient."""
        z: Tensor = self.text(numbers)
        return z

    def too_long(self, texts: Sequence[str]) -> int:
        """How many of some texts `numbered` cuts."""
        if self._longest is None:
            return 0
        return int((self._words.encode(texts, length=self._longest + 1)[:, -1] != 0).sum())

    def strange(self, texts: Sequence[str]) -> int:
        """How many of some texts have words that the encoder does not know."""
        return int((self._words.encode(texts) == UNKNOWN).any(1).sum())

    def learn_words(self, texts: Sequence[str]) -> None:
        """Give words that are new a place; each begins as what stood for all of them, so that no feature changes.

        Raises:
            ConfigError: If the text encoder has no table of words that could grow.
        """
        table = getattr(self.text, "embedding", None)
        if not isinstance(table, nn.Embedding | nn.EmbeddingBag):
            raise ConfigError(
                f"start.new_words must be false for {self.folder}: a {type(self.text).__name__} has no word embeddings"
            )
        self.vocabulary = self._words.extended(texts)
        known = table.num_embeddings
        new = table.weight[UNKNOWN].expand(len(self.vocabulary) - known, -1)
        table.weight = nn.Parameter(torch.cat([table.weight, new]).detach())
        table.num_embeddings = len(self.vocabulary)

    def save(self, folder: Path) -> None:
        """Write what `load_encoder` reads.

        Raises:
            OutputError: If it cannot be written.
            CorpusError: If what goes with the weights is no longer where it was read.
        """
        write_tensors(folder / _WEIGHTS, self.state_dict(), {"format": "pt"})
        write_text(folder / _WORDS, self._words.to_json() + "\n", of_job=True)
        names = [_SHAPE, *(f"{_MODEL}/{name}" for name in TRANSFORMERS_DESCRIPTIONS)]
        for name in names:
            if "/" not in name or (self.folder / name).is_file():
                write_text(folder / name, read_text(self.folder / name), of_job=True)

    @property
    def _words(self) -> Vocabulary:
        assert self.vocabulary is not None, "an export has one"
        return self.vocabulary

    @property
    def _longest(self) -> int | None:
        most: int | None = getattr(self.text, "max_length", None)
        return most

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """What is encoded of an image of any size, given in any way that `as_image` takes."""
        return resized(as_image(image), self.side or 0)

    def embed_pixels(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Encode what `prepared` gave."""
        return self._embedded(self.image, iter([pixels]))

    def __iter__(self) -> Iterator[Any]:
        return iter((self, self.vocabulary))

    def __getitem__(self, place: int) -> Any:
        return (self, self.vocabulary)[place]


def load_encoder(folder: str | Path) -> ExportedEncoder:
    """Restore an encoder that `vergence train` exported.

    Args:
        folder: The folder of a run, the `encoder` folder in it, or a copy of that.

    Returns:
        The encoder, in evaluation mode on the CPU, with `embed_images` and `embed_texts`.

    Raises:
        CorpusError: If a file is missing or damaged, or files do not belong together; one line.
        MissingExtraError: If the image encoder is a model of `transformers`, which is not installed.

    Example:
        >>> import tempfile
        >>> from vergence.training.towers import make_image_encoder, make_text_encoder
        >>> vocabulary, config = Vocabulary.of(["a red cube"]), RunConfig()
        >>> image = make_image_encoder(config.encoder, side=config.data.side, seed=0)
        >>> encoder = DualEncoder(image, make_text_encoder(config.encoder, vocabulary, seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_encoder(Path(folder), encoder, vocabulary, config, card="")
        ...     same = load_encoder(folder)
        >>> torch.equal(same.text.head[0].weight, encoder.text.head[0].weight), same.embed_texts(["a cube"]).shape
        (True, torch.Size([1, 16]))
    """
    folder = _exported(Path(folder))
    try:
        vocabulary = Vocabulary.from_json(read_text(folder / _WORDS))
        shape = read_json(folder / _SHAPE)
        encoder = _unfitted(folder, shape, vocabulary)
        encoder.load_state_dict(read_tensors(folder / _WEIGHTS)[0])
    except KeyError as error:
        raise CorpusError(
            f"{folder} is an export of an earlier form: {_SHAPE} lacks {error}; train again with this version: "
            "vergence train CONFIG.yaml --out DIR"
        ) from error
    except (RuntimeError, ValueError, TypeError, AttributeError, OSError) as error:
        reason = first_line(error)
        raise CorpusError(f"{folder} holds no whole encoder ({reason}); export it again") from error
    encoder.folder = folder
    return encoder.eval()


def holds_export(folder: Path) -> bool:
    """Whether a folder is an export, or that of a run that has one."""
    return any((place / _SHAPE).is_file() for place in (folder, folder / EXPORT))


def _exported(folder: Path) -> Path:
    """The folder that an encoder is in: the one that is named, or `encoder` in it.

    Raises:
        CorpusError: If there is none; says how to get one.
    """
    here = [place for place in (folder, folder / EXPORT) if (place / _SHAPE).is_file()]
    if here:
        return here[0]
    if not folder.is_dir():
        raise CorpusError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}; name a training run")
    if any((place / "config.json").is_file() for place in (folder, folder / EXPORT)):
        raise CorpusError(f"{folder} holds a pretrained model, or a run that started from one; read it with load_model")
    if (folder / "job.json").is_file() and (folder / "config.yaml").is_file():
        raise CorpusError(
            f"{folder} holds a training that has not ended, and so no encoder yet; go on with: vergence train "
            f"{folder / 'config.yaml'} --out {folder} --resume"
        )
    if any(folder.glob("*.safetensors")) or any(folder.glob("encoder/*.safetensors")):
        raise CorpusError(
            f"{folder} holds weights of an earlier form, without {_SHAPE}, which says what encoder they are of; train "
            "again with: vergence train CONFIG.yaml --out DIR"
        )
    raise CorpusError(f"{folder} holds no encoder: no {_SHAPE}; name the folder of a run of vergence train")


def model_card(
    config: RunConfig,
    data: TrainingPairs,
    metrics: dict[str, float],
    versions: dict[str, str],
    *,
    encoders: Sequence[str],
    reader: str = "load_encoder",
) -> str:
    """Say what an encoder was trained on, to what end, how far it came, and how to load it.

    Args:
        config: What it was trained by.
        data: What it was trained on.
        metrics: Of the epoch that its weights are of.
        versions: Of what made it.
        encoders: What to say of it, line by line.
        reader: The function that reads it.
    """
    stop = config.train.early_stop
    made_by = ", ".join(f"{name} {number}" for name, number in versions.items())
    terms = [f"- `{name}`: {_term(term)}" for name, term in config.objective.items()]
    numbers = [f"| {name} | {value:.6g} |" for name, value in metrics.items()]
    return "\n".join(
        [
            "# Dual image-text encoder",
            "",
            "## Trained on",
            f"{data.source}. {data.divided()}; `{SPLIT_FILE}` says which.",
            *([f"{skipped}."] if (skipped := data.skipped()) else []),
            "",
            _bias(data.pairs.misalignment),
            "",
            "## Objective",
            *terms,
            "",
            "## Encoders",
            *encoders,
            "",
            f"## Results of {'the best' if stop and stop.restore_best else 'the last'} epoch",
            "| | value |",
            "| --- | --- |",
            *numbers,
            "",
            "## Load",
            "```python",
            f"from vergence.training import {reader}",
            "",
            f'encoder = {reader}(".")  # this folder',
            'z_image = encoder.embed_images(["photo.jpg"])  # paths, bytes, Pillow images or arrays',
            'z_text = encoder.embed_texts(["a red cube"])',
            "```",
            "",
            "For `vergence probe` and `align`, embeddings of a whole source: `vergence embed SOURCE --model FOLDER`.",
            "",
            f"Versions: {made_by}. Seed {config.seed}. All settings: `config.yaml` beside this folder.",
            "",
        ]
    )


def encoder_lines(config: RunConfig, *, n_words: int) -> list[str]:
    """What a card says of encoders that began at random."""
    settings = yaml.safe_dump(encoder_settings(config), sort_keys=False, allow_unicode=True)
    seen = f"Images 3 x {config.data.side} x {config.data.side} in [0, 255]; {n_words} words."
    return [seen, "```yaml", *settings.splitlines(), "```"]


def encoder_settings(config: RunConfig) -> dict[str, Any]:
    """Return what the encoders are, as plain values; of the weights that they started from, the name alone."""
    settings: dict[str, Any] = config.to_mapping()["encoder"]
    if settings["image"]["weights"]:
        settings["image"]["weights"] = Path(settings["image"]["weights"]).name
    return settings


def _unfitted(folder: Path, shape: Mapping[str, Any], vocabulary: Vocabulary) -> ExportedEncoder:
    """Make what `encoder.json` says, with any weights; the file that training started from is not needed."""
    config = from_mapping(EncoderConfig, {entry.name: shape[entry.name] for entry in fields(EncoderConfig)})
    stored = Preprocessing.from_json(json.dumps(shape["preprocessing"])) if "preprocessing" in shape else None
    with torch.random.fork_rng(devices=[]):
        image = config.image.make(config.dim, side=shape["side"], preprocessing=stored, folder=folder / _MODEL)
        text = config.text.make(len(vocabulary), config.dim)
        return ExportedEncoder(image, text, side=shape["side"], vocabulary=vocabulary)


def _term(term: TermConfig) -> str:
    if isinstance(term.weight, Ramp):
        ends = f"{term.weight.first:g} to {term.weight.last:g}"
        weight = f"weight {ends}, from {term.weight.start:.0%} to {term.weight.stop:.0%} of the training"
    else:
        weight = f"weight {term.weight:g}"
    said = yaml.safe_dump(term.settings, sort_keys=False, default_flow_style=True, width=10_000).strip()
    settings = f"settings {said}" if term.settings else "default settings"
    return f"{term.loss}, {weight}, {settings}" + (f", learned: {', '.join(term.learn)}" if term.learn else "")


def _bias(misalignment: Misalignment | None) -> str:
    if misalignment is None:
        return "Which factors the captions mention, and which they get wrong, is not known."
    mentioned, wrong = (", ".join(sorted(names)) for names in (misalignment.selected, misalignment.perturbed))
    return f"Captions mention {mentioned} and " + (f"may get {wrong} wrong." if wrong else "get them right.")
