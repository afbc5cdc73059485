"""One run from its spec to trained encoders and what they were trained on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Shaped
from rich.progress import Progress
from torch import Tensor, nn

from vergence.encoders import (
    MLP,
    ConvEncoder,
    DualEncoder,
    GridConvEncoder,
    PixelMLP,
    SentenceCNN,
    ViT,
    Vocabulary,
    resnet18,
    resnet_cifar,
)
from vergence.losses import (
    LearnedTemperature,
    Objective,
    WeightedTerm,
    alignment_penalty,
    info_nce,
    nt_xent,
    one_way_info_nce,
)
from vergence.metrics.scale import unit
from vergence.random import named
from vergence.studies.images.sets import ImageSet
from vergence.studies.images.spec import CODES, LABELS, NOTHING, ImageRun
from vergence.studies.study import Tell
from vergence.training import TrainConfig, train
from vergence.training.supervised import Labels, label_codes, supervised
from vergence.views.pairs import ViewPair
from vergence.views.record import text_record
from vergence.views.scene_captions import PALETTE_OF_HUE, factor_codes, write_scene_captions

VERSIONS = 8
"""Texts of each image that are drawn beforehand where texts are random; a batch draws one of them for each image."""


@dataclass(frozen=True, eq=False)
class ManyTexts:
    """Images with several texts each, of which one is drawn whenever an image is looked at.

    The draw follows from the rows of the batch, so that a training that was resumed draws what it would have drawn.

    Args:
        image: One row for each image.
        texts: By version of the text, one row for each image.
        seed: Tells streams of draws apart.
    """

    image: Shaped[Tensor, "n *image"]
    texts: Shaped[Tensor, "versions n *text"]
    seed: int

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Sequence[int] | np.ndarray | Tensor) -> ViewPair:
        """The views of these rows."""
        chosen = torch.as_tensor(rows).long()
        if len(self.texts) == 1:
            return ViewPair(image=self.image[chosen], text=self.texts[0, chosen])
        stream = named(self.seed, chosen.tolist())
        version = torch.randint(len(self.texts), (len(chosen),), generator=stream)
        return ViewPair(image=self.image[chosen], text=self.texts[version, chosen])

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator[ViewPair]:
        """The views of each group of rows, in order."""
        return map(self.take, groups)


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run left.

    Args:
        encoder: Both encoders.
        texts: Of all images of the set, one text each, as the encoder takes it.
        temperature: At the end.
        curve: Loss of each epoch; none if nothing was trained.
    """

    encoder: DualEncoder
    texts: Tensor
    temperature: float
    curve: Sequence[float]

    def encode(self, images: ImageSet, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Unit vectors of some images and of their texts; `None` for the texts where none taught."""
        self.encoder.eval()
        with torch.inference_mode():
            pairs = [
                (self.encoder.image(images.pixels[part]), self.encoder.text(self.texts[part]))
                for part in torch.split(torch.from_numpy(rows), 512)
            ]
        z_image, z_text = (unit(torch.cat(parts)) for parts in zip(*pairs, strict=True))
        return z_image, None if isinstance(self.encoder.text, Labels) else z_text


def train_run(run: ImageRun, images: ImageSet, *, folder: Path, tell: Tell) -> Trained:
    """Train the encoders of a run, or leave them as they are.

    Args:
        run: What to train.
        images: Its images.
        folder: Gets checkpoints; a training that was stopped in it goes on.
        tell: Is told how many epochs are done.
    """
    texts, make_text = _texts(run, images)
    with torch.random.fork_rng(devices=[]):  # torch's own stream is left as it was
        torch.manual_seed(named(run.seed, run.encoding_size, run.image_encoder, "weights").initial_seed())
        image = IMAGE[run.image_encoder](run.encoding_size, run.data.side)  # first: texts do not change its weights
        encoder = DualEncoder(image, make_text())
        objective, temperature = _objective(run, images)
    tell(0, run.budget.epochs)
    curve: list[float] = []
    if run.taught_by != NOTHING:
        rows = torch.from_numpy(images.parts["train"])
        seed = named(run.seed, "texts").initial_seed()
        result = train(
            encoder,
            ManyTexts(images.pixels[rows], texts[:, rows], seed),
            objective,
            TrainConfig(
                epochs=run.budget.epochs,
                batch_size=run.budget.batch_size,
                learning_rate=run.budget.learning_rate,
            ),
            generator=named(run.seed, run.encoding_size, "training"),
            out=folder,
            resume=True,
            callbacks=[lambda end: tell(end.epoch, end.epochs)],
            progress=Progress(disable=True),
        )
        curve = [float(loss) for loss in result.history["total"]]
    with torch.no_grad():
        return Trained(encoder, texts[0], float(temperature()), curve)


def _texts(run: ImageRun, images: ImageSet) -> tuple[Tensor, Callable[[], nn.Module]]:
    """Texts of all images, (versions, n, …), and what makes their encoder."""
    encoding_size = run.encoding_size
    if not run.contrastive:
        return label_codes(images.labels, images.space)[None], Labels
    streams = [named(run.seed, "said", version) for version in range(VERSIONS)]
    if run.taught_by == CODES:
        names = [name for name in images.space if name in run.misalignment.selected]
        random = bool(run.misalignment.perturbed or run.misalignment.graded)
        records = [
            text_record(images.labels, images.space, run.misalignment, generator=stream)
            for stream in (streams if random else streams[:1])
        ]
        codes = torch.stack([factor_codes(record, images.space, names) for record in records])
        hidden = _WIDE if codes.shape[2] > _MANY else _NARROW
        return codes, partial(MLP, codes.shape[2], encoding_size, hidden=hidden, batch_norm=True)
    written = [
        write_scene_captions(
            run.data.name, images.labels, run.misalignment, generator=stream, palettes=PALETTE_OF_HUE
        ).texts
        for stream in streams
    ]
    different, places = np.unique(np.array(written, dtype=object).ravel().astype(str), return_inverse=True)
    words = Vocabulary.of(different)
    numbers = words.encode(different)
    return numbers[torch.from_numpy(places).reshape(len(written), -1)], partial(SentenceCNN, len(words), encoding_size)


_NARROW, _WIDE, _MANY = (16, 16, 8, 8, 16, 16), (128, 128, 64, 64, 128, 128), 60
"""[almudevar2025]: the wider one for MPI3D, whose axes have forty values each."""

IMAGE: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        "conv": lambda dim, side: ConvEncoder(dim, widths=(16, 32, 64, 128), hidden=128),
        "grid": lambda dim, side: GridConvEncoder(dim, side=side, widths=(24, 48, 96)),
        "grid2": lambda dim, side: GridConvEncoder(dim, side=side, widths=(24, 48)),
        "grid4": lambda dim, side: GridConvEncoder(dim, side=side, widths=(24, 48, 96, 96)),
        "grid5": lambda dim, side: GridConvEncoder(dim, side=side, widths=(24, 48, 96, 96, 96)),
        "resnet18": lambda dim, side: resnet18(dim, hidden=100),
        "resnet20": lambda dim, side: resnet_cifar(dim, depth=20),
        "resnet32": lambda dim, side: resnet_cifar(dim, depth=32),
        "resnet56": lambda dim, side: resnet_cifar(dim, depth=56),
        "vit": lambda dim, side: ViT(dim, side=side, patch=side // 4, depth=4, width=96, heads=3),
        "mlp": lambda dim, side: PixelMLP(dim, side=side),
    }
)

CONTRASTS = MappingProxyType({"nt_xent": nt_xent, "info_nce": info_nce, "one_way": one_way_info_nce})


def _objective(run: ImageRun, images: ImageSet) -> tuple[Objective, Callable[[], float | Tensor]]:
    """What to minimise, and what tells its temperature."""
    if run.taught_by == LABELS:
        return supervised(run.encoding_size, images.space), lambda: float("nan")
    learned = LearnedTemperature(run.temperature) if run.learned else None
    contrast = WeightedTerm(CONTRASTS[run.objective], temperature=learned or run.temperature)
    penalty = WeightedTerm(alignment_penalty, 2 * run.bottleneck, distance="cosine")  # of unit vectors, ‖a - b‖²
    return Objective({"contrast": contrast, "bottleneck": penalty}), learned or (lambda: run.temperature)
