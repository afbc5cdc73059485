"""Going on from a trained or pretrained model on pairs of one's own: what it gains, beside what it forgets.

It is a training that starts from the model (`run_training`), ends with the epoch that is best on held-out pairs, and is
measured before and after, on the same queries: so differences are paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import nan, sqrt
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from scipy.stats import t
from torch import Tensor

from vergence.checks import one_of
from vergence.errors import ConfigError
from vergence.files import read_json, write_json
from vergence.folders import WhenPresent
from vergence.losses import process_rank
from vergence.metrics import retrieve
from vergence.pairs import Pairs
from vergence.training.config import EarlyStop, TrainConfig
from vergence.training.fitting import resolved
from vergence.training.loop import TrainResult
from vergence.training.models import ImageTextModel, load_model
from vergence.training.pairs import TrainingPairs, load_pairs
from vergence.training.processes import join_processes
from vergence.training.run import run_training
from vergence.training.spec import HELD_OUT, DataConfig, RunConfig
from vergence.training.start import StartConfig

REPORT = "adapt.json"
STOPS: Mapping[str, tuple[str, bool]] = MappingProxyType({"loss": (HELD_OUT[0], False), "recall": (HELD_OUT[1], True)})
"""What of held-out pairs can decide when to end: the metric, and whether higher is better."""
RATES: Mapping[str, float] = MappingProxyType({"both": 1e-5, "image": 1e-5, "text": 1e-5, "heads": 1e-3, "lora": 2e-4})
"""Learning rates that are usual for each part of a large pretrained model; small models take larger ones."""

_RANKS = (1, 5)
_AT_ONCE = 64
_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Measured:
    """A score of a model.

    Args:
        value: The score.
        values: What it is the mean of, one for each query; `None` if it is no mean.
        clusters: Which queries belong together; each is its own if `None`.
    """

    value: float
    values: Float[Tensor, " n"] | None = None
    clusters: Shaped[np.ndarray, " n"] | None = None


Measure = Callable[[ImageTextModel], Mapping[str, Measured]]


@dataclass(frozen=True, eq=False)
class Adapted:
    """What came of it.

    Args:
        training: As `run_training` gives it.
        scores: A row for each score: where, score, before, after, difference, low and high (95 %, over new clusters of
            queries; NaN where the score is no mean over queries), n (queries).
    """

    training: TrainResult
    scores: pd.DataFrame


def adaptation(
    model: str | Path,
    data: DataConfig,
    *,
    part: str = "both",
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float | None = None,
    stop: str = "loss",
    patience: int = 3,
    seed: int = 0,
    device: str = "cpu",
    start: Mapping[str, object] = MappingProxyType({}),
) -> RunConfig:
    """The configuration of a run that adapts a model.

    Args:
        model: Folder of a model that `load_model` takes.
        data: The pairs to adapt it to.
        part: What of it is fitted: one of `vergence.training.start.PARTS`.
        epochs: Most passes over the data.
        batch_size: Pairs in a batch.
        learning_rate: Highest rate; by the part, as `RATES` has it, if `None`.
        stop: What of held-out pairs decides when to end: one of `STOPS`.
        patience: Epochs without improvement after which to end.
        seed: Of everything random.
        device: "cpu", or "auto" for what is found.
        start: Further settings of `StartConfig`: rank, alpha, layers.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.

    Example:
        >>> adaptation("clip", DataConfig(), part="lora").train.learning_rate
        0.0002
    """
    one_of("stop", stop, STOPS)
    if not data.validation:
        raise ConfigError("validation must be a share above 0: held-out pairs say when to end, and what was gained")
    started = StartConfig(model=str(model), part=part, **start)  # type: ignore[arg-type]
    metric, higher = STOPS[stop]
    train = TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=RATES[part] if learning_rate is None else learning_rate,
        early_stop=EarlyStop(metric=metric, higher_is_better=higher, patience=patience, restore_best=True),
    )
    return RunConfig(seed=seed, device=device, data=data, start=started, train=train)


def adapt(
    config: RunConfig,
    *,
    out: Path,
    remember: DataConfig | None = None,
    measures: Mapping[str, Measure] = MappingProxyType({}),
    present: WhenPresent = "refuse",
    command: str = "",
) -> Adapted:
    """Adapt a model, and measure it before and after.

    The folder is that of `run_training`, with `adapt.json` for what was gained and forgotten.

    Args:
        config: Such as `adaptation` gives.
        out: The folder to write to.
        remember: Pairs of what the model knew before; all of them are for measuring.
        measures: What else to measure before and after, by name.
        present: What to do if the folder is not empty. A run that has ended is measured again with "resume".
        command: What to say about how it was made.

    Raises:
        CorpusError: If a model or pairs cannot be read; nothing has been written then.
        ConfigError: If settings do not fit each other, the data or the model.
    """
    start = config.start
    if start is None:
        raise ConfigError("start is missing: adapting begins with a model")
    with join_processes(config.device):
        model = load_model(start.model, device=config.device)
        config = resolved(config, model)
        pairs = load_pairs(config.data, seed=config.seed, prepare=model.prepared)
        if process_rank():  # torchrun's others only train
            return Adapted(run_training(config, out=out, present=present, pairs=pairs), pd.DataFrame())
        every = {"held out": _retrieval(pairs, pairs.held_out, config.data.threads)}
        if remember is not None:
            seen = replace(remember, side=model.side, validation=0.0)
            known = load_pairs(seen, seed=config.seed, prepare=model.prepared)
            every["remembered"] = _retrieval(known, known.fit, seen.threads)
        every |= measures
        before = {where: measure(model) for where, measure in every.items()}
        del model
        training = run_training(config, out=out, present=present, pairs=pairs)
    model = load_model(out, device=config.device)
    after = {where: measure(model) for where, measure in every.items()}
    rows = [
        {"where": where, "score": score, **_compared(found, after[where][score])}
        for where, scores in before.items()
        for score, found in scores.items()
    ]
    scores = pd.DataFrame(rows)
    about = {
        "command": command,
        "model": start.model,
        "data": pairs.source,
        "remembered": None if remember is None else remember.place,
        "pairs": {"fitted": len(pairs.fit), "held_out": len(pairs.held_out)},
        "fitted": asdict(start),
        "epochs": len(training.history),
        "epoch": training.epoch,
        "settings": config.identity(),
        "versions": read_json(out / "versions.json"),
        "scores": scores.astype(object).where(scores.notna(), None).to_dict("records"),
    }
    write_json(out / REPORT, about, of_job=True)
    return Adapted(training, scores)


def _retrieval(pairs: TrainingPairs, rows: np.ndarray, workers: int) -> Measure:
    """How often the first, or one of the first five, is right: captions of one image are all right for it."""
    digests = pairs.split["image"][pairs.split["reason"].isna()].to_numpy()[rows]
    some, number = pairs.pairs.take(rows), {digest: place for place, digest in enumerate(dict.fromkeys(digests))}
    image_of_text = np.array([number[digest] for digest in digests])
    _, first = np.unique(image_of_text, return_index=True)

    def measure(model: ImageTextModel) -> dict[str, Measured]:
        z_image = _images(model, some.take(first), workers)
        z_text = model.embed_texts(list(some.texts))
        found = retrieve(z_image, z_text, image_of_text=torch.from_numpy(image_of_text))
        sides = {"image": (found.image_retrieval, some.clusters), "text": (found.text_retrieval, some.clusters[first])}
        return {
            f"{side}_retrieval_recall@{k}": Measured(ranks.recall(k), ranks.hits(k), clusters)
            for k in _RANKS
            for side, (ranks, clusters) in sides.items()
        }

    return measure


def _images(model: ImageTextModel, pairs: Pairs, workers: int) -> Float[Tensor, "n dim"]:
    groups = [range(at, min(at + _AT_ONCE, len(pairs))) for at in range(0, len(pairs), _AT_ONCE)]
    batches = pairs.images.batches(groups, side=model.side, workers=workers)
    return torch.cat([model.embed_pixels(batch) for batch in batches])


def _compared(before: Measured, after: Measured) -> dict[str, float]:
    low, high, n = nan, nan, 0
    if before.values is not None and after.values is not None:
        n = len(before.values)
        low, high = paired_interval(after.values - before.values, before.clusters)
    difference = after.value - before.value
    return {"before": before.value, "after": after.value, "difference": difference, "low": low, "high": high, "n": n}


def paired_interval(
    differences: Float[Tensor, " n"], clusters: Shaped[np.ndarray, " n"] | None = None
) -> tuple[float, float]:
    r"""95 % interval of a mean of paired differences over new clusters: $\bar d \pm t_{G-1} s$, $s$ from cluster sums.

    Args:
        differences: One for each query.
        clusters: Which queries belong together; each is its own if `None`.

    Returns:
        Lower and upper limit; infinite for a single cluster.

    Example:
        >>> low, high = paired_interval(torch.tensor([0.0, 1.0, 0.0, 1.0]))
        >>> round(low, 2), round(high, 2)
        (-0.42, 1.42)
    """
    d = differences.double().numpy()
    member = np.arange(len(d)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    n_clusters = int(member.max()) + 1
    mean = float(d.mean())
    if n_clusters == 1:
        return -float("inf"), float("inf")
    sums = np.bincount(member, weights=d - mean)
    spread = sqrt(n_clusters / (n_clusters - 1) * float((sums**2).sum())) / len(d)
    reach = float(t.ppf((1 + _LEVEL) / 2, n_clusters - 1)) * spread
    return mean - reach, mean + reach
