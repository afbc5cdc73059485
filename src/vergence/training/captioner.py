"""Training of a captioner: a query transformer on the tokens of a frozen image encoder, which are computed before.

As in `vergence.training.loop`, each epoch has a stream of its own, split from the seed's, for its order, for which
caption of each image it sees, for hard negatives and for dropout: a resumed training is the uninterrupted one, bit for
bit on one machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from rich.progress import Progress
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.encoders.captions import CaptionVocabulary
from vergence.encoders.generation import Captions, greedy
from vergence.encoders.qformer import Looked, QFormer
from vergence.errors import ConfigError, CorpusError, ShapeError
from vergence.losses import DiagonalGaussian, Objective, WeightedTerm, best_query, hard_negatives
from vergence.random import named, spawn
from vergence.training.captioner_spec import CaptionerConfig, CaptionObjective
from vergence.training.checkpoint import Checkpoints
from vergence.training.loop import display, refuse_broken_weights, started, write_history
from vergence.training.optimizers import clip, make_optimizers, set_rate
from vergence.training.step import diverged

_AT_ONCE = 256  # images that are captioned or encoded together
_SHOWN = 60  # characters of a caption in a message
Decoder = Callable[[QFormer, Any], Captions]


@runtime_checkable
class Tokens(Protocol):
    """Tokens of images, held or read as they are asked for: a tensor, or `vergence.training.features.CachedTokens`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> Float[Tensor, "rows tokens token_dim"]: ...


class Captioner(nn.Module):
    """A query transformer with its words; images come as tokens of the encoder that it was trained on.

    Args:
        model: The query transformer.
        vocabulary: Its words.
        image: What is known of the image encoder, as JSON can say it; `None` if nothing is.

    Raises:
        ConfigError: If the transformer is for another number of words.
    """

    def __init__(
        self, model: QFormer, vocabulary: CaptionVocabulary, *, image: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        if len(model.word_bias) != len(vocabulary):
            raise ConfigError(f"the model is for {len(model.word_bias)} words; the vocabulary has {len(vocabulary)}")
        self.model, self.vocabulary, self.image = model, vocabulary, dict(image) if image else None

    def caption(self, tokens: Tokens, decoder: Decoder = greedy, *, batch_size: int = _AT_ONCE) -> list[str]:
        """Say what images show, in evaluation mode.

        Args:
            tokens: Of the images.
            decoder: `greedy`, or `beam` or `nucleus` with their settings, as `functools.partial` makes them.
            batch_size: Images at once, >= 1.

        Returns:
            A caption for each image.
        """
        rows = self._in_batches(tokens, lambda batch: decoder(self.model, batch), batch_size)
        return self.vocabulary.decode([row for batch in rows for row in batch])

    def encode_images(self, tokens: Tokens, *, batch_size: int = _AT_ONCE) -> Float[Tensor, "n queries encoding_size"]:
        """What images are compared by, a place for each query, on the CPU; not normalised."""
        return torch.cat(list(self._in_batches(tokens, lambda batch: self.model.image(batch).cpu(), batch_size)))

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = _AT_ONCE) -> Float[Tensor, "n encoding_size"]:
        """What texts are compared by, on the CPU; not normalised. Words beyond the model's length are cut."""
        ids = self.vocabulary.encode(texts, length=self.model.max_length)
        return torch.cat(list(self._in_batches(ids, lambda batch: self.model.text(trimmed(batch)).cpu(), batch_size)))

    def _in_batches(self, given: Any, encode: Callable[[Tensor], Any], batch_size: int) -> Iterator[Any]:
        at_least("batch_size", batch_size, 1)
        if not len(given):
            raise ConfigError("there is nothing to encode; name at least one image or text")
        before, device = self.training, self.model.word_bias.device
        self.eval()
        try:
            with torch.inference_mode():
                for at in range(0, len(given), batch_size):
                    yield encode(given[list(range(at, min(at + batch_size, len(given))))].to(device))
        finally:
            self.train(before)


@dataclass(frozen=True, kw_only=True)
class CaptionerEpoch:
    """What an evaluation is told: how far the training is, the captioner in evaluation mode, the means of the terms."""

    epoch: int
    epochs: int
    captioner: Captioner
    losses: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class CaptionerResult:
    """The fitted captioner, one row of mean losses and the temperature an epoch, and from where it was resumed."""

    captioner: Captioner
    history: pd.DataFrame
    resumed_from: int


