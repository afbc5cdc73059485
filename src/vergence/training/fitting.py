"""What a run fits, encoders of its own or a model that it starts from, and how it sees images and texts and exports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import log
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from vergence.encoders import DualEncoder, PretrainedPair, Vocabulary
from vergence.errors import ConfigError
from vergence.losses import (
    Objective,
    WeightedTerm,
    info_nce,
    nt_xent,
    one_way_info_nce,
    process_rank,
    sigmoid_loss,
)
from vergence.random import named
from vergence.training.export import ExportedEncoder, encoder_lines, save_encoder, write_beside
from vergence.training.models import ImageTextModel, load_model, weights_digest
from vergence.training.pairs import TrainingPairs
from vergence.training.spec import DataConfig, RunConfig, TermConfig, default_objective
from vergence.training.start import FittedModel, StartConfig
from vergence.training.towers import make_text_encoder, seeded

ADAPTER = "adapter"
"""The folder of a run that "lora" is kept in, beside the export that it has been added to."""

_OF_COSINES = (info_nce, one_way_info_nce, nt_xent, sigmoid_loss)  # whose temperature is that of a model's logits
_AT_ONCE = 4096  # texts that are looked at together


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitting:
    """What a run fits.

    Args:
        encoder: Fitted in place.
        number: Makes a tensor, a row for each, of texts.
        export: Writes what can be used to a folder; is also given the objective, and the card. Every process calls it.
        described: What a card says of it, line by line.
        reader: The function that reads the export.
        identity: What else the job depends on, as JSON can say it.
        about: What else is known of the pairs, for the history.
        notes: What to tell the user, a line each.
        packages: Of whom the model is.
    """

    encoder: DualEncoder
    number: Callable[[Sequence[str]], Tensor]
    export: Callable[[Path, Objective, str], None]
    described: Sequence[str]
    reader: str
    identity: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


def open_start(config: RunConfig) -> tuple[RunConfig, Any]:
    """Load the model that a run starts from, if there is one.

    Args:
        config: As it was given.

    Returns:
        The configuration as `resolved`; and the model, on the CPU, `None` if there is none.

    Raises:
        CorpusError: If the model cannot be loaded.
        ConfigError: If it cannot be, or another side is asked for than its own.
    """
    if config.start is None:
        return config, None
    model = load_model(config.start.model)
    return resolved(config, model), model


def resolved(config: RunConfig, model: ImageTextModel) -> RunConfig:
    """Settle what follows from the model that a run starts from: side and objective.

    Raises:
        ConfigError: If another side is asked for than its own.
    """
    if config.data.side not in (model.side, DataConfig().side):
        named_model = config.start.model if config.start else "the model"
        raise ConfigError(f"data.side must be {model.side}, that of {named_model}; got {config.data.side}")
    objective = config.objective
    if isinstance(model, PretrainedPair) and objective == default_objective() and _has(model, "logit_scale"):
        objective = {"contrast": _own_loss(model)}
    return replace(config, data=replace(config.data, side=model.side), objective=objective)


def from_scratch(config: RunConfig, image: nn.Module, pairs: TrainingPairs) -> Fitting:
    """Fit encoders that begin at random, or an image encoder from weights on.

    Args:
        config: Which.
        image: The image encoder.
        pairs: Whose words are known.
    """
    texts = pairs.pairs.texts
    vocabulary = Vocabulary.of((texts[row] for row in pairs.fit), min_count=config.encoder.min_count)
    text = make_text_encoder(config.encoder, vocabulary, seed=config.seed)
    encoder = DualEncoder(image, text, side=config.data.side, vocabulary=vocabulary)
    longest = vocabulary.longest(texts)  # of every batch alike

    def export(folder: Path, objective: Objective, card: str) -> None:
        save_encoder(folder, encoder, vocabulary, config, card=card, split=pairs.split)

    return Fitting(
        encoder=encoder,
        number=partial(vocabulary.encode, length=min(longest, getattr(text, "max_length", longest))),
        export=export,
        described=encoder_lines(config, n_words=len(vocabulary)),
        reader="load_encoder",
    )


def from_model(config: RunConfig, start: StartConfig, model: Any, pairs: TrainingPairs) -> Fitting:
    """Fit a part of a model that is there.

    Args:
        config: As `open_start` resolved it.
        start: Which model, and which part of it.
        model: The model, which is changed in place.
        pairs: What to fit it to.

    Raises:
        ConfigError: If the model has no such part.
        MissingExtraError: If "lora" is wanted and `peft` is not installed.
    """
    digest = weights_digest(model)  # of the model as it is
    if start.new_words:
        if not isinstance(model, ExportedEncoder):
            raise ConfigError(f"start.new_words must be false for {start.model}: its tokenizer is part of the model")
        model.learn_words([pairs.pairs.texts[row] for row in pairs.fit])
    with seeded(named(config.seed, "weights", "lora")):
        encoder = FittedModel(model, start)
    _refuse_statistics_of_chunks(config, encoder)
    texts = list(pairs.pairs.texts)
    groups = [texts[at : at + _AT_ONCE] for at in range(0, len(texts), _AT_ONCE)]
    about = {"captions_cut": sum(map(model.too_long, groups))}
    notes = [f"{about['captions_cut']:,} of {len(texts):,} captions are longer than {start.model} takes, and are cut"]
    if isinstance(model, ExportedEncoder):
        about["captions_with_unknown_words"] = sum(map(model.strange, groups))
        notes.append(
            f"{about['captions_with_unknown_words']:,} of {len(texts):,} captions have words that {start.model} does "
            f"not know{'' if start.new_words else '; new_words gives them places'}"
        )
    fitted = sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)
    every = sum(weight.numel() for weight in encoder.parameters())

    def export(folder: Path, objective: Objective, card: str) -> None:
        if encoder.adapter is not None and process_rank() == 0:
            encoder.adapter.save(folder.parent / ADAPTER)
        encoder.merge()
        if isinstance(model, PretrainedPair):
            _calibrate(model, objective)
        if process_rank() == 0:
            model.save(folder)
            write_beside(folder, card, pairs.split)

    return Fitting(
        encoder=encoder,
        number=model.numbered,
        export=export,
        described=[
            f"Started from `{Path(start.model).name}`. {_worded(start)}: {fitted:,} of {every:,} weights.",
            f"Images 3 x {model.side} x {model.side} in [0, 255], framed as the model has them.",
        ],
        reader="load_model",
        identity={"model": digest},
        about={name: count for name, count in about.items() if count},
        notes=tuple(note for note, count in zip(notes, about.values(), strict=True) if count),
        packages=tuple(name for name in (model.package, "peft" if start.part == "lora" else None) if name),
    )


def _refuse_statistics_of_chunks(config: RunConfig, encoder: FittedModel) -> None:
    """A batch norm that is fitted would take its statistics from a chunk."""
    for name, layer in encoder.train().named_modules() if config.train.chunk_size else ():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training:
            raise ConfigError(
                f"train.chunk_size must be null for {name}, a {type(layer).__name__} which takes its statistics from "
                f"the batch; got {config.train.chunk_size}"
            )
    encoder.eval()


def _worded(start: StartConfig) -> str:
    if start.part == "lora":
        return f"Fitted are adapters of rank {start.rank} beside linear layers, kept in `../{ADAPTER}` and added here"
    what = {"both": "both towers", "heads": "the heads of both towers"}.get(start.part, f"the {start.part} tower")
    return f"Fitted: {what}"


def _has(model: PretrainedPair, name: str) -> bool:
    return getattr(model.model, name, None) is not None


def _own_loss(model: PretrainedPair) -> TermConfig:
    """The loss that a model with such logits is trained with, from where it is."""
    settings: dict[str, int | float | str | None] = {"temperature": 1 / model.logit_scale}
    if _has(model, "logit_bias"):
        settings["bias"] = model.logit_bias
    return TermConfig(
        loss="sigmoid_loss" if "bias" in settings else "info_nce", settings=settings, learn=tuple(settings)
    )


def _calibrate(model: PretrainedPair, objective: Objective) -> None:
    """Give a model's logits the scale, and the bias, that the objective has come to."""
    for term in cast(Mapping[str, WeightedTerm], objective.terms).values():
        settings = term.settings | {name: module().item() for name, module in term.learned.items()}
        if term.fn not in _OF_COSINES or settings.get("similarity", "cosine") != "cosine" or not term.weight_at(1.0):
            continue
        with torch.no_grad():
            if "temperature" in settings and _has(model, "logit_scale"):
                cast(Tensor, model.model.logit_scale).fill_(-log(settings["temperature"]))
            if "bias" in settings and _has(model, "logit_bias"):
                cast(Tensor, model.model.logit_bias).fill_(settings["bias"])
        return
