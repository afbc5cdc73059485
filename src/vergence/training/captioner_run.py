"""A run of `vergence captioner`: tokens, training, held-out metrics and the captioner in one folder, resumable."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from rich.progress import MofNCompleteColumn, TimeRemainingColumn

from vergence.checks import one_of
from vergence.encoders.tokens import FrozenTokens
from vergence.files import yaml_text
from vergence.folders import JobFolder, WhenPresent
from vergence.losses import best_query, captioning_loss
from vergence.random import check_seed
from vergence.splits import SPLIT_FILE, write_split
from vergence.terminal import bars, say
from vergence.training.captioner import CaptionerEpoch, CaptionerResult, Tokens, train_captioner, trimmed
from vergence.training.captioner_files import CAPTIONER, save_captioner
from vergence.training.captioner_spec import CaptionerConfig, CaptionObjective, QueryConfig
from vergence.training.config import TrainConfig
from vergence.training.features import cached_tokens
from vergence.training.image_tokens import TokenConfig, open_tokens
from vergence.training.models import DEVICES
from vergence.training.pairs import TrainingPairs, load_pairs
from vergence.training.run import versions_of
from vergence.training.spec import DataConfig

_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class CaptionData:
    """The images and captions to train on: as `DataConfig` has them, at the side of the image encoder, never shifted.

    Args:
        source: A file, folder or glob of images with captions, several of an image or one; the embedded set if `None`.
        image_column: Column of images or of their paths; found by its name if `None`.
        caption_column: Column of texts, or of lists of them; found by its name if `None`.
        key_column: Column of what each image is called.
        cluster_column: Column, equal for rows that must not be both trained on and held out.
        images: Folder that paths of images are relative to.
        max_skipped: Largest share of the rows that may be left out since they cannot be used, in [0, 1).
        strict: Whether to stop at the first such row instead.
        policy: How to caption the embedded set: a name from `vergence.data.POLICIES`.
        items: How many items to use, drawn at random, >= 2; all if `None`.
        workers: Threads that decode images, >= 1; as many as there are cores if `None`.
        validation: Share of the images (of the embedded set: concepts) held out for metrics, in [0, 1).

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    source: str | None = None
    image_column: str | None = None
    caption_column: str | None = None
    key_column: str | None = None
    cluster_column: str | None = None
    images: str | None = None
    max_skipped: float = 0.05
    strict: bool = False
    policy: str = "labels"
    items: int | None = None
    workers: int | None = None
    validation: float = 0.1

    def __post_init__(self) -> None:
        self.at(64)

    def at(self, side: int) -> DataConfig:
        """The same for training at a side; no image is held, for each is encoded once."""
        return DataConfig(**asdict(self), side=side, shift=0, memory=0)


@dataclass(frozen=True, kw_only=True)
class CaptionerRun:
    """Everything that a run of `vergence captioner` depends on.

    Args:
        seed: Seed of everything random, >= 0.
        device: "cpu", or "auto" for a GPU where there is one.
        data: Images and captions.
        encoder: The frozen image encoder.
        model: The query transformer.
        objective: What to minimise.
        train: How: epochs, batch size, learning rate, weight decay, warm-up, clipping, optimiser.
        min_count: How often a word must come in the training captions to be known, >= 1.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    seed: int = 0
    device: str = "cpu"
    data: CaptionData = field(default_factory=CaptionData)
    encoder: TokenConfig = field(default_factory=TokenConfig)
    model: QueryConfig = field(default_factory=QueryConfig)
    objective: CaptionObjective = field(default_factory=CaptionObjective)
    train: TrainConfig = field(default_factory=TrainConfig)
    min_count: int = 1

    def __post_init__(self) -> None:
        check_seed(self.seed)
        one_of("device", self.device, DEVICES)
        self.captioner()

    def captioner(self) -> CaptionerConfig:
        """What of it is the captioner's."""
        return CaptionerConfig(model=self.model, objective=self.objective, train=self.train, min_count=self.min_count)

    def to_yaml(self) -> str:
        """Word the configuration so that `vergence captioner` reads the same one back."""
        return yaml_text(asdict(self))