def train_captioner(
    tokens: Tokens,
    captions: Sequence[Sequence[str]],
    config: CaptionerConfig = CaptionerConfig(),  # noqa: B008 - frozen
    *,
    seed: int = 0,
    images: Sequence[object] | None = None,
    image: Mapping[str, Any] | None = None,
    device: str = "cpu",
    out: Path | None = None,
    resume: bool = False,
    evaluate: Callable[[CaptionerEpoch], Mapping[str, float]] | None = None,
    progress: Progress | None = None,
    label: str = "training",
) -> CaptionerResult:
    """Fit a query transformer to images, as tokens, and their captions.

    Each epoch sees each image once, with one of its captions. Items that share an image or a caption are not each
    other's negatives.

    Args:
        tokens: Of the images, (images, tokens, token_dim).
        captions: Of each image at least one, none of them without words.
        config: Model, objective and settings.
        seed: Seed of everything random, in [0, 2^63).
        images: What each row is an image of, where several are of one; each of its own if `None`.
        image: What is known of the image encoder, to be kept with the captioner.
        device: "cpu" or a device of torch.
        out: Folder for checkpoints and `history.jsonl`; nothing is written if `None`.
        resume: Continue from the newest checkpoint in `out`, if there is one; without, a folder with one is refused.
        evaluate: Measures the captioner at the end of every epoch: metrics by name, which enter the history.
        progress: A running progress display to add a bar to; one of its own if `None`.
        label: What to call the bar.

    Returns:
        The captioner, in evaluation mode, and its history.

    Raises:
        CorpusError: If an image has no caption, or a caption has no word.
        ConfigError: If there are fewer images than a batch, all captions are one and nothing can be contrasted, the
            training diverges, or `out` holds another.

    Example:
        >>> from vergence.random import generator
        >>> from vergence.training.captioner_spec import QueryConfig
        >>> from vergence.training.config import TrainConfig
        >>> tokens = torch.randn(8, 4, 6, generator=generator(0))
        >>> captions = [["a red cube", "red"] if i % 2 else ["a ball"] for i in range(8)]
        >>> config = CaptionerConfig(
        ...     model=QueryConfig(dim=8, heads=2, queries=2), train=TrainConfig(epochs=2, batch_size=4)
        ... )
        >>> result = train_captioner(tokens, captions, config)
        >>> list(result.history.columns)
        ['epoch', 'rate', 'total', 'contrast', 'captioning', 'bottleneck', 'temperature']
    """
    train = config.train
    texts = _Texts.of(captions, config, images=images)
    if len(texts.first) != len(tokens):
        raise ShapeError(f"captions must be given of each of {len(tokens)} images; got those of {len(texts.first)}")
    steps = train.steps_per_epoch(len(tokens))
    captioner, objective = _made(tokens, texts.vocabulary, config, image=image, seed=seed)
    modules: dict[str, nn.Module] = {"model": captioner.model.to(device), "objective": objective.to(device)}
    optimizers = make_optimizers(captioner.model, objective, train)
    streams = spawn(named(seed, "captioner", "training"), train.epochs)
    about = {**_plain(config), "number of images": len(tokens), "seed": seed}
    checkpoints = Checkpoints(out / "checkpoints") if out else None
    done, history = started(checkpoints, modules, optimizers, about, resume=resume) if checkpoints else (0, [])
    with ExitStack() as stack:
        shown = progress or stack.enter_context(display(shown=True))
        bar = shown.add_task(label, total=train.epochs * steps, completed=done * steps)
        if progress:
            stack.callback(progress.remove_task, bar)
        for epoch in range(done, train.epochs):
            captioner.train()
            objective.train()
            with torch.random.fork_rng(devices=[]):
                run = _Epoch(captioner.model, objective, config.objective, streams[epoch])
                sums: dict[str, float] = {}
                for number, rows in enumerate(run.order(len(tokens), train.batch_size)):
                    share = (epoch * steps + number) / (train.epochs * steps)
                    found = run.add_gradient(tokens[rows.tolist()].to(device), texts.drawn(rows, run.draws), share)
                    sums = {name: sums.get(name, 0.0) + value / steps for name, value in found.items()}
                    set_rate(optimizers, train.rate_at(share))
                    _descend(optimizers, train.max_grad_norm)
                    shown.advance(bar)
            captioner.eval()
            objective.eval()
            refuse_broken_weights(modules)
            end = CaptionerEpoch(epoch=epoch + 1, epochs=train.epochs, captioner=captioner, losses=sums)
            row = {"epoch": epoch + 1, "rate": train.rate_at((epoch + 1) / train.epochs), **sums}
            history.append({**row, "temperature": float(run.temperature()), **(evaluate(end) if evaluate else {})})
            if checkpoints and out:
                write_history(out, history, None)
                checkpoints.save(epoch + 1, modules, optimizers, {**about, "history": history})
    captioner.eval()
    return CaptionerResult(captioner=captioner, history=pd.DataFrame(history), resumed_from=done)


