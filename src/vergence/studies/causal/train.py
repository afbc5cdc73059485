"""One run from its spec to what its encoder sees of each value."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.progress import Progress
from torch import Tensor, nn

from vergence.encoders import BagOfWordsEncoder, DualEncoder, GridConvEncoder
from vergence.losses import LearnedTemperature, Objective, WeightedTerm, info_nce
from vergence.probes.awareness import awareness
from vergence.probes.zeroshot import Awareness, zero_shot
from vergence.random import named
from vergence.studies.causal.said import Coverage, captions_of, coverage_of
from vergence.studies.causal.sets import ConceptSet
from vergence.studies.causal.spec import DRAWINGS, LABELS, CausalRun
from vergence.studies.study import Row, Tell
from vergence.training import TrainConfig, train
from vergence.training.supervised import LabelHeads, Labels, label_loss
from vergence.views import ViewPair, Views, random_shift

SCORES = ("f1", "average_precision")
_WIDTHS, _HIDDEN = (8, 16, 32), 128  # of the narrow encoder
_RESAMPLES = 100  # of intervals of single values; those of slopes are over values and runs
_SHIFT = 2  # pixels that drawings are moved by, of which there are few
_GROUP = "values"


def measure_run(run: CausalRun, concepts: ConceptSet, *, folder: Path, tell: Tell) -> tuple[list[Row], list[float]]:
    """Train the encoders of a run and score each value on images that it has not seen.

    Args:
        run: What to train.
        concepts: Its images.
        folder: Gets checkpoints; a training that was stopped in it goes on.
        tell: Is told how many epochs are done.

    Returns:
        A row for each value and score, with its chance, coverage and mentions, rows of their means; and the loss of
        each epoch.
    """
    coverage = coverage_of(run, concepts)
    job = _Job(run, concepts, folder, tell)
    with torch.random.fork_rng(devices=[]):  # torch's own stream is left as it was
        torch.manual_seed(named(run.seed, run.width, "weights").initial_seed())
        widths = tuple(run.width * channels for channels in _WIDTHS)
        image = GridConvEncoder(
            run.encoding_size, side=run.data.side, widths=widths, hidden=run.width * _HIDDEN
        )  # first: captions do not change its weights
        if run.taught_by == LABELS:
            found, curve = _by_labels(job, image)
        else:
            found, curve = _by_captions(job, coverage, image)
    return _rows(found, coverage), curve


@dataclass(frozen=True)
class _Job:
    """A run, its images, where it leaves checkpoints, and what is told how far it is."""

    run: CausalRun
    concepts: ConceptSet
    folder: Path
    tell: Tell


def _by_captions(job: _Job, coverage: Coverage, image: nn.Module) -> tuple[Awareness, list[float]]:
    run, concepts = job.run, job.concepts
    said, test = captions_of(run, concepts, coverage), concepts.parts["test"]
    encoder = DualEncoder(image, BagOfWordsEncoder(len(said.words), run.encoding_size))
    temperature = LearnedTemperature(run.temperature)
    objective = Objective({"contrast": WeightedTerm(info_nce, temperature=temperature)})
    curve = _train(job, encoder, said.views, objective)
    names = dict(zip(concepts.names, said.prompts, strict=True))

    def embed_texts(prompts: list[str]) -> Tensor:
        with torch.inference_mode():
            z_text: Tensor = encoder.text(said.words.encode([names[prompt] for prompt in prompts]))
        return z_text.clone()

    table = awareness(
        _encoded(image, concepts.pixels, test),
        [{(_GROUP, concepts.names[value])} for value in concepts.value[test]],
        {_GROUP: concepts.names},
        embed_texts,
        clusters=concepts.clusters[test],
        seed=run.seed,
        n_resamples=_RESAMPLES,
    )
    macro = {str(name): float(value) for name, value in table.groups.iloc[0].items() if isinstance(value, float)}
    told = np.array([[name in names for name in concepts.names] for names in table.answers["told"]])
    return Awareness(table.concepts, macro, table.confusion[_GROUP], told), curve


def _by_labels(job: _Job, image: nn.Module) -> tuple[Awareness, list[float]]:
    """The ceiling: scores of a linear layer that was trained with the encoder stand in for the similarity."""
    run, concepts = job.run, job.concepts
    test, train_rows = concepts.parts["test"], torch.from_numpy(concepts.parts["train"])
    heads = LabelHeads(run.encoding_size, concepts.space)
    objective = Objective({"labels": WeightedTerm(label_loss, heads=heads)})
    codes = torch.from_numpy(concepts.value)[train_rows, None].float()
    views = ViewPair(image=concepts.pixels[train_rows], text=codes)
    curve = _train(job, DualEncoder(image, Labels()), views, objective)
    ((_, weight, bias),) = heads()
    with torch.inference_mode():
        scores = (_encoded(image, concepts.pixels, test) @ weight.T + bias).log_softmax(1)
    shown = np.eye(len(concepts.names), dtype=bool)[concepts.value[test]]
    found = zero_shot(
        scores.numpy(),
        shown,
        concepts.names,
        clusters=concepts.clusters[test],
        generator=np.random.default_rng(run.seed),
        n_resamples=_RESAMPLES,
    )
    return found, curve


def _train(job: _Job, encoder: DualEncoder, views: Views, objective: Objective) -> list[float]:
    run = job.run
    job.tell(0, run.epochs)
    result = train(
        encoder,
        views,
        objective,
        TrainConfig(epochs=run.epochs, batch_size=run.batch_size, learning_rate=run.learning_rate),
        generator=named(run.seed, run.width, "training"),
        out=job.folder,
        resume=True,
        augment=_shifted if run.data.name == DRAWINGS else None,
        callbacks=[lambda end: job.tell(end.epoch, end.epochs)],
        progress=Progress(disable=True),
    )
    encoder.eval()
    return [float(loss) for loss in result.history["total"]]


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    return random_shift(images, pixels=_SHIFT, generator=generator)


def _encoded(image: nn.Module, pixels: UInt8[Tensor, "n 3 side side"], rows: np.ndarray) -> Float[Tensor, "m dim"]:
    with torch.inference_mode():
        return torch.cat([image(pixels[part]) for part in torch.split(torch.from_numpy(rows), 512)]).clone()


def _rows(found: Awareness, coverage: Coverage) -> list[Row]:
    rows: list[Row] = []
    for place, row in enumerate(found.concepts.to_dict("records")):
        for score in SCORES:
            rows.append(
                {
                    "side": "image",
                    "factor": row["concept"],
                    "metric": score,
                    "role": "value",
                    **{end: row[f"{score}{suffix}"] for end, suffix in zip(_ENDS, ("", "_low", "_high"), strict=True)},
                    "floor": row[f"chance_{score}"],
                    "support": int(row["support"]),
                    "rate": float(coverage.rates[place]),
                    "coverage": float(coverage.shares[place]),
                    "mentions": float(coverage.mentions[place]),
                }
            )
    rows += [
        {"side": "image", "factor": "all", "role": "mean", "metric": name} | _ends(found.macro, name) for name in _MEANS
    ]
    return rows


_ENDS = ("value", "low", "high")
_MEANS = ("macro_f1", "mean_average_precision")


def _ends(macro: dict[str, float], name: str) -> Row:
    return {end: macro[f"{name}{suffix}"] for end, suffix in zip(_ENDS, ("", "_low", "_high"), strict=True)}