def run_captioner(config: CaptionerRun, *, out: Path, present: WhenPresent) -> CaptionerResult:
    """Train a captioner on what a configuration says.

    The folder holds `config.yaml`, as resolved; `job.json`, with versions in `versions.json`; `split.parquet`, which
    rows were trained on, held out or left out; `features`, tokens of the images; `history.jsonl`; `checkpoints`; and
    `captioner`, which `load_captioner` reads.

    Args:
        config: Data, image encoder, query transformer, objective, settings.
        out: The folder.
        present: What to do if it is not empty: see `JobFolder.claim`.

    Returns:
        What `train_captioner` returns.

    Raises:
        CorpusError: If data or the encoder cannot be read.
        ConfigError: If the folder cannot be used, or settings do not fit the data.
    """
    frozen, image = open_tokens(config.encoder, device=config.device)
    data = config.data.at(frozen.side)
    pairs = load_pairs(data, seed=config.seed, prepare=frozen.prepared)
    fit, held_out = (_Captioned.of(pairs, rows) for rows in (pairs.fit, pairs.held_out))
    config.train.steps_per_epoch(len(fit.rows))
    settings = asdict(config)
    del settings["data"]["workers"], settings["encoder"]["model"]  # wherever it lies: its weights say which it is
    job = {"job": "captioner", "settings": settings, "data": pairs.digest(), "encoder": image["digest"]}
    folder = JobFolder.claim(out, job, present=present)
    folder.write_text("config.yaml", config.to_yaml())
    folder.write_json("versions.json", versions_of(()))
    write_split(folder.path / SPLIT_FILE, pairs.split)
    say(*(f"passed over: {note}" for note in pairs.notes), err=True)
    if skipped := pairs.skipped():
        say(f"{data.place or 'the embedded set'}: {skipped}", err=True)
    tokens, held_tokens = (_encoded(part, pairs, frozen, out / "features", data) for part in (fit, held_out))
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else "cpu"
    result = train_captioner(
        tokens,
        fit.captions,
        config.captioner(),
        seed=config.seed,
        image=image,
        device=device,
        out=out,
        resume=True,
        evaluate=partial(_measure, held_tokens, held_out.captions) if len(held_out.rows) > 1 else None,
    )
    reached = {str(name): float(value) for name, value in result.history.iloc[-1].items()}
    about = {"trained on": pairs.source, "rows": pairs.divided(), "last epoch": reached, "settings": settings}
    save_captioner(out / CAPTIONER, result.captioner, about=about)
    return result


@dataclass(frozen=True)
class _Captioned:
    """Different images of some pairs, each by the first of its rows, with all of its captions."""

    rows: list[int]
    captions: list[list[str]]

    @classmethod
    def of(cls, pairs: TrainingPairs, rows: Iterable[int]) -> "_Captioned":
        digests = pairs.split["image"][pairs.split["reason"].isna()].tolist()
        first: dict[str, int] = {}
        captions: dict[str, list[str]] = {}
        for row in map(int, rows):
            first.setdefault(digests[row], row)
            captions.setdefault(digests[row], []).append(pairs.pairs.texts[row])
        return cls(list(first.values()), list(captions.values()))


def _encoded(part: _Captioned, pairs: TrainingPairs, frozen: FrozenTokens, out: Path, data: DataConfig) -> Tokens:
    if not part.rows:
        return torch.zeros(0, 1, 1)
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("encoding images", total=len(part.rows))
        return cached_tokens(
            pairs.pairs.images.take(part.rows),
            frozen,
            out,
            workers=data.threads,
            told=lambda done, of: shown.update(bar, completed=done, total=of),
        )


def _measure(tokens: Tokens, captions: Sequence[Sequence[str]], end: CaptionerEpoch) -> Mapping[str, float]:
    """On held-out images: nats per word of their first captions, and how often the nearest one is one of theirs."""
    captioner, device = end.captioner, end.captioner.model.word_bias.device
    texts = [several[0] for several in captions]
    ids = captioner.vocabulary.encode(texts, length=captioner.model.max_length)
    nats, words = 0.0, 0
    with torch.inference_mode():
        for at in range(0, len(ids), _AT_ONCE):
            rows = list(range(at, min(at + _AT_ONCE, len(ids))))
            here = trimmed(ids[rows]).to(device)
            n = int((here[:, 1:] != 0).sum())
            nats += n * captioning_loss(captioner.model.predict(tokens[rows].to(device), here), here).item()
            words += n
    found = {"held_out_nats": nats / words}
    if "bottleneck" in end.losses:
        z_image, z_text = captioner.encode_images(tokens), captioner.encode_texts(texts)
        blocks = torch.split(z_image, _AT_ONCE)
        nearest = torch.cat([best_query(block, z_text).argmax(1) for block in blocks]).tolist()
        hits = [texts[text] in several for text, several in zip(nearest, captions, strict=True)]
        found["held_out_recall_at_1"] = sum(hits) / len(hits)
    return found