@dataclass(frozen=True, eq=False)
class _Texts:
    """Captions of all images, numbered; which of them are equal, and which images are one."""

    vocabulary: CaptionVocabulary
    ids: Int[Tensor, "captions length"]
    first: Int[Tensor, " images"]  # row of an image's first caption
    count: Int[Tensor, " images"]
    alike: Int[Tensor, "images most"]  # of each image its captions, equal ones by one number; -1 pads
    one: Int[Tensor, " images"]  # equal for rows of one image

    @classmethod
    def of(
        cls, captions: Sequence[Sequence[str]], config: CaptionerConfig, *, images: Sequence[object] | None
    ) -> "_Texts":
        for number, several in enumerate(captions):
            if isinstance(several, str):
                raise ConfigError(f"captions of an image must be a list of texts; got the string {several!r}")
            if not several:
                raise CorpusError(f"image {number} has no caption; leave images without captions out")
            for caption in several:
                if not CaptionVocabulary.split(caption):
                    raise CorpusError(
                        f"image {number} has a caption without words, {caption[:_SHOWN]!r}; leave empty captions out"
                    )
        every = [caption for several in captions for caption in several]
        vocabulary = CaptionVocabulary.of(every, min_count=config.min_count)
        ids = vocabulary.encode(every, length=min(vocabulary.longest(every), config.model.max_length))
        equal = torch.unique(ids, dim=0, return_inverse=True)[1]
        if config.objective.compares and every and int(equal.max()) == 0:
            raise ConfigError(
                f"all captions read {every[0][:_SHOWN]!r} to this vocabulary, so nothing can be contrasted or matched; "
                "give captions that differ, or set contrast, matching and bottleneck to 0"
            )
        count = torch.tensor([len(several) for several in captions], dtype=torch.long)
        alike = nn.utils.rnn.pad_sequence(list(torch.split(equal, count.tolist())), batch_first=True, padding_value=-1)
        names = {name: number for number, name in enumerate(dict.fromkeys(images if images is not None else ()))}
        one = torch.arange(len(count)) if images is None else torch.tensor([names[name] for name in images])
        return cls(vocabulary, ids, count.cumsum(0) - count, count, alike, one)

    def drawn(self, rows: Int[Tensor, " batch"], generator: torch.Generator) -> "_Drawn":
        """One caption of each image."""
        share = torch.rand(len(rows), generator=generator, dtype=torch.float64)
        which = (share * self.count[rows]).long()
        theirs = self.alike[rows]
        said = theirs.gather(1, which[:, None])[:, 0]
        same = (theirs[:, None] == said[None, :, None]).any(2) | (self.one[rows][:, None] == self.one[rows])
        return _Drawn(trimmed(self.ids[self.first[rows] + which]), same)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Captions of a batch, and which of them are true of which of its images."""

    ids: Int[Tensor, "batch length"]
    same: Bool[Tensor, "batch batch"]


class _Epoch:
    """One pass over the images: what is random in it, and the gradient of each batch."""

    def __init__(self, model: QFormer, objective: Objective, config: CaptionObjective, stream: torch.Generator) -> None:
        self.model, self.objective, self.config = model, objective, config
        self._order, self.draws, dropout, self._negatives, self._noise = spawn(stream, 5)
        torch.manual_seed(dropout.initial_seed())

    def order(self, n: int, batch_size: int) -> list[Tensor]:
        """Rows of each batch; the remainder is left out."""
        rows = torch.randperm(n, generator=self._order)
        return list(torch.split(rows[: n // batch_size * batch_size], batch_size))

    def temperature(self) -> Tensor | float:
        """What cosines are divided by."""
        for term in self.objective.terms.values():
            if isinstance(term, WeightedTerm) and "temperature" in term.learned:
                found: Tensor = term.learned["temperature"]()
                return found.detach()
        return self.config.temperature

    def add_gradient(self, tokens: Tensor, texts: _Drawn, progress: float) -> dict[str, float]:
        """Add the gradient on a batch to what is there; return the total and every term.

        Raises:
            ConfigError: If the loss is NaN or infinite.
        """
        outputs = self._outputs(self.model.look(tokens), texts.ids.to(tokens.device), texts.same.to(tokens.device))
        try:
            parts = self.objective.on(outputs, progress=progress)
        except ShapeError as error:
            raise diverged(str(error)) from error
        if not parts.total.isfinite():
            raise diverged(f"the loss is {parts.to_floats()}")
        parts.total.backward()  # type: ignore[no-untyped-call]
        return parts.to_floats()

    def _outputs(self, looked: Looked, ids: Tensor, same: Tensor) -> dict[str, Any]:
        """What the terms read; queries are computed once for contrast and captioning, whose masks hide words."""
        outputs: dict[str, Any] = {"ids": ids, "same": same}
        terms = self.objective.terms
        if "captioning" in terms:
            outputs["next_words"] = self.model.predict(looked, ids)
        if self.config.compares:
            image, text = self.model.encode_image(looked), self.model.encode_text(ids)
            if self.config.stochastic:
                posteriors = DiagonalGaussian.from_output(image), DiagonalGaussian.from_output(text)
                outputs["posterior_image"], outputs["posterior_text"] = posteriors
                image, text = (one.sample(generator=self._noise) for one in posteriors)
            outputs |= {"z_image": image, "z_text": text}
        if "matching" in terms:
            outputs |= self._matches(looked, ids, same, best_query(outputs["z_image"].detach(), outputs["z_text"]))
        return outputs

    def _matches(self, looked: Looked, ids: Tensor, same: Tensor, similarity: Tensor) -> dict[str, Tensor]:
        """Logits of the pairs, of each image with a wrong text, and of each text with a wrong image."""
        wrong = hard_negatives(similarity, same=same, temperature=self.temperature(), generator=self._negatives)
        own = torch.arange(len(ids), device=ids.device)
        images = torch.cat([own, own[wrong.texts >= 0], wrong.images[wrong.images >= 0]])
        texts = torch.cat([own, wrong.texts[wrong.texts >= 0], own[wrong.images >= 0]])
        belongs = torch.arange(len(images), device=ids.device) < len(own)
        return {"match": self.model.match(looked.take(images), ids[texts]), "belongs": belongs}


def trimmed(ids: Int[Tensor, "batch length"]) -> Int[Tensor, "batch shorter"]:
    """Without the columns that are padding alone."""
    longest = int((ids != 0).any(0).nonzero().max()) + 1 if bool(ids.any()) else 1
    return ids[:, :longest]


def _made(
    tokens: Tokens,
    vocabulary: CaptionVocabulary,
    config: CaptionerConfig,
    *,
    image: Mapping[str, Any] | None,
    seed: int,
) -> tuple[Captioner, Objective]:
    """The captioner and its objective, from a stream of their own; torch's own is left as it was."""
    token_dim = tokens[[0]].shape[-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named(seed, "captioner", "weights").initial_seed())
        model = config.model.make(token_dim=token_dim, n_words=len(vocabulary), stochastic=config.objective.stochastic)
    return Captioner(model, vocabulary, image=image), config.objective.make()


def _descend(optimizers: Mapping[str, torch.optim.Optimizer], max_grad_norm: float | None) -> None:
    if max_grad_norm is not None:
        clip(dict(optimizers), max_grad_norm)
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad()


def _plain(config: CaptionerConfig) -> dict[str, Any]:
    """The configuration as JSON gives it back, one key for each setting."""
    return {f"{part}.{name}": value for part, held in _parts(config).items() for name, value in held.items()}


def _parts(config: CaptionerConfig) -> dict[str, dict[str, Any]]:
    said = asdict(config)
    return {name: value if isinstance(value, dict) else {"value": value} for name, value in said.items()}
